// Which memory of a kernel is beyond the caches, from its size alone.
#pragma once

#include "passes/kernels/KernelSchedule.h"

namespace titan {

/// Bytes of a tensor in memory.
int64_t getStorageBytes(mlir::Type tensor);

/// Whether a result is only written, by a kernel so large that no cache holds the result until it
/// is read: its stores may bypass them. A tied result is read, which the caller knows.
bool isStreamed(KernelOp kernel, const KernelSchedule &schedule, unsigned result);

/// The large operands that the nests of a stage walk over row by row, as its loops do.
llvm::SmallVector<unsigned> findPrefetched(KernelOp kernel, const Stage &stage);

} // namespace titan
