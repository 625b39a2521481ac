// Whole training steps, data and all, allocate nothing.
#include "test/unit/exec/AllocationCounter.h"
#include "test/unit/train/SmallRun.h"

#include <array>
#include <malloc.h>

using namespace titan;
using titan::test::SmallRun;

namespace {

/// Counters at each line of a step, as the line reaches its sink.
struct StepLines {
  static constexpr size_t kMost = 64;
  struct Line {
    int64_t allocations = 0;
    size_t heap = 0;
  };

  void add(std::string_view text) {
    if (text.find("step:") != std::string_view::npos && count < kMost)
      lines[count++] = {allocationCount(), ::mallinfo2().uordblks};
  }

  std::array<Line, kMost> lines{};
  size_t count = 0;
};

/// Trains 40 steps of two microbatches, and logs every `frequency` steps.
StepLines train(int frequency, const std::vector<std::string> &more = {}) {
  StepLines lines;
  Logger logger = Logger::toFunction([&](LogLevel, std::string_view text) { lines.add(text); });
  std::vector<std::string> overrides = {"training.steps=40", "training.global_batch_size=8",
                                        "validation.enable=false",
                                        "metrics.log_freq=" + std::to_string(frequency)};
  overrides.insert(overrides.end(), more.begin(), more.end());
  SmallRun run(overrides, logger);
  const Status status = run.trainer->train();
  EXPECT_TRUE(status.ok()) << status.message();
  return lines;
}

} // namespace

TEST(TrainAllocation, NoneInAWholeStep) {
  if (cpu::bestIsa() == cpu::Isa::portable)
    GTEST_SKIP() << "products are oneDNN's here, which allocates for itself";
  for (const int frequency : {1, 10})
    for (const std::vector<std::string> &more :
         {std::vector<std::string>{}, {"metrics.jsonl=/dev/null"}}) {
      const StepLines lines = train(frequency, more);
      ASSERT_EQ(lines.count, frequency == 1 ? 40u : 5u); // steps 1, 10, 20, 30, 40
      // The first step and its lines may set things up; between later lines are whole steps, with
      // data, scalars, results and lines of their own.
      for (size_t i = 2; i < lines.count; ++i)
        EXPECT_EQ(lines.lines[i].allocations, lines.lines[1].allocations) << i;
    }
}

TEST(TrainAllocation, TheHeapDoesNotGrow) {
  for (const std::vector<std::string> &more :
       {std::vector<std::string>{}, {"metrics.jsonl=/dev/null"}}) {
    const StepLines lines = train(1, more);
    ASSERT_EQ(lines.count, 40u);
    for (size_t i = 5; i < lines.count; ++i)
      EXPECT_EQ(lines.lines[i].heap, lines.lines[4].heap) << i;
  }
}
