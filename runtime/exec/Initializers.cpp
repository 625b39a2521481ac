#include "runtime/exec/Initializers.h"

#include "runtime/base/Hash.h"
#include "runtime/exec/Normal.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

namespace titan {

using format::Distribution;

/// Elements that are made at a time.
static constexpr int64_t kChunk = 512;

static double cumulative(double x, double mean, double std) {
  return 0.5 * std::erfc((mean - x) / std / std::numbers::sqrt2);
}

/// Of the global tensor, if it is a matrix: elements are numbered in it, whatever a rank holds.
static int64_t countColumns(const format::Variable &variable) {
  if (variable.sharding)
    return variable.sharding->shape.size() == 2 ? variable.sharding->shape[1] : 1;
  return variable.view.rank == 2 ? variable.view.shape[1] : 1;
}

InitialValues::InitialValues(const format::Variable &variable, uint64_t seed)
    : initializer(variable.initializer.value_or(format::Initializer{Distribution::constant, {0}})),
      type(variable.view.type), columns(countColumns(variable)) {
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
    double pair[2];
    normalPairs(static_cast<uint64_t>(index) / 2, 1, attempt, key, pair);
    value = n[0] + n[1] * pair[index % 2];
  }
  return value;
}

// Llama 3.1's scaling of rotary frequencies: those that turn less than lowFrequency times within
// the original length are divided by factor, those above highFrequency kept, others interpolated.
double InitialValues::rope(int64_t index) const {
  const auto &n = initializer.numbers;
  const double theta = n[0], factor = n[1], low = n[2], high = n[3], original = n[4];
  const int64_t row = index / columns;
  const auto position = static_cast<double>(row);
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

/// Elements 2 i and 2 i + 1 are the pair of counter i.
void InitialValues::writeNormal(int64_t begin, int64_t end, double *to) const {
  const auto &n = initializer.numbers;
  const bool cut = initializer.distribution == Distribution::truncatedNormal;
  std::array<double, kChunk + 2> normal;
  const int64_t pair = begin / 2;
  normalPairs(static_cast<uint64_t>(pair), (end + 1) / 2 - pair, 0, key, normal.data());
  const double *first = normal.data() + begin % 2;
  for (int64_t i = 0; i < end - begin; ++i)
    to[i] = n[0] + n[1] * first[i];
  if (!cut)
    return;
  for (int64_t i = 0; i < end - begin; ++i)
    if (!rejects || to[i] < n[2] || to[i] > n[3])
      to[i] = truncated(begin + i, first[i]);
}

void InitialValues::writeNumbers(int64_t begin, int64_t end, double *to) const {
  switch (initializer.distribution) {
  case Distribution::constant:
    std::fill_n(to, end - begin, initializer.numbers[0]);
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
    writeNormal(begin, end, to);
    return;
  }
}

void InitialValues::write(int64_t begin, int64_t end, std::byte *to) const {
  std::array<double, kChunk> numbers;
  for (int64_t at = begin; at < end; at += kChunk) {
    const int64_t count = std::min(kChunk, end - at);
    writeNumbers(at, at + count, numbers.data());
    std::byte *element = to + (at - begin) * byteSize(type);
    if (type == DType::f64) {
      std::memcpy(element, numbers.data(), static_cast<size_t>(count) * sizeof(double));
    } else if (type == DType::bf16) {
      std::array<uint16_t, kChunk> rounded;
      for (int64_t i = 0; i < count; ++i)
        rounded[static_cast<size_t>(i)] =
            toBFloat16(static_cast<float>(numbers[static_cast<size_t>(i)]));
      std::memcpy(element, rounded.data(), static_cast<size_t>(count) * sizeof(uint16_t));
    } else {
      std::array<float, kChunk> rounded;
      for (int64_t i = 0; i < count; ++i)
        rounded[static_cast<size_t>(i)] = static_cast<float>(numbers[static_cast<size_t>(i)]);
      std::memcpy(element, rounded.data(), static_cast<size_t>(count) * sizeof(float));
    }
  }
}

} // namespace titan
