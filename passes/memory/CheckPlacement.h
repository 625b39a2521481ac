// Proves what ValuePlacement decided.
#pragma once

#include "passes/memory/ValuePlacement.h"

namespace titan {

/// Replays the placed function in order and fails, with an error at the op, unless each value is
/// intact when it is read (every byte was last written by its defining op), results and scratch
/// overlap no operand except where the op allows it, and what is returned or stored stands in its
/// place at the end. Between a titan.start and its await nothing may write the operands' memory nor
/// touch the results'. It knows nothing of how the places were chosen.
mlir::LogicalResult checkPlacement(mlir::func::FuncOp function, const FunctionLayout &layout,
                                   const ValuePlacement &placement);

} // namespace titan
