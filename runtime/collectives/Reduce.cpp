#include "runtime/collectives/Reduce.h"

// The loops below are plain; the compiler vectorizes them once per instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/collectives/Reduce.cpp"
#define HWY_DISABLED_TARGETS (~(HWY_AVX2 | HWY_EMU128 | HWY_SCALAR))
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

HWY_BEFORE_NAMESPACE();
namespace titan::HWY_NAMESPACE {

/// Elements that are reduced at a time: two blocks of float64 stay in the first-level cache.
inline constexpr int64_t kBlock = 1024;

inline uint32_t select(bool condition, uint32_t yes, uint32_t no) { return condition ? yes : no; }

// After F. Giesen, "float<->half variants", 2012-2016: branch-free, so that loops vectorize.
inline float halfToFloat(uint16_t half) {
  const uint32_t magnitude = uint32_t(half & 0x7fff) << 13;
  const uint32_t exponent = magnitude & 0x0f800000;
  const uint32_t normal = magnitude + ((127 - 15) << 23);
  // Subnormal: put the fraction below a known exponent and take that away again.
  const float subnormal =
      std::bit_cast<float>(magnitude + (113u << 23)) - std::bit_cast<float>(uint32_t(113) << 23);
  uint32_t bits = select(exponent == 0x0f800000, normal + ((128 - 16) << 23), normal);
  bits = select(exponent == 0, std::bit_cast<uint32_t>(subnormal), bits);
  return std::bit_cast<float>(bits | uint32_t(half & 0x8000) << 16);
}

inline uint16_t floatToHalf(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t magnitude = bits & 0x7fffffff;
  // Adding 0.5 makes the processor round a subnormal result at the right place.
  const float aligned = std::bit_cast<float>(magnitude) + 0.5f;
  const uint32_t subnormal = std::bit_cast<uint32_t>(aligned) - std::bit_cast<uint32_t>(0.5f);
  const uint32_t odd = (magnitude >> 13) & 1;
  const uint32_t normal = (magnitude - ((127 - 15) << 23) + 0xfff + odd) >> 13;
  uint32_t half = select(magnitude < (113u << 23), subnormal, normal);
  half = select(magnitude >= ((127u + 16) << 23), 0x7c00, half);
  half = select(magnitude > (255u << 23), 0x7e00, half);
  return static_cast<uint16_t>(half | (bits & 0x80000000) >> 16);
}

inline float bfloatToFloat(uint16_t bits) { return std::bit_cast<float>(uint32_t(bits) << 16); }

inline uint16_t floatToBfloat(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return static_cast<uint16_t>(select((bits & 0x7fffffff) > (255u << 23), 0x7fc0, rounded));
}

/// How a type is stored and what it is accumulated in.
template <typename T> struct Plain {
  using Stored = T;
  using Accumulated = T;
  static T load(T value) { return value; }
  static T store(T value) { return value; }
};
struct BFloat16 {
  using Stored = uint16_t;
  using Accumulated = float;
  static float load(uint16_t bits) { return bfloatToFloat(bits); }
  static uint16_t store(float value) { return floatToBfloat(value); }
};
struct Float16 {
  using Stored = uint16_t;
  using Accumulated = float;
  static float load(uint16_t bits) { return halfToFloat(bits); }
  static uint16_t store(float value) { return floatToHalf(value); }
};

struct Sum {
  template <typename T> static T apply(T a, T b) {
    if constexpr (std::is_integral_v<T>) {
      using Unsigned = std::make_unsigned_t<T>;
      return static_cast<T>(static_cast<Unsigned>(a) + static_cast<Unsigned>(b));
    } else {
      return a + b;
    }
  }
};
struct Max {
  template <typename T> static T apply(T a, T b) { return ((b > a) | (b != b)) ? b : a; }
};

template <typename Type, typename Operation>
HWY_NOINLINE void reduceBlocks(std::span<const std::byte *const> sources, std::byte *out,
                               int64_t begin, int64_t end) {
  using Stored = typename Type::Stored;
  using Accumulated = typename Type::Accumulated;
  alignas(64) Accumulated sums[kBlock];
  // Buffers of a program are aligned to their elements.
  const auto from = [&](size_t rank) { return reinterpret_cast<const Stored *>(sources[rank]); };
  for (; begin < end; begin += kBlock) {
    const int64_t size = std::min(kBlock, end - begin);
    const Stored *first = from(0) + begin;
    for (int64_t i = 0; i < size; ++i)
      sums[i] = Type::load(first[i]);
    for (size_t rank = 1; rank < sources.size(); ++rank) {
      const Stored *next = from(rank) + begin;
      for (int64_t i = 0; i < size; ++i)
        sums[i] = Operation::apply(sums[i], Type::load(next[i]));
    }
    Stored *to = reinterpret_cast<Stored *>(out) + begin;
    for (int64_t i = 0; i < size; ++i)
      to[i] = Type::store(sums[i]);
  }
}

template <typename Operation>
void reduceWith(DType type, std::span<const std::byte *const> sources, std::byte *out,
                int64_t begin, int64_t end) {
  switch (type) {
  case DType::f32:
    return reduceBlocks<Plain<float>, Operation>(sources, out, begin, end);
  case DType::f64:
    return reduceBlocks<Plain<double>, Operation>(sources, out, begin, end);
  case DType::bf16:
    return reduceBlocks<BFloat16, Operation>(sources, out, begin, end);
  case DType::f16:
    return reduceBlocks<Float16, Operation>(sources, out, begin, end);
  case DType::i32:
    return reduceBlocks<Plain<int32_t>, Operation>(sources, out, begin, end);
  case DType::i64:
    return reduceBlocks<Plain<int64_t>, Operation>(sources, out, begin, end);
  default:
    return; // excluded by canReduce
  }
}

inline void reduceAny(DType type, format::Reduction reduction,
                      std::span<const std::byte *const> sources, std::byte *out, int64_t begin,
                      int64_t end) {
  if (reduction == format::Reduction::sum)
    reduceWith<Sum>(type, sources, out, begin, end);
  else
    reduceWith<Max>(type, sources, out, begin, end);
}

} // namespace titan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace titan {

bool canReduce(DType type) {
  return type == DType::f32 || type == DType::f64 || type == DType::bf16 || type == DType::f16 ||
         type == DType::i32 || type == DType::i64;
}

float fromFloat16(uint16_t bits) { return HWY_STATIC_DISPATCH(halfToFloat)(bits); }
uint16_t toFloat16(float value) { return HWY_STATIC_DISPATCH(floatToHalf)(value); }

void reduce(DType type, format::Reduction reduction, std::span<const std::byte *const> sources,
            std::byte *out, int64_t begin, int64_t end) {
#if HWY_TARGETS & HWY_AVX2
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("f16c"))
    return N_AVX2::reduceAny(type, reduction, sources, out, begin, end);
#endif
  HWY_STATIC_DISPATCH(reduceAny)(type, reduction, sources, out, begin, end);
}

void copyBytes(std::byte *destination, const std::byte *source, int64_t bytes, bool streaming) {
  if (destination == source || bytes == 0)
    return;
#if defined(__x86_64__)
  constexpr int64_t kLine = 64;
  if (streaming && bytes >= 4 * kLine) {
    const int64_t head =
        (kLine - static_cast<int64_t>(std::bit_cast<uintptr_t>(destination) % kLine)) % kLine;
    std::memcpy(destination, source, static_cast<size_t>(head));
    int64_t i = head;
    for (; i + kLine <= bytes; i += kLine) {
      const auto *from = reinterpret_cast<const __m128i *>(source + i);
      auto *to = reinterpret_cast<__m128i *>(destination + i);
      const __m128i a = _mm_loadu_si128(from), b = _mm_loadu_si128(from + 1);
      const __m128i c = _mm_loadu_si128(from + 2), d = _mm_loadu_si128(from + 3);
      _mm_stream_si128(to, a);
      _mm_stream_si128(to + 1, b);
      _mm_stream_si128(to + 2, c);
      _mm_stream_si128(to + 3, d);
    }
    std::memcpy(destination + i, source + i, static_cast<size_t>(bytes - i));
    _mm_sfence(); // whoever sees what the caller publishes next sees these bytes too
    return;
  }
#endif
  std::memcpy(destination, source, static_cast<size_t>(bytes));
}

} // namespace titan
#endif // HWY_ONCE
