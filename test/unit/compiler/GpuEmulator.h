// Executes gpu.func on the host: all threads of a block in lock step, blocks one after another.
//
// It finds what a GPU would not say: accesses out of bounds or not aligned, barriers and shuffles
// that not all threads reach, and data races. Two accesses to an element by different threads, at
// least one of which writes, must have a barrier between them; a warp's barrier counts among its
// own threads. Accesses of different blocks have nothing between them.
#pragma once

#include "mlir/Dialect/GPU/IR/GPUDialect.h"

#include <string>
#include <vector>

namespace titan::testing {

struct GpuLaunch {
  mlir::gpu::GPUFuncOp function;
  int64_t blocks;
  int64_t threads;
  std::vector<void *> arguments; ///< one per parameter, of its memref's size; may be the same
};

/// The first thing that went wrong, with its op; empty if nothing did.
std::string emulate(const GpuLaunch &launch);

} // namespace titan::testing
