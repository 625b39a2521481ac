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
    if (failed(checkOptions()) || failed(choose()))
      return signalPassFailure();
  }

  LogicalResult choose() {
    auto ranks = collectRematRanks(getOperation(), {flopsPerByte, flopsPerNetworkByte});
    if (failed(ranks))
      return failure();
    if (mode == RematMode::limit && bytes.size() != ranks->size())
      return getOperation().emitError("expects the bytes of each of the ")
             << ranks->size() << " pipeline ranks, found " << bytes.size();
    for (auto [index, rank] : llvm::enumerate(*ranks)) {
      const int64_t allowed = mode == RematMode::limit ? bytes[index] : 0;
      const auto plans = rank.choosePlans({mode, every, budget, allowed});
      if (!plans)
        return getOperation().emitError("expects at least ")
               << rank.getLeastBytes() << " bytes for pipeline rank " << rank.getRank().value_or(0)
               << ", found " << allowed;
      for (auto [stage, plan] : llvm::zip_equal(rank.getStages(), *plans))
        applyPlan(stage, plan);
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
