// What holds at the end of each phase, beyond what the ops' own verifiers check.
#pragma once

#include "mlir/IR/BuiltinOps.h"

namespace titan {

/// @loss has results (loss, valid), both tensor<f32>, and so has @eval if it is there; all ops are
/// of the titan dialect.
llvm::LogicalResult verifyGraph(mlir::ModuleOp module);

/// As verifyGraph; and in a module with a mesh every tensor has a sharding that divides it.
llvm::LogicalResult verifySharded(mlir::ModuleOp module);

/// The functions of a step are there and @loss is not; in a module with a mesh every tensor has a
/// sharding that divides it; every op of theirs answers the interfaces
/// that the passes after this phase ask.
llvm::LogicalResult verifyStep(mlir::ModuleOp module);

/// As verifyStep, of local types: titan-partition-spmd has run.
llvm::LogicalResult verifyDevice(mlir::ModuleOp module);

/// As verifyDevice, and no op is left that would hold a microbatch's logits at once.
llvm::LogicalResult verifyLocal(mlir::ModuleOp module);

/// Every op is a kernel, emits its own instruction, or is a load or store.
llvm::LogicalResult verifyKernels(mlir::ModuleOp module);

/// Only the exec dialect is left; ranks issue what they share in one order, and what entries of
/// timelines find in slots is what their microbatch has there.
llvm::LogicalResult verifyExec(mlir::ModuleOp module);

} // namespace titan
