// Rounding of doubles to the element types of tensors.
#pragma once

#include "mlir/IR/Types.h"

namespace titan {

/// The value of `type` nearest to `value`, ties to even; beyond the largest finite value, infinity.
/// float32 and narrower floats and integers of at most 32 bits round, wider types keep the double.
double roundToType(double value, mlir::Type type);

} // namespace titan
