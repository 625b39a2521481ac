#include "compiler/reference/Rounding.h"

#include "mlir/IR/BuiltinTypes.h"

#include <cmath>
#include <limits>

using namespace mlir;

namespace titan {

/// Rounds to a format with `precision` significant bits (the leading one included) whose exponents
/// of normal values reach from `minExponent` to `maxExponent`.
static double roundToFormat(double value, int precision, int minExponent, int maxExponent) {
  if (!std::isfinite(value) || value == 0)
    return value;
  // Below the normal range the spacing stays that of the smallest normal values.
  const int exponent = std::max(std::ilogb(value), minExponent);
  const double spacing = std::ldexp(1.0, exponent - precision + 1);
  const double rounded = std::nearbyint(value / spacing) * spacing;
  const double limit = std::ldexp(1.0, maxExponent + 1);
  if (std::fabs(rounded) >= limit)
    return std::copysign(std::numeric_limits<double>::infinity(), value);
  return rounded;
}

void roundToType(MutableArrayRef<double> values, Type type) {
  auto each = [&](auto round) {
    for (double &value : values)
      value = round(value);
  };
  if (type.isF32())
    each([](double value) -> double { return static_cast<float>(value); });
  else if (type.isBF16())
    each([](double value) { return roundToFormat(value, 8, -126, 127); });
  else if (type.isF16())
    each([](double value) { return roundToFormat(value, 11, -14, 15); });
  else if (type.isInteger() && type.getIntOrFloatBitWidth() <= 32)
    each([](double value) { return std::nearbyint(value); });
}

} // namespace titan
