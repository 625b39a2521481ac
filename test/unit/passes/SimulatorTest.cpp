// The simulator on schedules whose times are known, and on those that deadlock.
#include "passes/pipeline/Simulator.h"

#include "passes/pipeline/ScheduleCsv.h"

#include <gtest/gtest.h>

namespace titan {
namespace {

PipelineSchedule build(llvm::StringRef name, PipelineShape shape) {
  return llvm::cantFail(buildSchedule(*llvm::cantFail(findScheduleAlgorithm(name)), shape));
}
PipelineSchedule parse(llvm::StringRef text) {
  return llvm::cantFail(parseScheduleCsv(text, "file.csv"));
}
std::string errorOf(const PipelineSchedule &schedule) {
  auto simulation = simulate(schedule);
  return simulation ? "" : llvm::toString(simulation.takeError());
}

/// Calls `check(algorithm, shape)` for all legal shapes of up to 8 ranks and 16 microbatches.
void forAllShapes(auto &&check) {
  for (const ScheduleAlgorithm &algorithm : getScheduleAlgorithms())
    for (int64_t ranks = 1; ranks <= 8; ++ranks)
      for (int64_t stages = 1; stages <= 4; ++stages)
        for (int64_t microbatches = 1; microbatches <= 16; ++microbatches) {
          const PipelineShape shape{ranks, stages, microbatches};
          if (llvm::Error error = checkShape(algorithm, shape))
            llvm::consumeError(std::move(error));
          else
            check(algorithm, shape);
        }
}

TEST(SimulatorTest, EveryScheduleOfEverySizeEnds) {
  int64_t count = 0;
  forAllShapes([&](const ScheduleAlgorithm &algorithm, const PipelineShape &shape) {
    SCOPED_TRACE(algorithm.name.str() + " " + std::to_string(shape.ranks) + "x" +
                 std::to_string(shape.stagesPerRank) + "-" + std::to_string(shape.microbatches));
    const PipelineSchedule schedule = llvm::cantFail(buildSchedule(algorithm, shape));
    EXPECT_EQ(llvm::toString(checkComplete(schedule)), "");
    EXPECT_EQ(splitsBackward(schedule), algorithm.splitsBackward);
    auto simulation = simulate(schedule);
    ASSERT_TRUE(bool(simulation)) << llvm::toString(simulation.takeError());
    const PipelineSchedule evaluation = getForwardOnly(schedule);
    EXPECT_EQ(llvm::toString(checkComplete(evaluation, /*isEvaluation=*/true)), "");
    EXPECT_EQ(errorOf(evaluation), "");
    ++count;
  });
  EXPECT_GT(count, 1500);
}

TEST(SimulatorTest, BubbleOfGPipeAnd1F1B) {
  // (R - 1) (F + B) of each rank, whatever F and B cost.
  for (const char *name : {"GPipe", "1F1B"})
    for (int64_t ranks = 1; ranks <= 8; ++ranks)
      for (int64_t microbatches = 1; microbatches <= 16; ++microbatches) {
        const PipelineSchedule schedule = build(name, {ranks, 1, microbatches});
        for (double backward : {1.0, 2.0, 3.5}) {
          SimulationOptions options;
          options.costs = {{.forward = 1, .backward = backward}};
          const Simulation simulation = llvm::cantFail(simulate(schedule, options));
          EXPECT_EQ(simulation.makespan, (microbatches + ranks - 1) * (1 + backward));
          EXPECT_NEAR(simulation.getIdleShare(), (ranks - 1.0) / (microbatches + ranks - 1), 1e-12);
        }
        const Simulation simulation = llvm::cantFail(simulate(schedule));
        for (int64_t rank = 0; rank < ranks; ++rank)
          EXPECT_EQ(simulation.ranks[rank].inFlight,
                    name[0] == 'G' ? microbatches : std::min(ranks - rank, microbatches));
      }
}

TEST(SimulatorTest, Times) {
  const Simulation simulation = llvm::cantFail(simulate(parse("0F0,0F1,0B0,0B1\n1F0,1B0,1F1,1B1")));
  EXPECT_EQ(simulation.makespan, 9);
  const auto &actions = simulation.ranks[0].actions;
  ASSERT_EQ(actions.size(), 4);
  EXPECT_EQ(actions[2].begin, 4); // waits for 1B0, which ends at 2 + 2
  EXPECT_EQ(actions[2].end, 6);
  EXPECT_EQ(simulation.ranks[1].actions[0].begin, 1);
  EXPECT_EQ(simulation.ranks[0].busy, 6);
}

TEST(SimulatorTest, CostsPerStageAndTransfer) {
  SimulationOptions options;
  options.costs = {{1, 2, 1, 1}, {3, 4, 2, 2}};
  options.transfer = 0.5;
  const PipelineSchedule schedule = parse("0F0,0B0\n1F0,1B0");
  EXPECT_EQ(llvm::cantFail(simulate(schedule, options)).makespan, 1 + 0.5 + 3 + 4 + 0.5 + 2);
}

TEST(SimulatorTest, InFlightPerClass) {
  const Simulation whole = llvm::cantFail(simulate(parse("0F0,0F1,0F2,0B0,0B1,0B2")));
  EXPECT_EQ(whole.inFlight[0], (PerClass<int64_t>{3, 0, 0, 0}));
  const Simulation split =
      llvm::cantFail(simulate(parse("0F0,0F1,0I0,0I1,0F2,0W0,0B2,0F3,0W1,0I3,0W3")));
  EXPECT_EQ(split.inFlight[0], (PerClass<int64_t>{0, 2, 3, 2}));
  EXPECT_EQ(split.ranks[0].inFlight, 3);
}

TEST(SimulatorTest, Bytes) {
  SimulationOptions options;
  options.residualBytes = {{0, 10, 100, 1000}};
  options.residentBytes = {5};
  const Simulation simulation = llvm::cantFail(simulate(parse("0F0,0F1,0I0,0W0,0B1"), options));
  EXPECT_EQ(simulation.ranks[0].bytes, (std::vector<int64_t>{115, 225, 1225, 1215, 1115}));
  EXPECT_EQ(simulation.ranks[0].peakBytes, 1225);
}

TEST(SimulatorTest, DeadlockOfARing) {
  EXPECT_EQ(errorOf(parse("0F0,0B0,0F1,0B1\n1F1,1B1,1F0,1B0")),
            "deadlock: rank 0 waits in 0B0 for the backward of stage 1 on rank 1; rank 1 waits in "
            "1F1 for the forward of stage 0 on rank 0");
}

TEST(SimulatorTest, DeadlockOfSlots) {
  // Rank 1 keeps one microbatch at a time, but wants the second first.
  EXPECT_EQ(errorOf(parse("0F0,0F1,0B1,0B0\n1F1,1B1,1F0,1B0")),
            "deadlock: rank 0 waits in 0B1 for the backward of stage 1 on rank 1; rank 1 waits in "
            "1F1 for the forward of stage 0 on rank 0, which is sent after more than the 1 that "
            "it has room for");
}

} // namespace
} // namespace titan
