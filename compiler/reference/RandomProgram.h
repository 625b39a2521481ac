// Random programs, to try passes on: what a pass makes of them must compute the same.
#pragma once

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace titan {

/// Tokens and labels of a random program are below this: `--int-max` of titan-check.
inline constexpr int64_t kRandomVocabulary = 16;

/// A module with parameters and a function @loss(tokens, labels) -> (loss, valid) of a shape and
/// size that the seed decides: an embedding, a graph of 3 to 14 blocks (pointwise functions, norms,
/// projections, attention, moves of elements), each of which takes values that any blocks before it
/// made, and head_loss. Every parameter reaches the loss.
mlir::OwningOpRef<mlir::ModuleOp> buildRandomProgram(mlir::MLIRContext &context, uint64_t seed);

} // namespace titan
