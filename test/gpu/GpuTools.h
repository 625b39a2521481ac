// What tools/gpu-check.sh runs on a machine with a GPU, beside tests and training.
#pragma once

#include "runtime/device/Device.h"

#include <bit>
#include <map>
#include <tuple>

namespace titan::gpu {

/// The same for the same numbers; each bit looks random.
inline uint64_t randomBits(uint64_t seed, uint64_t index) {
  uint64_t x = (seed + 1) * 0x9e3779b97f4a7c15 + index;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

/// A number from 0 to below 1, of some random bits.
inline float unitOf(uint64_t bits) { return static_cast<float>(bits >> 40) * 0x1p-24f; }

/// Compares all kernels of two programs of one job on random numbers, which `seed` chooses; prints
/// what is wrong and a summary; whether nothing is.
StatusOr<bool> checkKernels(const format::Program &cpuProgram, const format::Program &gpuProgram,
                            Device &gpuDevice, uint64_t seed);

/// Measures the GPU's rates, then each instruction of a training step on random tokens, and prints
/// where the step's time goes: by class, beside what bytes and flops allow at those rates.
Status timeClasses(const format::Program &program, Device &device);

/// Measures attention and its gradient in bfloat16, causal, with heads of 64 and of 128 elements,
/// and prints a line for each that begins with `name`.
Status timeAttention(Device &device, const std::string &name);

} // namespace titan::gpu
