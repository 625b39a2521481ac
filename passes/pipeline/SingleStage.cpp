// Schedules with one stage per rank.
#include "passes/pipeline/Algorithms.h"

#include <algorithm>

namespace titan {

/// Warm-up forwards, then backward and forward in turn until forwards, then backwards run out.
static std::vector<PipelineAction> alternate(int64_t stage, int64_t warmup, int64_t microbatches) {
  std::vector<PipelineAction> actions;
  int64_t forwards = 0;
  const auto forward = [&] { actions.push_back({ActionKind::forward, stage, forwards++}); };
  while (forwards < std::min(warmup, microbatches))
    forward();
  for (int64_t microbatch = 0; microbatch < microbatches; ++microbatch) {
    actions.push_back({ActionKind::backward, stage, microbatch});
    if (forwards < microbatches)
      forward();
  }
  return actions;
}

RankActions buildGPipe(const PipelineShape &shape) {
  RankActions actions;
  for (int64_t rank = 0; rank < shape.ranks; ++rank)
    actions.push_back(alternate(rank, shape.microbatches, shape.microbatches));
  return actions;
}

RankActions build1F1B(const PipelineShape &shape) {
  RankActions actions;
  for (int64_t rank = 0; rank < shape.ranks; ++rank)
    actions.push_back(alternate(rank, shape.ranks - rank, shape.microbatches));
  return actions;
}

} // namespace titan
