// Sharding propagation on a function's IR; the algorithm is in Propagation.h.
#pragma once

#include "dialects/titan/Sharding.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace titan {

/// What is known besides the function.
struct PropagationHints {
  /// Values whose present sharding counts for nothing; the others that have one keep it.
  llvm::DenseSet<mlir::Value> open;
  /// Suggests for a value the splits of another one, such as those of its primal for a cotangent.
  llvm::DenseMap<mlir::Value, mlir::Value> seeds;
  /// How long gathered storage is kept.
  GatherPlacement placement = GatherPlacement::per_function;
};

/// Gives every value of the function's single block a sharding. Fixed are loads (as their variable
/// is stored), arguments with the attribute `titan.sharding`, sharding_constraints and results of
/// reshards; stores ask for their variable's layout. Constraints vanish, reshards appear. Fails
/// with errors at ops that have no ShardingRuleOpInterface and at values that cannot be laid out as
/// asked.
mlir::LogicalResult propagateShardings(mlir::func::FuncOp function, const MeshShape &mesh,
                                       const PropagationHints &hints);

/// Whether a function's values have shardings: all of them or none.
bool isSharded(mlir::func::FuncOp function);

} // namespace titan
