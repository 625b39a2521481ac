#include "compiler/report/TrafficFacts.h"

#include "compiler/Diagnostics.h"
#include "compiler/report/Names.h"
#include "dialects/exec/Exec.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/MathExtras.h"

#include <map>
#include <tuple>

using namespace mlir;

namespace titan {
namespace {

std::string join(ArrayAttr axes) {
  return llvm::join(
      llvm::map_range(axes, [](Attribute axis) { return cast<StringAttr>(axis).getValue(); }),
      " x ");
}

int64_t getBytes(Value buffer) {
  auto type = cast<MemRefType>(buffer.getType());
  return type.getNumElements() * exec::getElementBytes(type.getElementType());
}

/// The larger side of each tensor, over a ring.
int64_t sentBytes(exec::StartOp start, int64_t ranks) {
  const bool grows = start.getCollective() == exec::Collective::AllGather ||
                     start.getCollective() == exec::Collective::Receive;
  int64_t bytes = 0;
  for (Value buffer : grows ? start.getDestinations() : start.getSources())
    bytes += ringBytes(exec::stringifyCollective(start.getCollective()), getBytes(buffer), ranks);
  return bytes;
}

class Collector {
public:
  Collector(ModuleOp module, TrafficFacts &facts) : module(module), facts(facts) {}

  void collect(size_t mostCollectives) {
    collectMesh();
    collectBatchAxes();
    for (auto timeline : module.getOps<exec::TimelineOp>())
      if (timeline.getSymName() == "train" || timeline.getSymName().starts_with("train.")) {
        rank = &facts.ranks.emplace_back();
        rank->pipelineRank = timeline.getPipelineRank();
        addActions(timeline.getPrologue(), false);
        addActions(timeline.getBodyRegion(), true);
        addActions(timeline.getEpilogue(), false);
        for (auto &[key, row] : rows)
          rank->rows.push_back(row);
        rows.clear();
        collectGradients();
      }
    for (auto &[key, collective] : largest) {
      if (facts.largest.size() == mostCollectives)
        break;
      if (collective.count > 1)
        collective.name = std::get<4>(key);
      facts.largest.push_back(collective);
    }
  }

private:
  void collectMesh() {
    for (auto program : module.getOps<exec::ProgramOp>())
      for (auto axis : program.getMesh().getAsRange<exec::AxisAttr>())
        facts.mesh.push_back({axis.getName().str(), axis.getSize()});
  }

  void collectBatchAxes() {
    for (auto variable : module.getOps<exec::VariableOp>())
      if (variable.getSharding() && variable.getRole() == exec::Role::Input)
        for (auto axes : variable.getSharding().getDimensions().getAsRange<ArrayAttr>())
          for (auto axis : axes.getAsRange<StringAttr>())
            if (batchAxes.insert(axis.getValue()).second)
              facts.batchDegree *= std::max<int64_t>(exec::getNumCoordinates(module, {axis}), 1);
  }

  /// How large the rank's gradients are before they are reduced to their slices.
  void collectGradients() {
    for (auto variable : module.getOps<exec::VariableOp>())
      if (variable.getSharding() && variable.getRole() == exec::Role::Gradient &&
          module.lookupSymbol<exec::SegmentOp>(variable.getBase()).isOnRank(rank->pipelineRank))
        rank->unreducedGradientBytes += getWholeBytes(variable) - getStoredBytes(variable);
  }

  void addActions(Region &section, bool isBody) {
    for (auto action : section.getOps<exec::ActionOp>()) {
      if (action.getMode() == exec::Mode::Await)
        continue;
      if (auto function = module.lookupSymbol<exec::FuncOp>(action.getFunction()))
        for (auto start : function.getOps<exec::StartOp>())
          add(start, function.getSymName(), isBody);
    }
  }

  void add(exec::StartOp start, StringRef function, bool isBody) {
    const int64_t ranks =
        std::max<int64_t>(exec::getNumCoordinates(module, start.getAxes().getValue()), 1);
    const std::string kind = exec::stringifyCollective(start.getCollective()).str();
    const std::string axes = join(start.getAxes());
    const int64_t bytes = sentBytes(start, ranks);
    TrafficFacts::Row &row = rows[{axes, kind}];
    row.kind = kind;
    row.axes = axes;
    row.ranks = ranks;
    (isBody ? row.countPerLocalBatch : row.countPerStep) += 1;
    (isBody ? row.bytesPerLocalBatch : row.bytesPerStep) += bytes;
    if (isBody && start.getReduction() != exec::Reduction::None && isOverBatch(start))
      rank->gradientBytes += bytes;

    const std::string name = locationName(start.getLoc());
    auto [place, isNew] =
        largest.try_emplace({-bytes, kind, axes, function.str(), withoutNumbers(name)});
    if (!isNew) {
      ++place->second.count;
      return;
    }
    const int64_t stretches = std::max(start.getSources().size(), start.getDestinations().size());
    place->second = {kind, axes, function.str(), name, stretches, bytes, 1};
  }

  bool isOverBatch(exec::StartOp start) const {
    return llvm::any_of(start.getAxes().getAsRange<StringAttr>(),
                        [&](StringAttr axis) { return batchAxes.contains(axis.getValue()); });
  }

  ModuleOp module;
  TrafficFacts &facts;
  TrafficFacts::Rank *rank = nullptr;
  llvm::StringSet<> batchAxes;
  std::map<std::tuple<std::string, std::string>, TrafficFacts::Row> rows;
  std::map<std::tuple<int64_t, std::string, std::string, std::string, std::string>,
           TrafficFacts::Collective>
      largest;
};

} // namespace

int64_t TrafficFacts::numRanks() const {
  int64_t ranks = 1;
  for (const Axis &axis : mesh)
    ranks *= axis.size;
  return ranks;
}

int64_t TrafficFacts::numRanksOfStage() const {
  int64_t ranks = numRanks();
  for (const Axis &axis : mesh)
    if (axis.name == exec::kPipelineAxis)
      ranks /= axis.size;
  return ranks;
}

int64_t TrafficFacts::Rank::bytes(int64_t localBatches) const {
  int64_t total = 0;
  for (const Row &row : rows)
    total += row.bytes(localBatches);
  return total;
}

int64_t ringBytes(StringRef kind, int64_t bytes, int64_t ranks) {
  if (kind == "send" || kind == "receive" || kind == "broadcast")
    return bytes;
  const int64_t rounds = (kind == "all_reduce" ? 2 : 1) * (ranks - 1);
  return llvm::divideCeilSigned(rounds * bytes, ranks);
}

TrafficFacts collectTrafficFacts(ModuleOp exec, size_t mostCollectives) {
  TrafficFacts facts;
  Collector(exec, facts).collect(mostCollectives);
  return facts;
}

} // namespace titan
