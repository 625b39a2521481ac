// What every target does with the LLVM module of its kernels.
#pragma once

#include "mlir/Pass/PassManager.h"

#include "llvm/ADT/SmallVector.h"
#include "llvm/IR/Module.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/CodeGen.h"
#include "llvm/Target/TargetMachine.h"

#include <mutex>

namespace titan {

/// Registers and loads what the passes depend on. Each run of a pass manager does so for what is
/// missing, without a lock: to be called before several threads run such passes in one context.
void loadDependentDialects(const mlir::OpPassManager &passes, mlir::MLIRContext &context);

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
