#include "runtime/exec/Initializers.h"

#include "runtime/base/Hash.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

namespace titan {

using format::Distribution;

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * counter[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<uint32_t>(product0)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

// 53 bits of two words, half a step away from 0 and from 1.
static double toUniform(uint32_t high, uint32_t low) {
  const uint64_t bits = (uint64_t{high} << 21) ^ (low >> 11);
  return (static_cast<double>(bits) + 0.5) * 0x1p-53;
}

static double cumulative(double x, double mean, double std) {
  return 0.5 * std::erfc((mean - x) / std / std::numbers::sqrt2);
}

InitialValues::InitialValues(const format::Variable &variable, uint64_t seed)
    : initializer(variable.initializer.value_or(format::Initializer{Distribution::constant, {0}})),
      type(variable.view.type), columns(variable.view.rank == 2 ? variable.view.shape[1] : 1) {
  const uint64_t hash = hash64(variable.name, seed);
  key = {static_cast<uint32_t>(hash), static_cast<uint32_t>(hash >> 32)};
  if (initializer.distribution != Distribution::truncatedNormal)
    return;
  const auto &n = initializer.numbers;
  below = cumulative(n[2], n[0], n[1]);
  above = cumulative(n[3], n[0], n[1]);
  rejects = above - below >= 0.5;
}

bool InitialValues::supports(DType type) {
  return type == DType::f32 || type == DType::bf16 || type == DType::f64;
}

std::array<double, 2> InitialValues::normalPair(uint64_t pair, uint32_t attempt) const {
  const auto bits =
      philox({static_cast<uint32_t>(pair), static_cast<uint32_t>(pair >> 32), attempt, 0}, key);
  const double radius = std::sqrt(-2 * std::log(toUniform(bits[0], bits[1])));
  const double angle = 2 * std::numbers::pi * toUniform(bits[2], bits[3]);
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

double InitialValues::uniform(uint64_t index) const {
  const auto bits =
      philox({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), 0, 1}, key);
  return toUniform(bits[0], bits[1]);
}

double InitialValues::invertedTruncated(double probability) const {
  const auto &n = initializer.numbers;
  const double wanted = below + (above - below) * probability;
  double low = n[2], high = n[3];
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (cumulative(middle, n[0], n[1]) < wanted ? low : high) = middle;
  }
  return (low + high) / 2;
}

double InitialValues::truncated(int64_t index, double first) const {
  const auto &n = initializer.numbers;
  if (!rejects)
    return invertedTruncated(uniform(static_cast<uint64_t>(index)));
  double value = n[0] + n[1] * first;
  for (uint32_t attempt = 1; value < n[2] || value > n[3]; ++attempt) {
    // At least half are accepted: the cap is for the arithmetic, not for the statistics.
    if (attempt == 64)
      return std::clamp(value, n[2], n[3]);
    const auto pair = normalPair(static_cast<uint64_t>(index) / 2, attempt);
    value = n[0] + n[1] * pair[static_cast<size_t>(index % 2)];
  }
  return value;
}

// Llama 3.1's scaling of rotary frequencies: those that turn less than lowFrequency times within
// the original length are divided by factor, those above highFrequency kept, others interpolated.
double InitialValues::rope(int64_t index) const {
  const auto &n = initializer.numbers;
  const double theta = n[0], factor = n[1], low = n[2], high = n[3], original = n[4];
  const auto position = static_cast<double>(index / columns);
  const double exponent = static_cast<double>(index % columns) / static_cast<double>(columns);
  double frequency = 1 / std::pow(theta, exponent);
  const double turns = original * frequency / (2 * std::numbers::pi);
  if (turns < low)
    frequency /= factor;
  else if (turns <= high) {
    const double smooth = (turns - low) / (high - low);
    frequency = (1 - smooth) * frequency / factor + smooth * frequency;
  }
  const double angle = position * frequency;
  return initializer.distribution == Distribution::ropeCosine ? std::cos(angle) : std::sin(angle);
}

void InitialValues::writeNumbers(int64_t begin, int64_t end, double *to) const {
  const auto &n = initializer.numbers;
  switch (initializer.distribution) {
  case Distribution::constant:
    std::fill_n(to, end - begin, n[0]);
    return;
  case Distribution::ropeCosine:
  case Distribution::ropeSine:
    for (int64_t i = begin; i < end; ++i)
      to[i - begin] = rope(i);
    return;
  case Distribution::axisIndex: // an i32, which supports() refuses
    return;
  case Distribution::normal:
  case Distribution::truncatedNormal:
    break;
  }
  const bool cut = initializer.distribution == Distribution::truncatedNormal;
  std::array<double, 2> pair{};
  for (int64_t i = begin; i < end; ++i) {
    if (i == begin || i % 2 == 0)
      pair = normalPair(static_cast<uint64_t>(i) / 2, 0);
    const double normal = pair[static_cast<size_t>(i % 2)];
    to[i - begin] = cut ? truncated(i, normal) : n[0] + n[1] * normal;
  }
}

void InitialValues::write(int64_t begin, int64_t end, std::byte *to) const {
  constexpr int64_t kChunk = 512;
  std::array<double, kChunk> numbers;
  for (int64_t at = begin; at < end; at += kChunk) {
    const int64_t count = std::min(kChunk, end - at);
    writeNumbers(at, at + count, numbers.data());
    for (int64_t i = 0; i < count; ++i) {
      const double value = numbers[static_cast<size_t>(i)];
      std::byte *element = to + (at - begin + i) * byteSize(type);
      if (type == DType::f64) {
        std::memcpy(element, &value, sizeof(value));
      } else if (type == DType::bf16) {
        const uint16_t rounded = toBFloat16(static_cast<float>(value));
        std::memcpy(element, &rounded, sizeof(rounded));
      } else {
        const auto rounded = static_cast<float>(value);
        std::memcpy(element, &rounded, sizeof(rounded));
      }
    }
  }
}

} // namespace titan
