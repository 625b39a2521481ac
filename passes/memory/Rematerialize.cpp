#include "passes/Passes.h"
#include "passes/memory/RematRank.h"

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
    if (failed(mode == RematMode::limit ? limitRanks() : choose()))
      return signalPassFailure();
  }

  MachineBalance getBalance() const { return {flopsPerByte, flopsPerNetworkByte}; }

  LogicalResult choose() {
    auto pairs = findDirectionPairs(getOperation());
    if (failed(pairs))
      return failure();
    for (DirectionPair pair : *pairs) {
      const RematProblem problem(pair, getBalance());
      applyPlan(problem, choosePlan(problem, {mode, every, budget}));
    }
    return success();
  }

  LogicalResult limitRanks() {
    auto ranks = collectRematRanks(getOperation(), getBalance());
    if (failed(ranks))
      return failure();
    if (bytes.size() != ranks->size())
      return getOperation().emitError("expects the bytes of each of the ")
             << ranks->size() << " pipeline ranks, found " << bytes.size();
    for (auto [rank, allowed] : llvm::zip_equal(*ranks, bytes)) {
      const auto plans = rank.planWithin(allowed);
      if (!plans)
        return getOperation().emitError("expects at least ")
               << rank.getLeastBytes() << " bytes for pipeline rank " << rank.getRank().value_or(0)
               << ", found " << allowed;
      for (auto [stage, plan] : llvm::zip_equal(rank.getStages(), *plans))
        applyPlan(stage.problem, plan);
    }
    return success();
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
