// Rounding of doubles to the element types of tensors.
#pragma once

#include "mlir/IR/Types.h"

namespace titan {

/// Makes each value the nearest one of `type`, ties to even; beyond the largest finite value,
/// infinity. float32 and narrower floats and integers of at most 32 bits round, wider types keep
/// the double.
void roundToType(llvm::MutableArrayRef<double> values, mlir::Type type);

} // namespace titan
