// Schedules whose stages go round the ranks, several on each.
#include "passes/pipeline/Algorithms.h"

#include <algorithm>

namespace titan {

RankActions buildLoopedBfs(const PipelineShape &shape) {
  RankActions lists(shape.ranks);
  for (int64_t rank = 0; rank < shape.ranks; ++rank) {
    std::vector<PipelineAction> &actions = lists[rank];
    for (int64_t stage :
         getStagesOfRank(StagePlacement::loop, rank, shape.ranks, shape.stagesPerRank))
      for (int64_t microbatch = 0; microbatch < shape.microbatches; ++microbatch)
        actions.push_back({ActionKind::forward, stage, microbatch});
    actions.reserve(2 * actions.size());
    for (size_t i = actions.size(); i-- > 0;)
      actions.push_back({ActionKind::backward, actions[i].stage, actions[i].microbatch});
  }
  return lists;
}

int64_t getInterleavedRounds(const PipelineShape &shape) {
  return std::max<int64_t>(1, shape.microbatches / shape.ranks);
}

/// The forwards of a rank in order, or its backwards, whose stages descend.
static std::vector<PipelineAction> orderRounds(const PipelineShape &shape, int64_t rank,
                                               ActionKind kind) {
  std::vector<int64_t> stages =
      getStagesOfRank(StagePlacement::loop, rank, shape.ranks, shape.stagesPerRank);
  if (kind != ActionKind::forward)
    std::reverse(stages.begin(), stages.end());
  const int64_t size = shape.microbatches / getInterleavedRounds(shape);
  std::vector<PipelineAction> actions;
  for (int64_t first = 0; first < shape.microbatches; first += size)
    for (int64_t stage : stages)
      for (int64_t microbatch = first; microbatch < first + size; ++microbatch)
        actions.push_back({kind, stage, microbatch});
  return actions;
}

/// The forwards before a rank's first backward: its own stages but the last take a round, and then
/// `perHop` for each rank between it and the last stage.
static int64_t countWarmup(const PipelineShape &shape, int64_t rank, int64_t perHop) {
  const int64_t round = shape.microbatches / getInterleavedRounds(shape);
  return std::min((shape.stagesPerRank - 1) * round + perHop * (shape.ranks - 1 - rank),
                  shape.stagesPerRank * shape.microbatches);
}

RankActions buildInterleaved1F1B(const PipelineShape &shape) {
  RankActions lists(shape.ranks);
  for (int64_t rank = 0; rank < shape.ranks; ++rank) {
    const auto forwards = orderRounds(shape, rank, ActionKind::forward);
    const auto backwards = orderRounds(shape, rank, ActionKind::backward);
    const auto warm = forwards.begin() + countWarmup(shape, rank, /*perHop=*/2);
    lists[rank].assign(forwards.begin(), warm);
    auto next = warm;
    for (const PipelineAction &backward : backwards) {
      if (next != forwards.end())
        lists[rank].push_back(*next++);
      lists[rank].push_back(backward);
    }
  }
  return lists;
}

RankActions buildInterleavedZeroBubble(const PipelineShape &shape) {
  RankActions lists(shape.ranks);
  for (int64_t rank = 0; rank < shape.ranks; ++rank) {
    const auto forwards = orderRounds(shape, rank, ActionKind::forward);
    const auto inputs = orderRounds(shape, rank, ActionKind::backwardInput);
    const auto weights = orderRounds(shape, rank, ActionKind::backwardWeight);
    const auto warm = forwards.begin() + countWarmup(shape, rank, /*perHop=*/1);
    lists[rank].assign(forwards.begin(), warm);
    auto next = warm;
    auto weight = weights.begin();
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (next != forwards.end())
        lists[rank].push_back(*next++);
      lists[rank].push_back(inputs[i]);
      if (i >= static_cast<size_t>(rank))
        lists[rank].push_back(*weight++);
    }
    lists[rank].insert(lists[rank].end(), weight, weights.end());
  }
  return lists;
}

} // namespace titan
