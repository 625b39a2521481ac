// Numbers as the bits of an element type.
#pragma once

#include "runtime/base/DType.h"
#include "runtime/base/Status.h"

namespace titan {

/// The bits of `value` in an element type, rounded to the nearest. Fails (invalid argument) where
/// an integer type cannot hold it, and for other numbers than 0 in types without a conversion.
StatusOr<uint64_t> encodeElement(double value, DType type);

} // namespace titan
