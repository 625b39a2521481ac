// The C interface between a program's machine code and the runtime that calls it on a CPU.
//
// A kernel image is an ELF shared object without undefined symbols. Each stage of a kernel is one
// exported function; a launch runs its stages one after another, with a barrier in between.
#pragma once

#include <cstdint>

extern "C" {

/// Computes the blocks [beginBlock, endBlock) of a stage. `arguments` are the launch's buffers in
/// order: operands, results, then scratch if the kernel has any; a result that shares memory with
/// an operand stands there a second time. Buffers are aligned to 64 bytes. Blocks are
/// independent: any split over threads gives the same bits.
typedef void TitanKernelStage(void *const *arguments, int64_t beginBlock, int64_t endBlock);
}

namespace titan {

/// Alignment in bytes of every buffer that a kernel is given.
inline constexpr int64_t kKernelBufferAlignment = 64;

} // namespace titan
