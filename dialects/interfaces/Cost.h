// What an op costs: flops and bytes.
#pragma once

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/OpDefinition.h"

namespace titan {

/// Bytes that a static tensor takes in memory; 0 for other types.
int64_t getByteSize(mlir::Type type);

/// What the backward does about an op's results, as far as it needs them.
enum class RerunChoice {
  rerun,          ///< runs the op again
  keep,           ///< has them from the forward
  keepEveryOther, ///< of these ops the first, third, fifth ... of a layer are kept
};

namespace detail {
int64_t sumOfBytes(mlir::TypeRange types);
} // namespace detail
} // namespace titan

#include "dialects/interfaces/Cost.h.inc"
