// Schedules with two stages per rank whose stages go down the ranks and up again.
#include "passes/pipeline/Algorithms.h"

#include <algorithm>
#include <array>
#include <deque>

namespace titan {

namespace {
/// Appends the actions of one rank; each takes the next microbatch of its kind and stage.
class RankBuilder {
public:
  RankBuilder(const PipelineShape &shape, int64_t rank)
      : stages{rank, 2 * shape.ranks - 1 - rank} {}

  /// Stages are counted on the rank: 0 goes down, 1 goes up.
  void forward(int stage) { add(ActionKind::forward, stage, forwards[stage]++); }
  void backward(int stage) { add(ActionKind::backward, stage, backwards[stage]++); }
  void input(int stage) {
    pending[stage].push_back(backwards[stage]);
    waiting.push_back(stage);
    add(ActionKind::backwardInput, stage, backwards[stage]++);
  }
  /// The oldest W of a stage that waits, if one does.
  void weight(int stage) {
    if (pending[stage].empty())
      return;
    waiting.erase(std::find(waiting.begin(), waiting.end(), stage));
    add(ActionKind::backwardWeight, stage, pending[stage].front());
    pending[stage].pop_front();
  }
  /// The oldest W of the rank that waits, if one does.
  void weight() {
    if (!waiting.empty())
      weight(waiting.front());
  }
  /// A forward and a backward that may run together.
  void overlap(int forwardStage, int backwardStage) {
    forward(forwardStage);
    actions.back().overlapsNext = true;
    backward(backwardStage);
  }

  int64_t countForwards(int stage) const { return forwards[stage]; }
  std::vector<PipelineAction> actions;

private:
  void add(ActionKind kind, int stage, int64_t microbatch) {
    actions.push_back({kind, stages[stage], microbatch});
  }
  std::array<int64_t, 2> stages;
  std::array<int64_t, 2> forwards{}, backwards{};
  std::array<std::deque<int64_t>, 2> pending; ///< microbatches whose W waits
  std::deque<int> waiting;                    ///< the stage of each, the oldest first
};
} // namespace

static void repeat(int64_t times, auto &&body) {
  for (int64_t i = 0; i < times; ++i)
    body(i);
}

static std::vector<PipelineAction> buildZbvRank(const PipelineShape &shape, int64_t rank) {
  const int64_t below = shape.ranks - rank; // ranks from this one to the turn
  // The order assumes that the pipeline fills; microbatches that are not there drop out of it.
  const int64_t microbatches = std::max(2 * shape.ranks - 1, shape.microbatches);
  RankBuilder b(shape, rank);
  const auto inputAndWeight = [&](int stage) {
    b.input(stage);
    b.weight(stage);
  };
  repeat(2 * below - 1, [&](int64_t) { b.forward(0); });
  repeat(rank, [&](int64_t) {
    b.forward(1);
    b.forward(0);
  });
  repeat(below, [&](int64_t) {
    b.forward(1);
    inputAndWeight(1);
  });
  while (b.countForwards(1) < microbatches) {
    if (b.countForwards(0) < microbatches)
      b.forward(0);
    inputAndWeight(0);
    b.forward(1);
    inputAndWeight(1);
  }
  repeat(rank, [&](int64_t) {
    b.input(0);
    b.input(1);
  });
  repeat(below, [&](int64_t) {
    b.input(0);
    b.weight(0);
  });
  repeat(rank, [&](int64_t) { b.weight(1); });
  repeat(rank, [&](int64_t) { b.weight(0); });
  std::erase_if(b.actions,
                [&](const PipelineAction &a) { return a.microbatch >= shape.microbatches; });
  return b.actions;
}

static std::vector<PipelineAction> buildDualPipeVRank(const PipelineShape &shape, int64_t rank) {
  const int64_t below = shape.ranks - 1 - rank; // ranks after this one, to the turn
  RankBuilder b(shape, rank);
  repeat(2 * below, [&](int64_t) { b.forward(0); });
  repeat(rank + 1, [&](int64_t) {
    b.forward(0);
    b.forward(1);
  });
  repeat(below, [&](int64_t) {
    b.input(1);
    b.weight();
    b.forward(1);
  });
  repeat(shape.microbatches - 2 * shape.ranks + rank + 1, [&](int64_t i) {
    // At the turn the first backward is what all ranks wait for: nothing delays it.
    if (i == 0 && below == 0) {
      b.forward(0);
      b.backward(1);
    } else {
      b.overlap(/*forwardStage=*/0, /*backwardStage=*/1);
    }
    b.overlap(/*forwardStage=*/1, /*backwardStage=*/0);
  });
  repeat(below, [&](int64_t) {
    b.backward(1);
    b.overlap(/*forwardStage=*/1, /*backwardStage=*/0);
  });
  // The last half of the rest leaves its W for the end.
  repeat(2 * (rank + 1), [&](int64_t i) {
    const int stage = i % 2 == 0 ? 1 : 0;
    i <= rank ? b.backward(stage) : b.input(stage);
  });
  repeat(below, [&](int64_t) {
    b.weight();
    b.input(0);
  });
  repeat(rank + 1, [&](int64_t) { b.weight(); });
  return b.actions;
}

RankActions buildZbv(const PipelineShape &shape) {
  RankActions lists;
  for (int64_t rank = 0; rank < shape.ranks; ++rank)
    lists.push_back(buildZbvRank(shape, rank));
  return lists;
}

RankActions buildDualPipeV(const PipelineShape &shape) {
  RankActions lists;
  for (int64_t rank = 0; rank < shape.ranks; ++rank)
    lists.push_back(buildDualPipeVRank(shape, rank));
  return lists;
}

} // namespace titan
