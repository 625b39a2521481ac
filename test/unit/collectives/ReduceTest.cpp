#include "runtime/collectives/Reduce.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

using namespace titan;
using format::Reduction;

namespace {

/// What the bits of a half mean, by the definition.
double halfValue(uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const double sign = bits >> 15 ? -1 : 1;
  if (exponent == 31)
    return fraction ? std::nan("") : sign * std::numeric_limits<double>::infinity();
  return sign * (exponent ? std::ldexp(1024 + fraction, exponent - 25) : std::ldexp(fraction, -24));
}

TEST(Float16, EveryValueGoesThereAndBack) {
  for (int bits = 0; bits < 65536; ++bits) {
    const double value = halfValue(uint16_t(bits));
    const float found = fromFloat16(uint16_t(bits));
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(found)) << bits;
      EXPECT_TRUE(std::isnan(halfValue(toFloat16(found)))) << bits;
      continue;
    }
    ASSERT_EQ(double(found), value) << bits;
    ASSERT_EQ(std::signbit(found), bits >> 15 != 0) << bits;
    ASSERT_EQ(toFloat16(found), bits);
  }
}

TEST(Float16, RoundsToNearestEven) {
  // Between each two neighbours: the middle goes to the even one, everything else to the nearer.
  for (int bits = 0; bits < 0x7bff; ++bits) {
    const float low = fromFloat16(uint16_t(bits)), high = fromFloat16(uint16_t(bits + 1));
    const float middle = (low + high) / 2;
    ASSERT_EQ(toFloat16(middle), bits % 2 ? bits + 1 : bits);
    ASSERT_EQ(toFloat16(std::nextafter(middle, low)), bits);
    ASSERT_EQ(toFloat16(std::nextafter(middle, high)), bits + 1);
    ASSERT_EQ(toFloat16(-middle), (bits % 2 ? bits + 1 : bits) | 0x8000);
  }
  EXPECT_EQ(toFloat16(65519.0f), 0x7bff);
  EXPECT_EQ(toFloat16(65520.0f), 0x7c00);
  EXPECT_EQ(toFloat16(std::numeric_limits<float>::infinity()), 0x7c00);
  EXPECT_EQ(toFloat16(1e-30f), 0);
}

template <typename T> std::byte *bytes(std::vector<T> &values) {
  return reinterpret_cast<std::byte *>(values.data());
}

template <typename T>
std::vector<T> reduced(DType type, Reduction reduction, std::vector<std::vector<T>> sources) {
  std::vector<const std::byte *> addresses;
  for (auto &source : sources)
    addresses.push_back(bytes(source));
  std::vector<T> out(sources[0].size());
  reduce(type, reduction, addresses, bytes(out), 0, int64_t(out.size()));
  return out;
}

TEST(Reduce, AddsInTheOrderOfTheSources) {
  // Only from the left does the small number survive.
  EXPECT_EQ(reduced<float>(DType::f32, Reduction::sum, {{1e8f}, {-1e8f}, {1}})[0], 1);
  EXPECT_EQ(reduced<float>(DType::f32, Reduction::sum, {{1}, {1e8f}, {-1e8f}})[0], 0);
  EXPECT_EQ(reduced<double>(DType::f64, Reduction::sum, {{1e20}, {-1e20}, {1}})[0], 1);
}

TEST(Reduce, RoundsBFloat16AndHalfOnce) {
  // 256 + 1 + 1: rounding after each addition would lose both ones (bfloat16 has 8 bits).
  const uint16_t big = toBFloat16(256), one = toBFloat16(1);
  EXPECT_EQ(reduced<uint16_t>(DType::bf16, Reduction::sum, {{big}, {one}, {one}})[0],
            toBFloat16(258));
  const uint16_t bigHalf = toFloat16(2048), oneHalf = toFloat16(1);
  EXPECT_EQ(reduced<uint16_t>(DType::f16, Reduction::sum, {{bigHalf}, {oneHalf}, {oneHalf}})[0],
            toFloat16(2050));
}

TEST(Reduce, BFloat16RoundsAsTheBaseLibraryDoes) {
  std::mt19937 random(1);
  std::vector<uint16_t> a(5000), b(5000);
  for (size_t i = 0; i < a.size(); ++i) {
    a[i] = uint16_t(random());
    b[i] = uint16_t(random());
  }
  const auto sums = reduced<uint16_t>(DType::bf16, Reduction::sum, {a, b});
  for (size_t i = 0; i < a.size(); ++i)
    ASSERT_EQ(sums[i], toBFloat16(fromBFloat16(a[i]) + fromBFloat16(b[i]))) << i;
}

TEST(Reduce, IntegersWrap) {
  EXPECT_EQ(reduced<int32_t>(DType::i32, Reduction::sum, {{INT32_MAX}, {1}})[0], INT32_MIN);
  EXPECT_EQ(reduced<int64_t>(DType::i64, Reduction::sum, {{INT64_MIN}, {-1}})[0], INT64_MAX);
  EXPECT_EQ(reduced<int64_t>(DType::i64, Reduction::max, {{-5}, {INT64_MIN}})[0], -5);
}

TEST(Reduce, MaximumKeepsNaN) {
  const float nan = std::nanf("");
  for (int place = 0; place < 3; ++place) {
    std::vector<std::vector<float>> sources{{1}, {3}, {2}};
    EXPECT_EQ(reduced<float>(DType::f32, Reduction::max, sources)[0], 3);
    sources[size_t(place)][0] = nan;
    EXPECT_TRUE(std::isnan(reduced<float>(DType::f32, Reduction::max, sources)[0])) << place;
  }
}

TEST(Reduce, MayWriteARangeOverASource) {
  std::vector<float> a(3000, 1), b(3000, 2);
  const std::byte *sources[] = {bytes(a), bytes(b)};
  reduce(DType::f32, Reduction::sum, sources, bytes(b), 5, 2999);
  for (size_t i = 0; i < b.size(); ++i)
    EXPECT_EQ(b[i], i < 5 || i == 2999 ? 2.0f : 3.0f);
}

TEST(CopyBytes, CopiesAtEveryAlignment) {
  std::vector<uint8_t> from(1000), to(1000);
  for (size_t i = 0; i < from.size(); ++i)
    from[i] = uint8_t(i * 7 + 1);
  for (bool streaming : {false, true})
    for (size_t offset = 0; offset < 65; ++offset)
      for (size_t count : {0, 1, 63, 64, 255, 256, 257, 700}) {
        std::fill(to.begin(), to.end(), uint8_t(0));
        copyBytes(bytes(to) + offset, bytes(from) + 3, int64_t(count), streaming);
        for (size_t i = 0; i < to.size(); ++i)
          ASSERT_EQ(to[i], i >= offset && i < offset + count ? from[i - offset + 3] : 0)
              << offset << " " << count << " " << i;
      }
}

} // namespace
