// What instructions read and write.
#pragma once

#include "dialects/exec/Exec.h"

namespace titan::exec {

struct Accesses {
  llvm::SmallVector<mlir::Value, 8> reads;
  llvm::SmallVector<mlir::Value, 8> writes;  ///< without a look at what was there
  llvm::SmallVector<mlir::Value, 2> updates; ///< read and written
};

/// The buffers of an instruction. An await reads what its start has; a kernel's declaration is
/// looked up in `symbols`.
Accesses getAccesses(mlir::Operation *instruction, mlir::SymbolTableCollection &symbols);

/// The contiguous stretches [begin, end) of a buffer at a byte offset; with more than `most`, one
/// from its first to its last byte.
void forEachStretch(int64_t offset, mlir::MemRefType type, int64_t most,
                    llvm::function_ref<void(int64_t begin, int64_t end)> apply);

} // namespace titan::exec
