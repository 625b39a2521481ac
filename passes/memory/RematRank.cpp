#include "passes/memory/RematRank.h"

#include "dialects/titan/Sharding.h"
#include "passes/Functions.h"
#include "passes/pipeline/ScheduleAttribute.h"
#include "passes/pipeline/Simulator.h"

#include <map>

using namespace mlir;

namespace titan {

/// The stages' graphs side by side.
static RematGraph join(ArrayRef<RematProblem> stages) {
  RematGraph joined;
  for (const RematProblem &stage : stages) {
    const size_t firstOp = joined.ops.size(), firstValue = joined.values.size();
    for (RematOp op : stage.graph.ops) {
      for (unsigned &operand : op.operands)
        operand += firstValue;
      joined.ops.push_back(std::move(op));
    }
    for (RematValue value : stage.graph.values) {
      if (value.producer >= 0)
        value.producer += static_cast<int>(firstOp);
      joined.values.push_back(value);
    }
  }
  return joined;
}

/// The plans of the stages in that of their graphs side by side.
static std::vector<RematPlan> takeApart(const RematPlan &joined, ArrayRef<RematProblem> stages) {
  std::vector<RematPlan> plans;
  ptrdiff_t firstOp = 0;
  for (const RematProblem &stage : stages) {
    const auto numOps = static_cast<ptrdiff_t>(stage.graph.ops.size());
    auto take = [&](const std::vector<bool> &rerun) {
      return std::vector<bool>(rerun.begin() + firstOp, rerun.begin() + firstOp + numOps);
    };
    plans.push_back(completePlan(stage.graph, take(joined.rerun), take(joined.rerunInWeights)));
    firstOp += numOps;
  }
  return plans;
}

RematFrontier::Point addUp(ArrayRef<RematPlan> plans) {
  RematFrontier::Point sum;
  for (const RematPlan &plan : plans) {
    sum.bytes += plan.bytes;
    sum.work += plan.work;
  }
  return sum;
}

RematRank::RematRank(std::optional<int64_t> rank, std::vector<RematProblem> stages)
    : rank(rank), stages(std::move(stages)) {}

const RematFrontier &RematRank::getFrontier() const {
  if (!frontier)
    frontier.emplace(join(stages));
  return *frontier;
}

int64_t RematRank::getMostBytes() const {
  if (!mostBytes)
    // What is found with halves is no exact minimum: the mode none may keep less than the least.
    mostBytes = std::max(getLeastBytes(), addUp(*choosePlans({.mode = RematMode::none})).bytes);
  return *mostBytes;
}

std::optional<std::vector<RematPlan>> RematRank::choosePlans(const RematChoice &choice) const {
  std::vector<RematPlan> plans;
  if (choice.mode != RematMode::limit) {
    for (const RematProblem &stage : stages)
      plans.push_back(choosePlan(stage, choice));
    return plans;
  }
  const auto joined = getFrontier().planWithin(std::min(choice.bytes, getMostBytes()));
  if (!joined)
    return std::nullopt;
  return takeApart(*joined, stages);
}

/// Of each stage; as much as may be if its backward is to be in halves, but is not yet.
static MicrobatchesInFlight countInFlight(const PerClass<int64_t> &counts, bool hasHalves) {
  auto count = [&](ResidualClass residuals) { return counts[static_cast<size_t>(residuals)]; };
  if (!hasHalves) {
    const int64_t most = *llvm::max_element(counts);
    return {most, most, most};
  }
  return {count(ResidualClass::forwardToInput), count(ResidualClass::forwardToWeight),
          count(ResidualClass::inputToWeight)};
}

FailureOr<std::vector<RematRank>> collectRematRanks(ModuleOp module,
                                                    const MachineBalance &balance) {
  auto pairs = findDirectionPairs(module);
  if (failed(pairs))
    return failure();
  std::vector<RematRank> ranks;
  if (!getNumPipelineRanks(module)) {
    std::vector<RematProblem> stages;
    for (DirectionPair pair : *pairs)
      stages.emplace_back(pair, balance);
    ranks.emplace_back(std::nullopt, std::move(stages));
    return ranks;
  }
  auto schedule = readSchedule(module, kSchedule, /*isEvaluation=*/false);
  if (failed(schedule))
    return failure();
  const bool hasHalves = !getFamily(module, names::kBackwardWeight).empty();
  if (hasHalves)
    splitBackwards(*schedule);
  llvm::Expected<Simulation> simulation = simulate(*schedule);
  if (!simulation)
    return module.emitError() << llvm::toString(simulation.takeError());
  if (simulation->inFlight.size() != pairs->size())
    return module.emitError() << kSchedule << " has " << simulation->inFlight.size()
                              << " stages, the module " << pairs->size();
  std::map<int64_t, std::vector<RematProblem>> stages;
  for (auto [pair, rank, inFlight] :
       llvm::zip_equal(*pairs, schedule->rankOfStage, simulation->inFlight))
    stages[rank].emplace_back(pair, balance, countInFlight(inFlight, hasHalves));
  for (auto &[rank, list] : stages)
    ranks.emplace_back(rank, std::move(list));
  return ranks;
}

} // namespace titan
