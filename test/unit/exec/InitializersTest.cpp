#include "runtime/exec/Initializers.h"
#include "runtime/exec/Normal.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numbers>
#include <numeric>

using namespace titan;
using format::Distribution;

namespace {

format::Variable variable(Distribution distribution, std::vector<double> numbers,
                          std::initializer_list<int64_t> shape = {1 << 16},
                          DType type = DType::f32) {
  return {"layers.0.attention.wq.weight",
          format::denseView(type, shape),
          format::Role::parameter,
          {},
          format::Initializer{distribution, std::move(numbers)}};
}

std::vector<float> draw(const format::Variable &variable, uint64_t seed, int64_t begin,
                        int64_t end) {
  std::vector<float> values(static_cast<size_t>(end - begin));
  InitialValues(variable, seed).write(begin, end, reinterpret_cast<std::byte *>(values.data()));
  return values;
}

double mean(const std::vector<float> &values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double deviation(const std::vector<float> &values) {
  const double center = mean(values);
  double sum = 0;
  for (const float value : values)
    sum += (value - center) * (value - center);
  return std::sqrt(sum / static_cast<double>(values.size()));
}

} // namespace

// The known answers of Random123's distribution (kat_vectors, philox 4x32 10).
TEST(Philox, KnownAnswers) {
  using Words = std::array<uint32_t, 4>;
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Normal, IsTheTransformOfPhilox) {
  const std::array<uint32_t, 2> key = {0x12345678, 0x9abcdef0};
  const uint64_t first = (uint64_t{1} << 32) - 500;
  constexpr int64_t kPairs = 1000; // no multiple of any vector
  std::vector<double> values(2 * kPairs);
  normalPairs(first, kPairs, 3, key, values.data());
  for (int64_t i = 0; i < kPairs; ++i) {
    const uint64_t pair = first + static_cast<uint64_t>(i);
    const auto bits =
        philox({static_cast<uint32_t>(pair), static_cast<uint32_t>(pair >> 32), 3, 0}, key);
    const double radius = std::sqrt(-2 * std::log(toUniform(bits[0], bits[1])));
    const double angle = 2 * std::numbers::pi * toUniform(bits[2], bits[3]);
    ASSERT_NEAR(values[2 * i], radius * std::cos(angle), 1e-14 * radius) << i;
    ASSERT_NEAR(values[2 * i + 1], radius * std::sin(angle), 1e-14 * radius) << i;
    double alone[2];
    normalPairs(pair, 1, 3, key, alone);
    ASSERT_EQ(values[2 * i], alone[0]) << i;
    ASSERT_EQ(values[2 * i + 1], alone[1]) << i;
  }
}

TEST(Normal, UniformNumbersStayWithinTheirBounds) {
  EXPECT_EQ(toUniform(0, 0), 0x1p-53);
  EXPECT_EQ(toUniform(~0u, ~0u), 1 - 0x1p-53);
}

TEST(Initializers, AnElementDependsOnItsIndexOnly) {
  for (const auto &it : {variable(Distribution::normal, {0, 1}),
                         variable(Distribution::truncatedNormal, {0, 1, -1, 2}),
                         variable(Distribution::truncatedNormal, {0, 1, -0.1, 0.1})}) {
    const auto whole = draw(it, 7, 0, 2000);
    for (const auto &[begin, end] : {std::pair<int64_t, int64_t>{0, 1}, {1, 2}, {511, 1025}}) {
      const auto part = draw(it, 7, begin, end);
      for (int64_t i = begin; i < end; ++i)
        ASSERT_EQ(part[static_cast<size_t>(i - begin)], whole[static_cast<size_t>(i)]) << i;
    }
  }
}

TEST(Initializers, SeedAndNameMatter) {
  auto it = variable(Distribution::normal, {0, 1});
  const auto first = draw(it, 1, 0, 64);
  EXPECT_EQ(first, draw(it, 1, 0, 64));
  EXPECT_NE(first, draw(it, 2, 0, 64));
  it.name = "layers.1.attention.wq.weight";
  EXPECT_NE(first, draw(it, 1, 0, 64));
}

TEST(Initializers, NormalHasItsMoments) {
  const auto values = draw(variable(Distribution::normal, {0.5, 0.02}), 3, 0, 1 << 16);
  EXPECT_NEAR(mean(values), 0.5, 5 * 0.02 / 256);
  EXPECT_NEAR(deviation(values), 0.02, 0.02 * 0.02);
  double fourth = 0; // kurtosis 3 tells a normal from a uniform
  for (const float value : values)
    fourth += std::pow((value - 0.5) / 0.02, 4);
  EXPECT_NEAR(fourth / (1 << 16), 3, 0.15);
}

TEST(Initializers, TruncatedNormalKeepsItsBounds) {
  // Wide: rejection. Narrow and one-sided: inversion. Moments of the cut distribution.
  struct Case {
    std::vector<double> numbers;
    double mean, deviation;
  };
  for (const Case &it : {Case{{0, 1, -2, 2}, 0, 0.8796}, Case{{0, 1, -0.1, 0.1}, 0, 0.05769},
                         Case{{0, 1, -0.01, 3}, 0.7803, 0.5824}}) {
    const auto values = draw(variable(Distribution::truncatedNormal, it.numbers), 3, 0, 1 << 16);
    for (const float value : values) {
      ASSERT_GE(value, static_cast<float>(it.numbers[2]));
      ASSERT_LE(value, static_cast<float>(it.numbers[3]));
    }
    EXPECT_NEAR(mean(values), it.mean, 0.01);
    EXPECT_NEAR(deviation(values), it.deviation, 0.01);
  }
}

TEST(Initializers, RotaryTables) {
  // Factor 1: plain angles.
  const auto cosine =
      draw(variable(Distribution::ropeCosine, {10000, 1, 1, 4, 8192}, {8, 4}), 0, 0, 32);
  const auto sine =
      draw(variable(Distribution::ropeSine, {10000, 1, 1, 4, 8192}, {8, 4}), 0, 0, 32);
  for (int p = 0; p < 8; ++p)
    for (int i = 0; i < 4; ++i) {
      const double angle = p * std::pow(10000.0, -i / 4.0);
      EXPECT_FLOAT_EQ(cosine[static_cast<size_t>(4 * p + i)], static_cast<float>(std::cos(angle)));
      EXPECT_FLOAT_EQ(sine[static_cast<size_t>(4 * p + i)], static_cast<float>(std::sin(angle)));
    }
  // Llama 3.1: the lowest of these frequencies turns less than once in 8192 and is divided by 8.
  const auto scaled =
      draw(variable(Distribution::ropeSine, {500000, 8, 1, 4, 8192}, {2, 8}), 0, 8, 16);
  EXPECT_FLOAT_EQ(scaled[0], std::sin(1.0f));
  EXPECT_FLOAT_EQ(scaled[7], static_cast<float>(std::sin(std::pow(500000.0, -7.0 / 8) / 8)));
}

TEST(Initializers, RotaryTablesInPartsAreThoseOfTheWhole) {
  const std::vector<double> numbers = {10000, 1, 1, 4, 8192};
  const auto whole = draw(variable(Distribution::ropeSine, numbers, {8, 4}), 0, 0, 32);
  for (const std::initializer_list<int64_t> local : {std::initializer_list<int64_t>{16}, {8, 2}}) {
    format::Variable part = variable(Distribution::ropeSine, numbers, local);
    part.sharding = format::Sharding{{8, 4}, {{}, {}}, {}, {"dp"}};
    EXPECT_EQ(draw(part, 0, 0, 32), whole);
  }
}

TEST(Initializers, RoundsToTheElementType) {
  const auto it = variable(Distribution::constant, {1.00390625 + 1e-6}, {4}, DType::bf16);
  uint16_t bits[4];
  InitialValues(it, 0).write(0, 4, reinterpret_cast<std::byte *>(bits));
  EXPECT_EQ(bits[3], 0x3f81);
  EXPECT_FALSE(InitialValues::supports(DType::i32));
}
