// The loop form of an op: what FusibleOpInterface answers.
#pragma once

#include "mlir/IR/AffineMap.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/OpDefinition.h"

namespace titan {

enum class Combiner { none, sum, maximum };

/// One element that an iteration touches: operand (or result) `index` at `map`(loop indices). An
/// operand may be accessed several times, such as both halves of a rotated pair.
struct Access {
  unsigned index;
  mlir::AffineMap map;
};

/// Loops, outermost first. Example, the sum of each row of a tensor<4x8xf32>: bounds {4, 8},
/// isReduction {false, true}, inputs {0, (i, j) -> (i, j)}, outputs {0, (i, j) -> (i)}, sum.
struct IterationSpace {
  llvm::SmallVector<int64_t> bounds;
  llvm::SmallVector<bool> isReduction;
  llvm::SmallVector<Access> inputs;
  llvm::SmallVector<Access> outputs;
  Combiner combiner = Combiner::none;
};

/// The type in which bodies compute on elements of a type.
inline mlir::Type getComputeType(mlir::Type element) {
  auto floatType = llvm::dyn_cast<mlir::FloatType>(element);
  if (!floatType || floatType.getWidth() >= 32)
    return element;
  return mlir::Float32Type::get(element.getContext());
}

/// The iteration space of an op that computes every element of its equally shaped results from the
/// elements of its operands at the same place, or, for an operand of rank 0, from its one element.
IterationSpace getPointwiseSpace(mlir::Operation *op);

} // namespace titan

#include "dialects/interfaces/Fusible.h.inc"
