// Collectives of a per-device program: what CollectiveOpInterface answers.
#pragma once

#include "dialects/interfaces/Reference.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/OpDefinition.h"

namespace titan {

enum class CollectiveKind {
  allGather,     ///< every rank gets all ranks' parts, in the order of coordinates
  reduceScatter, ///< every rank gets its part of the sum
  allReduce,     ///< every rank gets the sum, or maximum
};

namespace detail {
/// What holds for every collective: as many results as operands, of the same element types; axes
/// that the module's mesh has, each once; shapes that fit the group's size.
llvm::LogicalResult verifyCollective(mlir::Operation *op);
} // namespace detail

} // namespace titan

#include "dialects/interfaces/Collective.h.inc"
