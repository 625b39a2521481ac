#include "compiler/reference/Compare.h"

#include "compiler/reference/Initializers.h"
#include "dialects/titan/TitanDialect.h"

#include <cmath>
#include <limits>
#include <numbers>

using namespace mlir;

namespace titan {

/// Noise on a parameter's initial value.
static constexpr double kParameterNoise = 0.05;

HostTensor makeRandomTensor(RankedTensorType type, StringRef name, uint64_t seed,
                            int64_t intLimit) {
  HostTensor tensor(type);
  const CounterGenerator generator(seed, name);
  const bool isInteger = type.getElementType().isInteger();
  for (auto [index, value] : llvm::enumerate(tensor.values))
    value = isInteger ? std::floor(generator.uniform(index) * static_cast<double>(intLimit))
                      : generator.normal(index);
  return tensor;
}

static double drawVariable(Role role, double initial, bool hasInitializer,
                           const CounterGenerator &generator, uint64_t index) {
  // Of mean 0 and variance 1.
  auto symmetric = [&] { return std::numbers::sqrt3 * (2 * generator.uniform(index) - 1); };
  switch (role) {
  case Role::parameter:
    return hasInitializer ? initial + kParameterNoise * symmetric() : generator.normal(index);
  case Role::derived:
    return hasInitializer ? initial : generator.normal(index);
  case Role::optimizer_state:
  case Role::counter:
  case Role::input:
    return generator.uniform(index);
  case Role::gradient:
  case Role::output:
    return symmetric();
  }
  llvm_unreachable("no such role");
}

LogicalResult randomizeVariables(ModuleOp module, Interpreter &interpreter, uint64_t seed) {
  for (auto variable : module.getOps<VariableOp>()) {
    HostTensor *tensor = interpreter.findVariable(variable.getSymName());
    if (!tensor)
      return failure();
    const CounterGenerator generator(seed, variable.getSymName());
    const bool hasInitializer = variable.getInitializer().has_value();
    for (auto [index, value] : llvm::enumerate(tensor->values))
      value = drawVariable(variable.getRole(), value, hasInitializer, generator, index);
  }
  return success();
}

double getLargestMagnitude(const HostTensor &tensor) {
  double largest = 0;
  for (double value : tensor.values)
    if (std::isfinite(value))
      largest = std::max(largest, std::fabs(value));
  return largest;
}

double getDeviation(const HostTensor &found, const HostTensor &expected, double smallestScale) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (found.shape() != expected.shape())
    return infinity;
  double largest = 0;
  for (auto [a, b] : llvm::zip_equal(found.values, expected.values)) {
    if (a == b || (std::isnan(a) && std::isnan(b)))
      continue;
    const double difference = std::fabs(a - b);
    if (!std::isfinite(difference))
      return infinity;
    largest = std::max(largest, difference);
  }
  return largest == 0 ? 0 : largest / std::max(smallestScale, getLargestMagnitude(expected));
}

double getRelativeL2(const HostTensor &found, const HostTensor &expected) {
  if (found.shape() != expected.shape())
    return std::numeric_limits<double>::infinity();
  double difference = 0, norm = 0;
  for (auto [a, b] : llvm::zip_equal(found.values, expected.values)) {
    difference += (a - b) * (a - b);
    norm += b * b;
  }
  return difference == 0 ? 0 : std::sqrt(difference / norm);
}

void Deviation::add(double deviation, const Twine &tensor) {
  // Comparing this way round also catches what is no number.
  if (deviation <= value && !name.empty())
    return;
  value = deviation;
  name = tensor.str();
}

} // namespace titan
