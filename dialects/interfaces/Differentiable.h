// Reverse-mode differentiation: what DifferentiableOpInterface answers.
#pragma once

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/OpDefinition.h"
#include "llvm/ADT/BitVector.h"

namespace titan {

/// The cotangents of an op's operands, and optionally its results computed a second time.
struct Vjp {
  llvm::SmallVector<mlir::Value> operands;
  llvm::SmallVector<mlir::Value> results;
  /// Asked for: the element type of each operand's cotangent, which is wider than the operand's
  /// where the operand is a rounded copy. Empty asks for the operands' own.
  llvm::SmallVector<mlir::Type> elementTypes;

  /// The type that the cotangent of operand `index` should have: an op that sums in a wider type
  /// anyway gives its sum unrounded. Whoever cannot gives the operand's own type.
  mlir::RankedTensorType getType(mlir::Value operand, unsigned index) const {
    auto type = llvm::cast<mlir::RankedTensorType>(operand.getType());
    if (elementTypes.empty())
      return type;
    return mlir::RankedTensorType::get(type.getShape(), elementTypes[index], type.getEncoding());
  }
};

} // namespace titan

#include "dialects/interfaces/Differentiable.h.inc"
