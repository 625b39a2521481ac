// What a kernel is tried on, and where its results are looked at: functions of a seed, so that the
// machine with the interpreter and the one with the GPU need not exchange them.
#pragma once

#include "runtime/base/DType.h"
#include "runtime/base/Hash.h"

#include <algorithm>
#include <bit>
#include <string>
#include <string_view>

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

/// Each kernel runs on both: on numbers from 0 to 1, of which all functions are finite, and on
/// numbers from -1 to 1.
inline constexpr bool kSigns[] = {false, true};

/// One operand of a kernel.
class RandomOperand {
public:
  RandomOperand(uint64_t seed, std::string_view kernel, size_t operand, DType type, bool signs)
      : key(randomBits(randomBits(seed, hash64(kernel)), 2 * operand + signs)), type(type),
        signs(signs) {}

  /// An element, by its number in row-major order. Integers are labels, some of them ignored, below
  /// the smallest vocabulary that is tried.
  double at(int64_t element) const {
    const uint64_t bits = randomBits(key, static_cast<uint64_t>(element));
    if (type != DType::f32 && type != DType::bf16)
      return bits % 8 == 0 ? -100 : static_cast<double>(bits / 8 % 64);
    const float number = signs ? 2 * unitOf(bits) - 1 : unitOf(bits);
    return static_cast<double>(type == DType::bf16 ? fromBFloat16(toBFloat16(number)) : number);
  }

private:
  uint64_t key;
  DType type;
  bool signs;
};

/// The elements of a result that are compared: the first, the last, and one of each of equally many
/// between, so that no long run of them is left out.
class Samples {
public:
  /// `results` is how many the kernel has in all: those of a batch are many, and of equal code.
  Samples(uint64_t seed, int64_t elements, size_t results)
      : seed(seed), elements(elements),
        number(std::min({elements, int64_t{4096},
                         std::max<int64_t>(64, 65536 / static_cast<int64_t>(results))})) {}

  int64_t count() const { return number; }
  int64_t at(int64_t sample) const {
    if (sample == number - 1)
      return elements - 1;
    const int64_t begin = sample * elements / number, end = (sample + 1) * elements / number;
    return sample == 0
               ? 0
               : begin + static_cast<int64_t>(randomBits(seed, static_cast<uint64_t>(sample)) %
                                              static_cast<uint64_t>(end - begin));
  }

private:
  uint64_t seed;
  int64_t elements, number;
};

/// The tensor of a file of KernelNumbers that has a result's samples, float32. Its operands that
/// results take over are int32 in "KERNEL/ties", -1 for none.
inline std::string samplesName(std::string_view kernel, size_t result, bool signs) {
  return std::string(kernel) + (signs ? "/signed/" : "/positive/") + std::to_string(result);
}

} // namespace titan::gpu
