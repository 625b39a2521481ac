#include "passes/sharding/CheckCollectiveOrder.h"

#include "dialects/exec/Exec.h"
#include "passes/sharding/CollectiveOrder.h"

#include "llvm/Support/raw_ostream.h"

#include <numeric>

using namespace mlir;

namespace titan {
namespace {

/// What the stages of one timeline issue, and where.
class TimelineSequences {
public:
  explicit TimelineSequences(exec::TimelineOp timeline) : timeline(timeline) {
    forEachAction(
        [&](exec::ActionOp action) { numStages = std::max(numStages, action.getStage() + 1); });
    sequences.resize(numStages);
    places.resize(numStages);
    forEachAction([&](exec::ActionOp action) { append(action); });
  }

  LogicalResult check() {
    auto conflict = findOrderConflict(sequences);
    if (!conflict)
      return success();
    auto error = places[conflict->party][conflict->index]->emitOpError("of stage ")
                 << conflict->party << " issues "
                 << sequences[conflict->party][conflict->index].what << " with stage "
                 << conflict->other << ", which does not issue it in the same order";
    if (conflict->otherIndex)
      error.attachNote(places[conflict->other][*conflict->otherIndex].getLoc())
          << "it waits here for " << sequences[conflict->other][*conflict->otherIndex].what;
    return failure();
  }

private:
  void forEachAction(llvm::function_ref<void(exec::ActionOp)> visit) {
    for (Region *section :
         {&timeline.getPrologue(), &timeline.getBodyRegion(), &timeline.getEpilogue()})
      for (auto action : section->getOps<exec::ActionOp>())
        visit(action);
  }

  void append(exec::ActionOp action) {
    if (action.getMode() == exec::Mode::Await)
      return;
    auto function =
        timeline->getParentOfType<ModuleOp>().lookupSymbol<exec::FuncOp>(action.getFunctionAttr());
    for (auto start : function.getBody()->getOps<exec::StartOp>()) {
      if (!llvm::is_contained(start.getAxes().getAsValueRange<StringAttr>(), "pp"))
        continue;
      sequences[action.getStage()].push_back(
          {getParties(start, action.getStage()), describe(start)});
      places[action.getStage()].push_back(action);
    }
  }

  static bool isTransfer(exec::StartOp start) {
    return start.getCollective() == exec::Collective::Send ||
           start.getCollective() == exec::Collective::Receive;
  }

  std::vector<int64_t> getParties(exec::StartOp start, int64_t stage) const {
    if (!isTransfer(start)) {
      std::vector<int64_t> parties(numStages);
      std::iota(parties.begin(), parties.end(), 0);
      return parties;
    }
    const int64_t peer = *start.getPeer();
    if (peer == stage)
      return {stage};
    return {std::min(stage, peer), std::max(stage, peer)};
  }

  /// What both sides agree in: a send and its receive have one description.
  static std::string describe(exec::StartOp start) {
    std::string text;
    llvm::raw_string_ostream out(text);
    out << (isTransfer(start) ? "a transfer" : stringifyCollective(start.getCollective()));
    if (start.getReduction() != exec::Reduction::None)
      out << " by " << stringifyReduction(start.getReduction());
    out << " over " << start.getAxes() << " of";
    for (Value buffer : start.getSources().empty() ? start.getDestinations() : start.getSources())
      out << " " << exec::getSpanBytes(cast<MemRefType>(buffer.getType()));
    out << " bytes";
    return text;
  }

  exec::TimelineOp timeline;
  int64_t numStages = 0;
  std::vector<std::vector<IssuedCollective>> sequences;
  std::vector<std::vector<exec::ActionOp>> places;
};

} // namespace

LogicalResult checkCollectiveOrder(ModuleOp module) {
  for (auto timeline : module.getOps<exec::TimelineOp>())
    if (failed(TimelineSequences(timeline).check()))
      return failure();
  return success();
}

} // namespace titan
