// The machine code of a program's kernels.
#pragma once

#include "mlir/IR/BuiltinOps.h"

namespace titan {

/// Compiles the bodies of all exec.kernel ops to one image for `target` ("cpu" is this machine's
/// instruction set, "cpu:x86-64-v3" and the like a given one), declares it as exec.image @kernels,
/// points the kernels to it and erases their bodies. Errors stand at the kernels.
llvm::LogicalResult emitKernelImage(mlir::ModuleOp exec, llvm::StringRef target);

/// Whether emitKernelImage knows the target.
bool isTarget(llvm::StringRef target);

} // namespace titan
