#include "passes/pipeline/Schedule.h"

#include "passes/pipeline/Algorithms.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"

namespace titan {

llvm::StringRef toString(ActionKind kind) {
  switch (kind) {
  case ActionKind::forward:
    return "F";
  case ActionKind::backward:
    return "B";
  case ActionKind::backwardInput:
    return "I";
  case ActionKind::backwardWeight:
    return "W";
  }
  llvm_unreachable("all kinds are named");
}

int64_t getRankOfStage(StagePlacement placement, int64_t stage, int64_t ranks) {
  if (placement == StagePlacement::v)
    return stage < ranks ? stage : 2 * ranks - 1 - stage;
  return stage % ranks;
}

std::vector<int64_t> getStagesOfRank(StagePlacement placement, int64_t rank, int64_t ranks,
                                     int64_t stagesPerRank) {
  std::vector<int64_t> stages;
  for (int64_t stage = 0; stage < ranks * stagesPerRank; ++stage)
    if (getRankOfStage(placement, stage, ranks) == rank)
      stages.push_back(stage);
  return stages;
}

bool splitsBackward(const PipelineSchedule &schedule) {
  return llvm::any_of(schedule.actions, [](const auto &actions) {
    return llvm::any_of(actions, [](const PipelineAction &action) {
      return action.kind == ActionKind::backwardInput || action.kind == ActionKind::backwardWeight;
    });
  });
}

void splitBackwards(PipelineSchedule &schedule) {
  for (auto &actions : schedule.actions) {
    std::vector<PipelineAction> halves;
    for (PipelineAction action : actions) {
      const bool isWhole = action.kind == ActionKind::backward;
      if (isWhole)
        action.kind = ActionKind::backwardInput;
      halves.push_back(action);
      action.kind = ActionKind::backwardWeight;
      if (isWhole)
        halves.push_back(action);
    }
    actions = std::move(halves);
  }
}

PipelineSchedule getForwardOnly(PipelineSchedule schedule) {
  for (auto &actions : schedule.actions) {
    llvm::erase_if(actions, [](const PipelineAction &a) { return a.kind != ActionKind::forward; });
    for (PipelineAction &action : actions)
      action.overlapsNext = false;
  }
  return schedule;
}

/// Rounds of equal size. A multiple of the number of ranks is always one of those.
static int64_t nearestInterleaved(const PipelineShape &shape) {
  const auto isLegal = [&](int64_t microbatches) {
    return microbatches >= 1 &&
           microbatches % getInterleavedRounds({shape.ranks, shape.stagesPerRank, microbatches}) ==
               0;
  };
  for (int64_t distance = 0;; ++distance)
    for (int64_t microbatches : {shape.microbatches - distance, shape.microbatches + distance})
      if (isLegal(microbatches))
        return microbatches;
}

static int64_t nearestDualPipeV(const PipelineShape &shape) {
  return std::max(shape.microbatches, 2 * shape.ranks);
}

llvm::ArrayRef<ScheduleAlgorithm> getScheduleAlgorithms() {
  static constexpr llvm::StringLiteral kRounds =
      "a multiple of the number of rounds, which is the number of microbatches divided by that of "
      "ranks, rounded down";
  static constexpr ScheduleAlgorithm kAlgorithms[] = {
      {.name = "1F1B", .isSingleStage = true, .build = build1F1B},
      {.name = "Interleaved1F1B",
       .build = buildInterleaved1F1B,
       .nearestMicrobatches = nearestInterleaved,
       .microbatchRule = kRounds},
      {.name = "GPipe", .isSingleStage = true, .build = buildGPipe},
      {.name = "LoopedBFS", .build = buildLoopedBfs},
      {.name = "InterleavedZeroBubble",
       .splitsBackward = true,
       .build = buildInterleavedZeroBubble,
       .nearestMicrobatches = nearestInterleaved,
       .microbatchRule = kRounds},
      {.name = "PipelineScheduleSingle", .isSingleStage = true},
      {.name = "PipelineScheduleMulti"},
      {.name = "ZBVZeroBubble",
       .placement = StagePlacement::v,
       .splitsBackward = true,
       .build = buildZbv},
      {.name = "DualPipeV",
       .placement = StagePlacement::v,
       .splitsBackward = true,
       .build = buildDualPipeV,
       .nearestMicrobatches = nearestDualPipeV,
       .microbatchRule = "at least that of stages"},
  };
  return kAlgorithms;
}

llvm::Expected<const ScheduleAlgorithm *> findScheduleAlgorithm(llvm::StringRef name) {
  const auto algorithms = getScheduleAlgorithms();
  const auto *found = llvm::find_if(
      algorithms, [&](const ScheduleAlgorithm &a) { return a.name.equals_insensitive(name); });
  if (found != algorithms.end())
    return found;
  return llvm::createStringError(
      llvm::formatv("no schedule is named '{0}'; there are {1:$[, ]}", name,
                    llvm::map_range(algorithms, [](const ScheduleAlgorithm &a) { return a.name; }))
          .str());
}

llvm::Error checkShape(const ScheduleAlgorithm &algorithm, const PipelineShape &shape) {
  const auto fail = [&](const auto &text) {
    return llvm::createStringError(llvm::formatv("{0}: {1}", algorithm.name, text.str()).str());
  };
  for (const auto &[value, what] :
       {std::pair(shape.ranks, "ranks"), std::pair(shape.stagesPerRank, "stages per rank"),
        std::pair(shape.microbatches, "microbatches")})
    if (value < 1)
      return fail(llvm::formatv("{0} {1}; at least 1 is needed", value, what));
  if (algorithm.isSingleStage && shape.stagesPerRank != 1)
    return fail(llvm::formatv("{0} stages per rank; this schedule has 1", shape.stagesPerRank));
  if (algorithm.placement == StagePlacement::v && shape.stagesPerRank != 2)
    return fail(llvm::formatv("{0} stages per rank; this schedule has 2", shape.stagesPerRank));
  if (!algorithm.build)
    return fail(llvm::formatv("has no order of its own; it is for a schedule from a CSV file"));
  if (!algorithm.nearestMicrobatches)
    return llvm::Error::success();
  const int64_t nearest = algorithm.nearestMicrobatches(shape);
  if (nearest == shape.microbatches)
    return llvm::Error::success();
  return fail(llvm::formatv("{0} microbatches on {1} ranks with {2} stages each; the number must "
                            "be {3}, such as {4}",
                            shape.microbatches, shape.ranks, shape.stagesPerRank,
                            algorithm.microbatchRule, nearest));
}

llvm::Expected<PipelineSchedule> buildSchedule(const ScheduleAlgorithm &algorithm,
                                               const PipelineShape &shape) {
  if (llvm::Error error = checkShape(algorithm, shape))
    return std::move(error);
  PipelineSchedule schedule{algorithm.name.str(), shape.microbatches, {}, algorithm.build(shape)};
  for (int64_t stage = 0; stage < shape.ranks * shape.stagesPerRank; ++stage)
    schedule.rankOfStage.push_back(getRankOfStage(algorithm.placement, stage, shape.ranks));
  return schedule;
}

} // namespace titan
