// Reverse-mode differentiation: what DifferentiableOpInterface answers.
#pragma once

#include "mlir/IR/Builders.h"
#include "mlir/IR/OpDefinition.h"
#include "llvm/ADT/BitVector.h"

namespace titan {

/// The cotangents of an op's operands, and optionally its results computed a second time.
struct Vjp {
  llvm::SmallVector<mlir::Value> operands;
  llvm::SmallVector<mlir::Value> results;
};

} // namespace titan

#include "dialects/interfaces/Differentiable.h.inc"
