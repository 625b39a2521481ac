// Collectives that run beside other work.
#pragma once

#include "mlir/IR/Block.h"

namespace titan {

/// Replaces every collective of a function's block by a titan.start and a titan.await, placed as
/// planTransfers says; see titan-schedule-instructions in Passes.td.
void startCollectives(mlir::Block &block, int64_t prefetch);

} // namespace titan
