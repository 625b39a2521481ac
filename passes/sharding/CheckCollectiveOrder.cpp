#include "passes/sharding/CheckCollectiveOrder.h"

#include "dialects/exec/Exec.h"
#include "passes/sharding/CollectiveOrder.h"

#include "llvm/ADT/MapVector.h"
#include "llvm/Support/raw_ostream.h"

#include <map>
#include <numeric>

using namespace mlir;

namespace titan {
namespace {

bool isTransfer(exec::StartOp start) {
  return start.getCollective() == exec::Collective::Send ||
         start.getCollective() == exec::Collective::Receive;
}

/// What both sides agree in: a send and its receive have one description.
std::string describe(exec::StartOp start) {
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

/// What the ranks of a pipeline issue together by their timelines of one name, and where. Sends and
/// receives meet in the order of their starts; all other collectives are waited for where they
/// stand, between transfers that are all awaited in their section.
class TimelineSequences {
public:
  explicit TimelineSequences(ArrayRef<exec::TimelineOp> timelines)
      : sequences(timelines.size()), places(timelines.size()) {
    for (exec::TimelineOp timeline : timelines)
      for (Region *section :
           {&timeline.getPrologue(), &timeline.getBodyRegion(), &timeline.getEpilogue()})
        for (auto action : section->getOps<exec::ActionOp>())
          append(action, *timeline.getPipelineRank());
  }

  LogicalResult check() { return failure(failed(checkTransfers()) || failed(checkOthers())); }

private:
  struct Transfers {
    SmallVector<std::pair<std::string, exec::ActionOp>> sent, received; ///< by description
  };

  void append(exec::ActionOp action, int64_t rank) {
    if (action.getMode() == exec::Mode::Await)
      return;
    auto function = symbols.lookupNearestSymbolFrom<exec::FuncOp>(action, action.getFunctionAttr());
    for (auto start : function.getBody()->getOps<exec::StartOp>()) {
      if (!llvm::is_contained(start.getAxes().getAsValueRange<StringAttr>(), exec::kPipelineAxis))
        continue;
      if (!isTransfer(start)) {
        std::vector<int64_t> parties(sequences.size());
        std::iota(parties.begin(), parties.end(), 0);
        sequences[rank].push_back({std::move(parties), describe(start)});
        places[rank].push_back(action);
        continue;
      }
      const bool sends = start.getCollective() == exec::Collective::Send;
      const int64_t peer = *start.getPeer();
      Transfers &transfers = pairs[{sends ? rank : peer, sends ? peer : rank, start.getChannel()}];
      (sends ? transfers.sent : transfers.received).push_back({describe(start), action});
    }
  }

  LogicalResult checkTransfers() {
    for (auto &[pair, transfers] : pairs) {
      auto [from, to, channel] = pair;
      const size_t common = std::min(transfers.sent.size(), transfers.received.size());
      for (size_t i = 0; i < common; ++i) {
        auto [what, send] = transfers.sent[i];
        auto [other, receive] = transfers.received[i];
        if (what == other && send.getMicrobatch() == receive.getMicrobatch())
          continue;
        auto error = send.emitOpError("of rank ")
                     << from << " sends " << what << ", microbatch " << send.getMicrobatch()
                     << ", but rank " << to << " receives " << other << ", microbatch "
                     << receive.getMicrobatch();
        error.attachNote(receive.getLoc()) << "received here";
        return failure();
      }
      if (transfers.sent.size() != transfers.received.size()) {
        const bool unsent = transfers.received.size() > common;
        auto &[what, action] = (unsent ? transfers.received : transfers.sent)[common];
        return action.emitOpError("of rank ")
               << (unsent ? to : from) << (unsent ? " receives " : " sends ") << what
               << ", which rank " << (unsent ? from : to)
               << (unsent ? " never sends" : " never receives");
      }
    }
    return success();
  }

  LogicalResult checkOthers() {
    auto conflict = findOrderConflict(sequences);
    if (!conflict)
      return success();
    auto error = places[conflict->party][conflict->index]->emitOpError("of rank ")
                 << conflict->party << " issues "
                 << sequences[conflict->party][conflict->index].what << " with rank "
                 << conflict->other << ", which does not issue it in the same order";
    if (conflict->otherIndex)
      error.attachNote(places[conflict->other][*conflict->otherIndex].getLoc())
          << "it waits here for " << sequences[conflict->other][*conflict->otherIndex].what;
    return failure();
  }

  SymbolTableCollection symbols;
  std::vector<std::vector<IssuedCollective>> sequences; ///< by rank, without transfers
  std::vector<std::vector<exec::ActionOp>> places;
  std::map<std::tuple<int64_t, int64_t, int64_t>, Transfers> pairs; ///< from, to, channel
};

} // namespace

LogicalResult checkCollectiveOrder(ModuleOp module) {
  // The timelines of one name, by rank.
  llvm::MapVector<StringRef, SmallVector<exec::TimelineOp>> pipelines;
  for (auto timeline : module.getOps<exec::TimelineOp>())
    if (timeline.getPipelineRank())
      pipelines[timeline.getSymName().rsplit('.').first].push_back(timeline);
  const int64_t ranks =
      exec::getNumCoordinates(module, {StringAttr::get(module.getContext(), exec::kPipelineAxis)});
  for (auto &[name, timelines] : pipelines) {
    if (static_cast<int64_t>(timelines.size()) != ranks)
      return timelines.front().emitOpError("is one of ")
             << timelines.size() << " timelines of this name, but there are " << ranks
             << " pipeline ranks";
    if (failed(TimelineSequences(timelines).check()))
      return failure();
  }
  return success();
}

} // namespace titan
