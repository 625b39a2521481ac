// In which precision an op computes: what PrecisionOpInterface answers.
#pragma once

#include "mlir/IR/OpDefinition.h"
#include "llvm/ADT/BitVector.h"

namespace titan {

/// The operands and results of an op, by number, whose elements are of the compute type. The other
/// floats keep the type that the model's author gave them. Integers are in neither.
///
/// Example, attention(query, key, value) -> (result, log-sum-exp): operands 111, results 10.
struct PrecisionRule {
  llvm::BitVector operands;
  llvm::BitVector results;

  /// Every float.
  static PrecisionRule all(mlir::Operation *op);
  /// These operands and results; their elements must be floats.
  static PrecisionRule of(mlir::Operation *op, llvm::ArrayRef<unsigned> operands,
                          llvm::ArrayRef<unsigned> results);
};

} // namespace titan

#include "dialects/interfaces/Precision.h.inc"
