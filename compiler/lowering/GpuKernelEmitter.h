// titan.kernel to GPU functions: one for each stage of a kernel's schedule.
#pragma once

#include "compiler/lowering/KernelEmitter.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"

#include <string>
#include <vector>

namespace titan {

/// A function and the grid that it is launched on, both one-dimensional.
struct GpuStage {
  std::string function;
  int64_t blocks;
  int64_t threads; ///< of a block: a power of two from 32 to 512
};

/// Appends the functions `symbol_0`, `symbol_1`, ... to `module`: gpu.func of the gpu, scf, memref,
/// vector, arith and math dialects, with the scalar bodies that the CPU's loops have. A function
/// takes one pointer, aligned to 16 bytes, for each of the launch's buffers: operands, results, and
/// scratch if the schedule for ScheduleOptions::forGpu() has any; memory is one-dimensional. A
/// tied result is addressed through its operand's pointer.
///
/// A row belongs to a warp or a part of one if it is short, else to a block. Its threads take
/// vectors of 16 bytes (32 of the wider type beside a 16-bit one) in turn, wherever the lengths of
/// the column loops allow. Reductions go through shuffles and shared memory in a fixed order, so
/// results do not depend on how blocks are scheduled. bf16 and f16 are computed in f32.
///
/// Fails with an error at the kernel or one of its ops. The dialects must be loaded.
llvm::FailureOr<std::vector<GpuStage>> emitGpuKernel(KernelOp kernel, const KernelTies &ties,
                                                     llvm::StringRef symbol,
                                                     mlir::gpu::GPUModuleOp module);

} // namespace titan
