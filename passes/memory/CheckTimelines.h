// The slots of a finished program's timelines.
#pragma once

#include "mlir/IR/BuiltinOps.h"

namespace titan {

/// Checks, with findSlotConflict, what the entries of each timeline read and write in the slots
/// that they bind: by their functions' instructions, byte by byte where the slots lie in their
/// segment. Inputs are in their slots from the start, microbatch m in slot m. A rotated buffer
/// counts where the rank with coordinate 0 has it. Fails with an error at the entry that would read
/// something else than what its microbatch has there, or disturb a transfer.
mlir::LogicalResult checkTimelines(mlir::ModuleOp module);

} // namespace titan
