// titan.kernel to loops: one function for each stage of a kernel's schedule.
#pragma once

#include "passes/kernels/KernelSchedule.h"

#include "mlir/IR/BuiltinOps.h"

#include <optional>
#include <string>
#include <vector>

namespace titan {

/// Per result the operand whose memory it takes over; none: it has its own. Only ties that
/// KernelPlan::reusable allows, and no operand twice. Empty: no ties.
using KernelTies = llvm::SmallVector<std::optional<unsigned>>;

/// The function of a stage. It takes one bare pointer for each of `pointers`, then the first block
/// and the end of the range of blocks as 64-bit integers.
struct EmittedStage {
  struct Pointer {
    unsigned argument;  ///< among the launch's buffers: operands, results, scratch
    int64_t byteOffset; ///< from that buffer's start
    /// Only written, and so large that no cache holds it until it is read: stores may bypass them.
    bool isStreamed = false;
  };
  std::string function;
  int64_t blocks;
  std::vector<Pointer> pointers;
};

/// Appends the functions `symbol.0`, `symbol.1`, ... to `module`: scalar loops of the scf, memref,
/// arith and math dialects that LLVM can vectorize. Tensors of bf16 are memory of i16, converted by
/// integer instructions, rounding to nearest even; everything narrower than f32 is computed in f32.
/// Pointers do not alias, since a tied result has none of its own. The dialects must be loaded.
/// Fails with an error at the kernel or one of its ops.
llvm::FailureOr<std::vector<EmittedStage>>
emitKernel(KernelOp kernel, const KernelTies &ties, llvm::StringRef symbol, mlir::ModuleOp module);

} // namespace titan
