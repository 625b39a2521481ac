#include "runtime/exec/Normal.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

// A fused multiply-add would round once where others round twice. (g++ takes -ffp-contract=off.)
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#define TITAN_VECTOR_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define TITAN_VECTOR_CLONES
#endif
#define TITAN_INLINE static inline __attribute__((always_inline))

namespace titan {
namespace {

constexpr uint64_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
constexpr int kRounds = 10;

constexpr uint64_t kOneBits = uint64_t{0x3FF} << 52;   ///< of 1.0
constexpr uint64_t kTwo52Bits = uint64_t{0x433} << 52; ///< of 2^52
constexpr double kTwo52 = 0x1p52;
/// Adding it rounds to an integer and leaves that in the low bits.
constexpr double kRounder = 0x1.8p52;

/// Pairs of a block: enough to keep vectors busy, few enough for the stack and the first cache.
constexpr int64_t kBlock = 128;

/// Four words of random bits per pair, each in 64 bits, as vectors multiply them.
template <int64_t N> struct Words {
  uint64_t word[4][N];
};

TITAN_INLINE double uniform(uint64_t high, uint64_t low) {
  const uint64_t bits = (high << 20) ^ (low >> 12); // 52
  return std::bit_cast<double>(bits | kOneBits) - (1 - 0x1p-53);
}

/// log(x) for 0 < x < 1: the exponent apart, the series of the inverse hyperbolic tangent.
TITAN_INLINE double logarithm(double x) {
  // Mantissas from sqrt(1/2) to sqrt(2): those above wrap into the next exponent.
  const uint64_t shifted =
      std::bit_cast<uint64_t>(x) + (kOneBits - std::bit_cast<uint64_t>(std::numbers::sqrt2 / 2));
  const uint64_t biased = shifted >> 52; // exponent + 1023
  const double exponent = std::bit_cast<double>(biased | kTwo52Bits) - (kTwo52 + 1023);
  const double mantissa =
      std::bit_cast<double>(std::bit_cast<uint64_t>(x) - (biased << 52) + kOneBits);
  const double s = (mantissa - 1) / (mantissa + 1), t = s * s;
  double series = 1.0 / 19;
  series = series * t + 1.0 / 17;
  series = series * t + 1.0 / 15;
  series = series * t + 1.0 / 13;
  series = series * t + 1.0 / 11;
  series = series * t + 1.0 / 9;
  series = series * t + 1.0 / 7;
  series = series * t + 1.0 / 5;
  series = series * t + 1.0 / 3;
  return exponent * std::numbers::ln2 + 2 * (s + s * (t * series));
}

struct SineCosine {
  double sine, cosine;
};

/// Of 2 pi u for 0 < u < 1: quarter turns apart, Taylor series within an eighth of a turn.
TITAN_INLINE SineCosine turn(double u) {
  const double rounded = 4 * u + kRounder;
  const uint64_t quarter = std::bit_cast<uint64_t>(rounded); // modulo 4
  const double x = (4 * u - (rounded - kRounder)) * (std::numbers::pi / 2), t = x * x;
  double s = -1.0 / 1307674368000;
  s = s * t + 1.0 / 6227020800;
  s = s * t - 1.0 / 39916800;
  s = s * t + 1.0 / 362880;
  s = s * t - 1.0 / 5040;
  s = s * t + 1.0 / 120;
  s = s * t - 1.0 / 6;
  s = x + x * (t * s);
  double c = 1.0 / 20922789888000;
  c = c * t - 1.0 / 87178291200;
  c = c * t + 1.0 / 479001600;
  c = c * t - 1.0 / 3628800;
  c = c * t + 1.0 / 40320;
  c = c * t - 1.0 / 720;
  c = c * t + 1.0 / 24;
  c = c * t - 0.5;
  c = 1 + t * c;
  // A quarter turn: (cos, sin) becomes (-sin, cos). Bits, so that vectors need no branch.
  const uint64_t odd = 0 - (quarter & 1), sineBits = std::bit_cast<uint64_t>(s),
                 cosineBits = std::bit_cast<uint64_t>(c);
  const uint64_t negativeSine = (quarter & 2) << 62, negativeCosine = ((quarter + 1) & 2) << 62;
  return {std::bit_cast<double>(((sineBits & ~odd) | (cosineBits & odd)) ^ negativeSine),
          std::bit_cast<double>(((cosineBits & ~odd) | (sineBits & odd)) ^ negativeCosine)};
}

/// philox() of a block of counters, in place.
template <int64_t N> TITAN_INLINE void randomWords(Words<N> &words, std::array<uint32_t, 2> key) {
  constexpr uint64_t kLow = 0xffffffff;
  for (int round = 0; round < kRounds; ++round) {
    for (int64_t i = 0; i < N; ++i) {
      const uint64_t product0 = kMultiplier0 * words.word[0][i];
      const uint64_t product1 = kMultiplier1 * words.word[2][i];
      words.word[0][i] = (product1 >> 32) ^ words.word[1][i] ^ key[0];
      words.word[1][i] = product1 & kLow;
      words.word[2][i] = (product0 >> 32) ^ words.word[3][i] ^ key[1];
      words.word[3][i] = product0 & kLow;
    }
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
}

template <int64_t N>
TITAN_INLINE void transform(uint64_t first, uint32_t attempt, const std::array<uint32_t, 2> &key,
                            double *cosines, double *sines) {
  Words<N> words;
  for (int64_t i = 0; i < N; ++i) {
    const uint64_t pair = first + static_cast<uint64_t>(i);
    words.word[0][i] = pair & 0xffffffff;
    words.word[1][i] = pair >> 32;
    words.word[2][i] = attempt;
    words.word[3][i] = 0;
  }
  randomWords(words, key);
  for (int64_t i = 0; i < N; ++i) {
    const double radius = std::sqrt(-2 * logarithm(uniform(words.word[0][i], words.word[1][i])));
    const SineCosine angle = turn(uniform(words.word[2][i], words.word[3][i]));
    cosines[i] = radius * angle.cosine;
    sines[i] = radius * angle.sine;
  }
}

TITAN_VECTOR_CLONES
void normalBlock(uint64_t first, uint32_t attempt, const std::array<uint32_t, 2> &key,
                 double *cosines, double *sines) {
  transform<kBlock>(first, attempt, key, cosines, sines);
}

} // namespace

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t product0 = kMultiplier0 * counter[0];
    const uint64_t product1 = kMultiplier1 * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<uint32_t>(product0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

double toUniform(uint32_t high, uint32_t low) { return uniform(high, low); }

void normalPairs(uint64_t first, int64_t count, uint32_t attempt, std::array<uint32_t, 2> key,
                 double *to) {
  if (count == 1)
    return transform<1>(first, attempt, key, to, to + 1);
  double cosines[kBlock], sines[kBlock];
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    normalBlock(first + static_cast<uint64_t>(begin), attempt, key, cosines, sines);
    for (int64_t i = 0; i < std::min(kBlock, count - begin); ++i) {
      to[2 * (begin + i)] = cosines[i];
      to[2 * (begin + i) + 1] = sines[i];
    }
  }
}

} // namespace titan
