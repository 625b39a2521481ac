#include "compiler/reference/Initializers.h"

#include "dialects/titan/TitanDialect.h"

#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/xxhash.h"

#include <cmath>
#include <numbers>

using namespace mlir;

namespace titan {

static uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

CounterGenerator::CounterGenerator(uint64_t seed, StringRef name)
    : key(mix(seed ^ mix(llvm::xxh3_64bits(name)))) {}

double CounterGenerator::uniform(uint64_t counter) const {
  // 53 bits, and half a step away from 0 and from 1.
  return (static_cast<double>(mix(key ^ mix(counter)) >> 11) + 0.5) * 0x1p-53;
}

double CounterGenerator::normal(uint64_t counter) const {
  return std::sqrt(-2 * std::log(uniform(2 * counter))) *
         std::cos(2 * std::numbers::pi * uniform(2 * counter + 1));
}

namespace {

/// The parameters of RopeTableInitAttr as numbers.
struct RopeScaling {
  double theta, factor, lowFrequency, highFrequency, originalLength;

  explicit RopeScaling(RopeTableInitAttr table)
      : theta(table.getTheta().convertToDouble()), factor(table.getFactor().convertToDouble()),
        lowFrequency(table.getLowFrequency().convertToDouble()),
        highFrequency(table.getHighFrequency().convertToDouble()),
        originalLength(table.getOriginalLength().convertToDouble()) {}

  /// Llama 3.1's scaling of one rotary frequency.
  double scale(double frequency) const {
    const double rotations = originalLength * frequency / (2 * std::numbers::pi);
    if (rotations < lowFrequency)
      return frequency / factor;
    if (rotations > highFrequency)
      return frequency;
    const double smooth = (rotations - lowFrequency) / (highFrequency - lowFrequency);
    return (1 - smooth) * frequency / factor + smooth * frequency;
  }
};

} // namespace

static LogicalResult fillRopeTable(HostTensor &tensor, RopeTableInitAttr table, Location location) {
  if (tensor.shape().size() != 2)
    return emitError(location) << "a rope table has the shape [positions, pairs], found "
                               << tensor.type;
  const RopeScaling scaling(table);
  const int64_t positions = tensor.shape()[0], pairs = tensor.shape()[1];
  for (int64_t i = 0; i < pairs; ++i) {
    const double exponent = static_cast<double>(i) / static_cast<double>(pairs);
    const double frequency = scaling.scale(1 / std::pow(scaling.theta, exponent));
    for (int64_t p = 0; p < positions; ++p) {
      const double angle = static_cast<double>(p) * frequency;
      tensor.values[p * pairs + i] =
          table.getComponent() == RopeComponent::cosine ? std::cos(angle) : std::sin(angle);
    }
  }
  return success();
}

namespace {

/// A normal distribution cut at [lower, upper].
struct TruncatedNormal {
  double mean, std, lower, upper;

  explicit TruncatedNormal(TruncatedNormalInitAttr normal)
      : mean(normal.getMean().convertToDouble()), std(normal.getStd().convertToDouble()),
        lower(normal.getLower().convertToDouble()), upper(normal.getUpper().convertToDouble()) {}

  double cumulative(double x) const {
    return 0.5 * std::erfc((mean - x) / std / std::numbers::sqrt2);
  }

  /// Inverts the distribution function by bisection: right for any cuts, however unlikely, and
  /// slow.
  double invert(double uniform) const {
    const double wanted = cumulative(lower) + (cumulative(upper) - cumulative(lower)) * uniform;
    double low = lower, high = upper;
    for (int i = 0; i < 48; ++i)
      (cumulative((low + high) / 2) < wanted ? low : high) = (low + high) / 2;
    return (low + high) / 2;
  }

  /// Most cuts leave almost all samples in: the first one will mostly do.
  double sample(const CounterGenerator &generator, uint64_t index) const {
    constexpr uint64_t kAttempts = 4;
    for (uint64_t attempt = 0; attempt < kAttempts; ++attempt) {
      const double value = mean + std * generator.normal(index * kAttempts + attempt);
      if (value >= lower && value <= upper)
        return value;
    }
    return invert(generator.uniform(~index));
  }
};

} // namespace

static void fillTruncatedNormal(HostTensor &tensor, const TruncatedNormal &normal,
                                const CounterGenerator &generator) {
  for (auto [index, value] : llvm::enumerate(tensor.values))
    value = normal.sample(generator, index);
}

LogicalResult initialize(HostTensor &tensor, Attribute initializer,
                         const CounterGenerator &generator, Location location) {
  return llvm::TypeSwitch<Attribute, LogicalResult>(initializer)
      .Case([&](ConstantInitAttr constant) {
        llvm::fill(tensor.values, constant.getValue().convertToDouble());
        return success();
      })
      .Case([&](NormalInitAttr normal) {
        const double mean = normal.getMean().convertToDouble();
        const double std = normal.getStd().convertToDouble();
        for (auto [index, value] : llvm::enumerate(tensor.values))
          value = mean + std * generator.normal(index);
        return success();
      })
      .Case([&](TruncatedNormalInitAttr normal) {
        fillTruncatedNormal(tensor, TruncatedNormal(normal), generator);
        return success();
      })
      .Case([&](RopeTableInitAttr table) { return fillRopeTable(tensor, table, location); })
      .Default([&](Attribute other) {
        return emitError(location) << "the interpreter knows no initializer " << other;
      });
}

} // namespace titan
