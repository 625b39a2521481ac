#include "passes/kernels/KernelBatch.h"

using namespace mlir;

namespace titan {

std::vector<BatchPart> getBatch(Block &body) {
  std::vector<BatchPart> parts;
  unsigned results = 0;
  for (auto part : body.getOps<KernelOp>()) {
    BatchPart &added = parts.emplace_back(BatchPart{part, {}, results});
    for (Value operand : part.getInputs())
      added.operands.push_back(cast<BlockArgument>(operand).getArgNumber());
    results += part.getNumResults();
  }
  return parts;
}

} // namespace titan
