// The loop form of an op: what FusibleOpInterface answers.
#pragma once

#include "mlir/IR/AffineMap.h"
#include "mlir/IR/Builders.h"
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

} // namespace titan

#include "dialects/interfaces/Fusible.h.inc"
