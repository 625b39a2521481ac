// bfloat16 from and to float32. Plain loops, which the compiler vectorizes for each instruction
// set.

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/device/cpu/ConvertRows.cpp"
#define HWY_DISABLED_TARGETS (~(HWY_AVX2 | HWY_AVX3 | HWY_EMU128 | HWY_SCALAR))
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "runtime/device/cpu/BFloat16.h"
#include "runtime/device/cpu/ThreadPool.h"

#include <algorithm>
#include <bit>

HWY_BEFORE_NAMESPACE();
namespace titan::cpu::HWY_NAMESPACE {

void widenRow(int64_t count, const uint16_t *HWY_RESTRICT from, float *HWY_RESTRICT to) {
  for (int64_t i = 0; i < count; ++i)
    to[i] = std::bit_cast<float>(static_cast<uint32_t>(from[i]) << 16);
}

/// As toBFloat16(), without a branch.
void narrowRow(int64_t count, const float *HWY_RESTRICT from, uint16_t *HWY_RESTRICT to) {
  for (int64_t i = 0; i < count; ++i) {
    const auto bits = std::bit_cast<uint32_t>(from[i]);
    const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    const bool isNan = (bits & 0x7fffffff) > 0x7f800000;
    to[i] = static_cast<uint16_t>(isNan ? 0x7fc0 : rounded);
  }
}

} // namespace titan::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace titan::cpu {

namespace {

struct Conversion {
  void (*widen)(int64_t count, const uint16_t *from, float *to);
  void (*narrow)(int64_t count, const float *from, uint16_t *to);
};

/// Every instruction set gives the same bits.
const Conversion &conversion() {
  const Isa isa = bestIsa();
#if HWY_TARGETS & HWY_AVX3
  static constexpr Conversion avx512{N_AVX3::widenRow, N_AVX3::narrowRow};
  if (isa == Isa::avx512)
    return avx512;
#endif
#if HWY_TARGETS & HWY_AVX2
  static constexpr Conversion avx2{N_AVX2::widenRow, N_AVX2::narrowRow};
  if (isa >= Isa::avx2)
    return avx2;
#endif
  static constexpr Conversion portable{HWY_STATIC_DISPATCH(widenRow),
                                       HWY_STATIC_DISPATCH(narrowRow)};
  return portable;
}

template <typename From, typename To>
void convertRows(ThreadPool &pool, const RowBlock &rows, const From *from, To *to,
                 void (*convert)(int64_t, const From *, To *)) {
  if (rows.width <= 0)
    return;
  constexpr int64_t blockElements = 16 * 1024;
  const int64_t perBlock = std::max<int64_t>(1, blockElements / rows.width);
  const int64_t blocks = (rows.count + perBlock - 1) / perBlock;
  pool.parallelFor(blocks, [&](int64_t begin, int64_t end, int) {
    const int64_t last = std::min(end * perBlock, rows.count);
    for (int64_t row = begin * perBlock; row < last; ++row)
      convert(rows.width, from + row * rows.fromStride, to + row * rows.toStride);
  });
}

} // namespace

void widenRows(ThreadPool &pool, const RowBlock &rows, const uint16_t *from, float *to) {
  convertRows(pool, rows, from, to, conversion().widen);
}

void narrowRows(ThreadPool &pool, const RowBlock &rows, const float *from, uint16_t *to) {
  convertRows(pool, rows, from, to, conversion().narrow);
}

} // namespace titan::cpu

#endif // HWY_ONCE
