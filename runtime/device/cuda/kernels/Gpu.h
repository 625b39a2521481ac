// What the kernels of this folder are written with: C++ that clang compiles for nvptx64, without
// CUDA's headers. Each file becomes PTX for sm_80, which newer GPUs run as well.
#pragma once

#define TITAN_KERNEL extern "C" __attribute__((device_kernel, visibility("default")))
#define TITAN_SHARED static __attribute__((address_space(3)))
#define TITAN_DEVICE static inline __attribute__((always_inline))

namespace titan::gpu {

using int32_t = int;
using int64_t = long;
using uint16_t = unsigned short;
using uint32_t = unsigned;

inline constexpr int kWarp = 32;

TITAN_DEVICE int threadInBlock() { return __nvvm_read_ptx_sreg_tid_x(); }
TITAN_DEVICE int blockSize() { return __nvvm_read_ptx_sreg_ntid_x(); }
TITAN_DEVICE int64_t blockX() { return static_cast<uint32_t>(__nvvm_read_ptx_sreg_ctaid_x()); }
TITAN_DEVICE int64_t blockY() { return static_cast<uint32_t>(__nvvm_read_ptx_sreg_ctaid_y()); }
TITAN_DEVICE int64_t blocksX() { return static_cast<uint32_t>(__nvvm_read_ptx_sreg_nctaid_x()); }
TITAN_DEVICE void barrier() { __syncthreads(); }

/// The number of the thread in the grid's x dimension, and how many there are.
TITAN_DEVICE int64_t threadInGrid() { return blockX() * blockSize() + threadInBlock(); }
TITAN_DEVICE int64_t threadsInGrid() { return blocksX() * blockSize(); }

/// The value of another lane: its number is this lane's with the bits of `mask` flipped.
template <typename T> TITAN_DEVICE T flipLane(T value, int mask) {
  static_assert(sizeof(T) == sizeof(int));
  return __builtin_bit_cast(
      T, __nvvm_shfl_sync_bfly_i32(-1, __builtin_bit_cast(int, value), mask, kWarp - 1));
}
// Partners combine the same two values, so all lanes get the same bits.
TITAN_DEVICE float warpSum(float value) {
  for (int mask = kWarp / 2; mask > 0; mask /= 2)
    value += flipLane(value, mask);
  return value;
}
/// A NaN wins: which of two is returned must not depend on their order, or lanes would differ.
TITAN_DEVICE float maximum(float a, float b) { return __nvvm_fmax_nan_f(a, b); }
TITAN_DEVICE float warpMax(float value) {
  for (int mask = kWarp / 2; mask > 0; mask /= 2)
    value = maximum(value, flipLane(value, mask));
  return value;
}

/// 2^x; 0 for -infinity. The instruction is within 2 units in the last place.
TITAN_DEVICE float exp2(float x) { return __nvvm_ex2_approx_ftz_f(x); }
TITAN_DEVICE float log2(float x) { return __nvvm_lg2_approx_ftz_f(x); }
inline constexpr float kLog2E = 1.44269504088896341f, kLn2 = 0.693147180559945309f;
inline constexpr float kInfinity = __builtin_huge_valf();

/// bfloat16 in memory.
struct BFloat16 {
  uint16_t bits;
};

TITAN_DEVICE float load(const float *p) { return *p; }
TITAN_DEVICE float load(const BFloat16 *p) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(p->bits) << 16);
}
TITAN_DEVICE void store(float *p, float value) { *p = value; }
TITAN_DEVICE void store(BFloat16 *p, float value) {
  p->bits = __builtin_bit_cast(uint16_t, static_cast<__bf16>(value));
}

} // namespace titan::gpu
