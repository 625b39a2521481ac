#include "passes/memory/RematRank.h"

#include "dialects/titan/Sharding.h"
#include "passes/Functions.h"
#include "passes/pipeline/ScheduleAttribute.h"
#include "passes/pipeline/Simulator.h"

#include <map>

using namespace mlir;

namespace titan {

/// The stages' graphs side by side, with the bytes of all microbatches in flight.
static RematGraph join(ArrayRef<RematRank::Stage> stages) {
  RematGraph joined;
  for (const RematRank::Stage &stage : stages) {
    const RematGraph &graph = stage.problem.graph;
    const size_t firstOp = joined.ops.size(), firstValue = joined.values.size();
    for (RematOp op : graph.ops) {
      for (unsigned &operand : op.operands)
        operand += firstValue;
      joined.ops.push_back(std::move(op));
    }
    for (RematValue value : graph.values) {
      value.bytes *= stage.inFlight;
      if (value.producer >= 0)
        value.producer += static_cast<int>(firstOp);
      joined.values.push_back(value);
    }
  }
  return joined;
}

RematRank::RematRank(std::optional<int64_t> rank, std::vector<Stage> stages)
    : rank(rank), stages(std::move(stages)), frontier(join(this->stages)) {
  for (const Stage &stage : this->stages)
    mostBytes += stage.inFlight * choosePlan(stage.problem, {.mode = RematMode::none}).bytes;
}

int64_t RematRank::countBytes(ArrayRef<RematPlan> plans) const {
  int64_t bytes = 0;
  for (auto [stage, plan] : llvm::zip_equal(stages, plans))
    bytes += stage.inFlight * plan.bytes;
  return bytes;
}

std::optional<std::vector<RematPlan>> RematRank::planWithin(int64_t bytes) const {
  const std::optional<RematPlan> joined = frontier.planWithin(std::min(bytes, mostBytes));
  if (!joined)
    return std::nullopt;
  std::vector<RematPlan> plans;
  size_t firstOp = 0;
  for (const Stage &stage : stages) {
    const auto begin = joined->rerun.begin() + static_cast<ptrdiff_t>(firstOp);
    firstOp += stage.problem.graph.ops.size();
    plans.push_back(completePlan(stage.problem.graph,
                                 {begin, joined->rerun.begin() + static_cast<ptrdiff_t>(firstOp)}));
  }
  return plans;
}

FailureOr<std::vector<RematRank>> collectRematRanks(ModuleOp module,
                                                    const MachineBalance &balance) {
  auto pairs = findDirectionPairs(module);
  if (failed(pairs))
    return failure();
  std::vector<RematRank> ranks;
  if (!getNumPipelineRanks(module)) {
    std::vector<RematRank::Stage> stages;
    for (DirectionPair pair : *pairs)
      stages.push_back({RematProblem(pair, balance)});
    ranks.emplace_back(std::nullopt, std::move(stages));
    return ranks;
  }
  auto schedule = readSchedule(module, kSchedule, /*isEvaluation=*/false);
  if (failed(schedule))
    return failure();
  llvm::Expected<Simulation> simulation = simulate(*schedule);
  if (!simulation)
    return module.emitError() << llvm::toString(simulation.takeError());
  if (simulation->inFlight.size() != pairs->size())
    return module.emitError() << kSchedule << " has " << simulation->inFlight.size()
                              << " stages, the module " << pairs->size();
  std::map<int64_t, std::vector<RematRank::Stage>> stages;
  for (auto [pair, rank, inFlight] :
       llvm::zip_equal(*pairs, schedule->rankOfStage, simulation->inFlight))
    stages[rank].push_back({RematProblem(pair, balance), *llvm::max_element(inFlight)});
  for (auto &[rank, list] : stages)
    ranks.emplace_back(rank, std::move(list));
  return ranks;
}

} // namespace titan
