// Whole training steps in the interpreter, and the check of gradients by finite differences.
#pragma once

#include "compiler/reference/Compare.h"

namespace titan {

/// Runs @fwd on `inputs` and @bwd on the inputs and what @fwd returned, and if there is one the
/// second half of the backward, @bwd_weight; of a pipeline each stage's,
/// with what it gets from the stage before or after. Inputs that several stages take are given
/// once, in the order of their first use.
mlir::LogicalResult runMicrobatch(Interpreter &interpreter, llvm::ArrayRef<HostTensor> inputs);

/// Calls @NAME, or @NAME.0, @NAME.1 and so on, if the module has them.
mlir::LogicalResult callFamily(Interpreter &interpreter, llvm::StringRef name);

/// @update; of a pipeline what comes before it, too.
mlir::LogicalResult runUpdate(Interpreter &interpreter);

/// @prologue, one microbatch, @update. A module of a phase that has no @prologue or @update yet
/// does without.
mlir::LogicalResult runStep(Interpreter &interpreter, llvm::ArrayRef<HostTensor> inputs);

/// Random global inputs of a function of the module, or of a pipeline's stages, in the order that
/// runMicrobatch() takes; of an input named "labels" every fifth is to be ignored.
mlir::FailureOr<llvm::SmallVector<HostTensor>>
makeInputs(mlir::ModuleOp module, llvm::StringRef function, uint64_t seed, int64_t intLimit);

/// How many inputs @fwd, or the stages of a pipeline together, take.
size_t countInputs(mlir::ModuleOp module);

/// A value as a function of how far the variables are moved along a direction.
using Line = llvm::function_ref<mlir::FailureOr<double>(double distance)>;

/// The derivative of `line` at 0 by central differences of fourth order with steps of 1e-3:
/// truncation and rounding are both near 1e-12 of the value for smooth functions of scale 1.
mlir::FailureOr<double> differentiate(Line line);

/// For each variable gradient.NAME, which @bwd has left in `gradients`: the derivative of the first
/// result of @loss in `losses` along a random direction of variable NAME against the gradient's
/// product with that direction; relative to the larger of the derivative and the product's expected
/// size, and no smaller than 1e-6 of the loss. Fails with a diagnostic, also when there is no
/// gradient.
mlir::FailureOr<Deviation> compareWithDifferences(mlir::ModuleOp module, Interpreter &losses,
                                                  Interpreter &gradients,
                                                  llvm::ArrayRef<HostTensor> inputs, uint64_t seed);

} // namespace titan
