// The order of collectives in the timelines of a finished program.
#pragma once

#include "mlir/IR/BuiltinOps.h"

namespace titan {

/// Checks, with findOrderConflict, that the stages of each timeline issue the collectives over the
/// mesh axis `pp`, which stages share, in one order. All ranks of a stage run one program, so what
/// they exchange among themselves is in one order as it is. Fails with an error at the entry that
/// would wait forever.
mlir::LogicalResult checkCollectiveOrder(mlir::ModuleOp module);

} // namespace titan
