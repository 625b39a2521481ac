// Batches: kernels whose body is kernels, which are independent of each other and run in one
// launch.
//
//   %b:2 = titan.kernel (%p = %0, %q = %1) : ... {
//     %r = titan.kernel (%x = %p) : ... {...}
//     %s = titan.kernel (%x = %q) : ... {...}
//     titan.yield %r, %s : ...
//   }
#pragma once

#include "dialects/titan/TitanDialect.h"

#include <vector>

namespace titan {

/// A kernel of a batch.
struct BatchPart {
  KernelOp kernel;
  llvm::SmallVector<unsigned> operands; ///< of the batch, per operand of the kernel
  unsigned firstResult = 0;             ///< of the batch's results, the kernel's follow each other
};

/// The kernels of a batch that has this body; none if it is another kernel's.
std::vector<BatchPart> getBatch(mlir::Block &body);
inline std::vector<BatchPart> getBatch(KernelOp kernel) {
  return getBatch(kernel.getBody().front());
}

/// What a launch may have: its buffers are parameters of a GPU's function, which takes 32764 bytes.
inline constexpr size_t kMaxLaunchBuffers = 4000;

} // namespace titan
