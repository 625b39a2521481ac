#include "passes/OpWork.h"

#include "dialects/interfaces/Collective.h"
#include "dialects/titan/Sharding.h"
#include "passes/sharding/OpMotion.h"

using namespace mlir;

namespace titan {

/// What a rank sends when the collective runs over a ring.
static double getNetworkBytes(CollectiveOpInterface op) {
  const double ranks = static_cast<double>(
      MeshShape::get(op->getParentOfType<ModuleOp>()).getSize(op.getGroupAxes()));
  double bytes = 0;
  for (auto [operand, result] : llvm::zip_equal(op->getOperandTypes(), op->getResultTypes()))
    bytes += static_cast<double>(std::max(getByteSize(operand), getByteSize(result)));
  const double rounds = op.getKind() == CollectiveKind::allReduce ? 2 : 1;
  return rounds * bytes * (ranks - 1) / ranks;
}

int64_t estimateWork(Operation *op, const MachineBalance &balance) {
  if (isView(op))
    return 0;
  auto cost = dyn_cast<CostOpInterface>(op);
  double work = cost ? static_cast<double>(cost.getFlops()) : 0;
  if (auto collective = dyn_cast<CollectiveOpInterface>(op))
    work = std::max(work, getNetworkBytes(collective) * balance.flopsPerNetworkByte);
  else if (cost && !isPointwise(op)) // which is fused with what reads it, and moves nothing
    work = std::max(work, static_cast<double>(cost.getBytesRead() + cost.getBytesWritten()) *
                              balance.flopsPerByte);
  return static_cast<int64_t>(work);
}

double estimateWork(func::FuncOp function, const MachineBalance &balance) {
  double work = 0;
  for (Operation &op : function.getBody().front())
    work += static_cast<double>(estimateWork(&op, balance));
  return work;
}

} // namespace titan
