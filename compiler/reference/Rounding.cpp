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

double roundToType(double value, Type type) {
  if (type.isF32())
    return static_cast<float>(value);
  if (type.isBF16())
    return roundToFormat(value, 8, -126, 127);
  if (type.isF16())
    return roundToFormat(value, 11, -14, 15);
  if (type.isInteger() && type.getIntOrFloatBitWidth() <= 32)
    return std::nearbyint(value);
  return value;
}

} // namespace titan
