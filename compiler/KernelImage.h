// The machine code of a program's kernels.
#pragma once

#include "mlir/IR/BuiltinOps.h"

namespace titan {

/// Compiles the bodies of all exec.kernel ops for `target` ("cpu" is this machine's instruction
/// set, "cpu:x86-64-v3" and the like a given one; "cuda:sm_90"), declares the code as exec.image
/// @kernels, points the kernels to it and erases their bodies. For CUDA the image is PTX; where
/// ptxas is there, what it makes of it is a second image, @kernels.cubin. Errors stand at the
/// kernels.
llvm::LogicalResult emitKernelImage(mlir::ModuleOp exec, llvm::StringRef target);

/// Whether emitKernelImage knows the target.
bool isTarget(llvm::StringRef target);
/// All of them, for messages: "cpu (this machine's instruction set), cpu:x86-64-v2, ...".
std::string listTargets();
/// Whether kernels for the target run on a GPU.
inline bool isGpuTarget(llvm::StringRef target) { return target.starts_with("cuda"); }
/// Of the GPU that a target is (90: 9.0 of cuda:sm_90), or 0.
inline int64_t getComputeCapability(llvm::StringRef target) {
  int64_t capability = 0;
  if (target.consume_front("cuda:sm_"))
    target.getAsInteger(10, capability);
  return capability;
}

} // namespace titan
