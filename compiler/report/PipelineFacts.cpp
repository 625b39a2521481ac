#include "compiler/report/PipelineFacts.h"

#include "dialects/exec/Exec.h"
#include "dialects/titan/Sharding.h"
#include "dialects/titan/TitanDialect.h"
#include "passes/Functions.h"
#include "passes/OpWork.h"
#include "passes/memory/ProgramLayout.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

using namespace mlir;

namespace titan {
namespace {

PipelineFacts::Work sumWork(func::FuncOp function) {
  PipelineFacts::Work work;
  function.walk([&](CostOpInterface op) {
    work.flops += op.getFlops();
    work.bytesRead += op.getBytesRead();
    work.bytesWritten += op.getBytesWritten();
  });
  work.time = estimateWork(function);
  return work;
}

std::optional<ActionKind> getKind(exec::ActionOp action) {
  if (action.getMode() != exec::Mode::Run)
    return std::nullopt;
  switch (action.getLetter()) {
  case exec::Action::Forward:
    return ActionKind::forward;
  case exec::Action::Backward:
    return ActionKind::backward;
  case exec::Action::InputBackward:
    return ActionKind::backwardInput;
  case exec::Action::WeightBackward:
    return ActionKind::backwardWeight;
  default:
    return std::nullopt;
  }
}

/// The stage of a residual class that a microbatch has from its forward to its backward, such as
/// @fwd_to_bwd.1, or from one half of that to the other; and what the simulation knows it as.
std::optional<std::pair<size_t, ResidualClass>> classify(exec::ResidualClassOp residual,
                                                         bool isSplit) {
  const auto [family, member] = residual.getSymName().split('.');
  size_t stage = 0;
  if (member.getAsInteger(10, stage))
    return std::nullopt;
  if (family == segments::kForwardToBackward || family == segments::kActivations)
    return std::pair(stage,
                     isSplit ? ResidualClass::forwardToInput : ResidualClass::forwardToBackward);
  if (family == segments::kForwardToWeight)
    return std::pair(stage, ResidualClass::forwardToWeight);
  if (family == segments::kInputToWeight)
    return std::pair(stage, ResidualClass::inputToWeight);
  return std::nullopt;
}

} // namespace

PipelineFacts collectPipelineWork(ModuleOp local) {
  PipelineFacts facts;
  for (func::FuncOp function : getFamily(local, names::kForward))
    if (auto rank = function->getAttrOfType<IntegerAttr>(kPipelineRank))
      facts.stages.push_back({.rank = rank.getInt(), .forward = sumWork(function)});
  if (facts.isEmpty())
    return facts;
  for (auto [stage, function] : llvm::zip_equal(facts.stages, getFamily(local, names::kBackward)))
    stage.backward = sumWork(function);
  // Without a second half there are no such functions.
  for (auto [stage, function] : llvm::zip(facts.stages, getFamily(local, names::kBackwardWeight)))
    stage.weights = sumWork(function);
  return facts;
}

void addPipelineProgram(ModuleOp exec, PipelineFacts &facts) {
  if (facts.isEmpty())
    return;
  PipelineSchedule &schedule = facts.schedule;
  schedule.name = "training";
  for (const PipelineFacts::Stage &stage : facts.stages)
    schedule.rankOfStage.push_back(stage.rank);
  const auto mostRank = *llvm::max_element(schedule.rankOfStage);
  schedule.actions.resize(mostRank + 1);
  facts.residentBytes.resize(mostRank + 1);

  for (auto timeline : exec.getOps<exec::TimelineOp>()) {
    const auto rank = timeline.getPipelineRank();
    if (!rank || !timeline.getSymName().starts_with("train."))
      continue;
    for (auto action : timeline.getBodyRegion().getOps<exec::ActionOp>())
      if (auto kind = getKind(action)) {
        const PipelineAction found{*kind, static_cast<int64_t>(action.getStage()),
                                   static_cast<int64_t>(action.getMicrobatch())};
        schedule.actions[*rank].push_back(found);
        schedule.microbatches = std::max(schedule.microbatches, found.microbatch + 1);
      }
  }
  llvm::StringMap<int64_t> residualSegments;
  for (auto residual : exec.getOps<exec::ResidualClassOp>()) {
    const auto kept = classify(residual, splitsBackward(schedule));
    if (!kept || kept->first >= facts.stages.size())
      continue;
    residualSegments[residual.getSegment()] += residual.getSlots() * residual.getBytes();
    facts.stages[kept->first].residualBytes[static_cast<size_t>(kept->second)] +=
        residual.getBytes();
  }
  for (auto segment : exec.getOps<exec::SegmentOp>())
    for (int64_t rank = 0; rank <= mostRank; ++rank)
      if (segment.isOnRank(rank))
        facts.residentBytes[rank] +=
            segment.getSize() - residualSegments.lookup(segment.getSymName());
}

Simulation PipelineFacts::simulate() const {
  SimulationOptions options;
  double forwards = 0;
  for (const Stage &stage : stages)
    forwards += stage.forward.time / static_cast<double>(stages.size());
  const double unit = std::max(forwards, 1.0);
  for (const Stage &stage : stages) {
    const double backward = stage.backward.time / unit;
    options.costs.push_back({.forward = stage.forward.time / unit,
                             .backward = backward,
                             .backwardInput = backward,
                             .backwardWeight = stage.weights.time / unit});
    options.residualBytes.push_back(stage.residualBytes);
  }
  options.residentBytes = residentBytes;
  // The plan's own schedule is complete and does not deadlock.
  return llvm::cantFail(titan::simulate(schedule, options));
}

std::vector<std::pair<const char *, PipelineFacts::Work>>
PipelineFacts::listWork(size_t stage) const {
  const Stage &it = stages[stage];
  if (!splitsBackward(schedule))
    return {{"forward", it.forward}, {"backward", it.backward}};
  return {
      {"forward", it.forward}, {"input backward", it.backward}, {"weight backward", it.weights}};
}

int64_t PipelineFacts::countInFlight(const Simulation &simulation, size_t stage) {
  return *llvm::max_element(simulation.inFlight[stage]);
}

} // namespace titan
