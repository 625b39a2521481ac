// Ops on the parts that ranks hold: whether layouts fit an op, and its local form by its factors.
#pragma once

#include "dialects/titan/Sharding.h"

#include <string>

namespace titan {

/// Why ranks cannot compute an op on their parts alone: an axis splits a factor in one tensor and
/// not in another, a factor that must stay whole is split, or a result is declared a partial sum
/// that it is not. Empty when they can.
///
/// Example: with a [8 over x, 4] and b [4, 4 over x] the factor k of "mk,kn->mn" is whole and m and
/// n are both split over x, of which the result can have only one.
std::string checkLayouts(mlir::Operation *op, const ShardingRule &rule, const MeshShape &mesh);

/// The local form that follows from the factors: the same op, of the operands' and results' local
/// types. An error at the op, which names PartitionOpInterface, when that is not enough: the op
/// exchanges something on the way, has regions, or looks at the dimensions of flat storage.
mlir::LogicalResult buildLocalByFactors(mlir::Operation *op, const ShardingRule &rule,
                                        PartitionContext &context, mlir::ValueRange operands,
                                        llvm::SmallVectorImpl<mlir::Value> &results);

/// The op itself, of the operands' and results' local types, without further ado.
void cloneLocal(mlir::Operation *op, PartitionContext &context, mlir::ValueRange operands,
                llvm::SmallVectorImpl<mlir::Value> &results);

} // namespace titan
