// What an op costs: flops and bytes.
#pragma once

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/OpDefinition.h"

namespace titan {

/// Bytes that a static tensor takes in memory; 0 for other types.
int64_t getByteSize(mlir::Type type);

namespace detail {
int64_t sumOfBytes(mlir::TypeRange types);
} // namespace detail
} // namespace titan

#include "dialects/interfaces/Cost.h.inc"
