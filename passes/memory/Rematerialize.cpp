#include "passes/Passes.h"
#include "passes/memory/RematProblem.h"

#include "llvm/Support/FormatVariadic.h"

using namespace mlir;

namespace titan {

#define GEN_PASS_DEF_REMATERIALIZE
#include "passes/Passes.h.inc"

namespace {

struct Rematerialize : impl::RematerializeBase<Rematerialize> {
  using RematerializeBase::RematerializeBase;

  void runOnOperation() override {
    if (failed(checkOptions()))
      return signalPassFailure();
    auto pairs = findDirectionPairs(getOperation());
    if (failed(pairs))
      return signalPassFailure();
    const MachineBalance balance{flopsPerByte, flopsPerNetworkByte};
    for (DirectionPair pair : *pairs) {
      const RematProblem problem(pair, balance);
      applyPlan(problem, choosePlan(problem, mode, every, budget));
    }
  }

  LogicalResult checkOptions() {
    if (every < 1)
      return getOperation().emitError("expects every 1st or a later layer, found every ")
             << static_cast<int64_t>(every);
    if (!(budget >= 0 && budget <= 1))
      return getOperation().emitError("expects a budget from 0 to 1, found ")
             << llvm::formatv("{0:f}", static_cast<double>(budget)).str();
    if (!(flopsPerByte >= 0 && flopsPerNetworkByte >= 0))
      return getOperation().emitError("expects flops per byte of at least 0");
    return success();
  }
};

} // namespace
} // namespace titan
