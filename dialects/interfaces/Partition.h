// The local form of an op: what PartitionOpInterface answers.
#pragma once

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/OpDefinition.h"

namespace titan {

/// What titan-partition-spmd offers to ops.
class PartitionContext {
public:
  virtual ~PartitionContext() = default;

  /// Stands where the local form belongs.
  virtual mlir::OpBuilder &getBuilder() = 0;
  /// What a rank holds of a value of this type.
  virtual mlir::RankedTensorType getLocalType(mlir::Type type) = 0;
  /// The rank's linear coordinate in mesh axes, the first one outermost, times `scale`: a
  /// tensor<i32>. Programs are the same on all ranks, so this is loaded from a variable.
  virtual mlir::Value getAxisIndex(llvm::ArrayRef<mlir::StringAttr> axes, int64_t scale) = 0;
};

} // namespace titan

#include "dialects/interfaces/Partition.h.inc"
