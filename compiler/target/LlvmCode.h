// What every target does with its kernels: modules of them are lowered to LLVM's dialect, and their
// LLVM modules to code.
#pragma once

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/PassManager.h"

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/IR/Module.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/CodeGen.h"
#include "llvm/Target/TargetMachine.h"

#include <mutex>

namespace titan {

/// How many kernels are compiled together, beside other such parts; independent of the number of
/// threads, for the code is to be the same.
inline constexpr size_t kKernelsPerPart = 4;

/// Runs passes over the modules, which are of one context, on its threads, and hands each that is
/// lowered to `emit` by its index. `addPasses` is told the index of a module too, and may not let
/// passes depend on different dialects by it.
mlir::LogicalResult lowerInParallel(llvm::ArrayRef<mlir::ModuleOp> modules,
                                    llvm::function_ref<void(mlir::PassManager &, size_t)> addPasses,
                                    llvm::function_ref<mlir::LogicalResult(size_t)> emit);

/// Of LLVM's list of targets, which has no lock of its own: two threads that register at once can
/// close it to a ring. To be held while targets are registered or looked up.
std::mutex &targetListMutex();

/// Sets the module's triple and data layout to the machine's.
void setTarget(llvm::Module &module, const llvm::TargetMachine &machine);

/// Runs LLVM's O3 pipeline.
void optimize(llvm::Module &module, llvm::TargetMachine &machine,
              const llvm::PipelineTuningOptions &tuning = {});

/// Appends the module's object file or assembly to `out`.
void writeCode(llvm::Module &module, llvm::TargetMachine &machine, llvm::CodeGenFileType type,
               llvm::SmallVectorImpl<char> &out);

} // namespace titan
