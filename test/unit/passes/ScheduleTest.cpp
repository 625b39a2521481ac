// The registry of pipeline schedules and those with one stage per rank.
#include "passes/pipeline/Schedule.h"

#include <gtest/gtest.h>

namespace titan {
namespace {

PipelineSchedule build(llvm::StringRef name, PipelineShape shape) {
  return llvm::cantFail(buildSchedule(*llvm::cantFail(findScheduleAlgorithm(name)), shape));
}

std::string print(const std::vector<PipelineAction> &actions) {
  std::string text;
  for (const PipelineAction &action : actions) {
    text += text.empty() ? "" : " ";
    text += std::to_string(action.stage) + toString(action.kind).str();
    text += std::to_string(action.microbatch);
  }
  return text;
}

std::string errorOf(llvm::StringRef name, PipelineShape shape) {
  auto schedule = buildSchedule(*llvm::cantFail(findScheduleAlgorithm(name)), shape);
  return schedule ? "" : llvm::toString(schedule.takeError());
}

TEST(ScheduleTest, GPipe) {
  const PipelineSchedule schedule = build("gpipe", {2, 1, 3});
  EXPECT_EQ(schedule.name, "GPipe");
  EXPECT_EQ(schedule.microbatches, 3);
  EXPECT_EQ(schedule.rankOfStage, (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(print(schedule.actions[0]), "0F0 0F1 0F2 0B0 0B1 0B2");
  EXPECT_EQ(print(schedule.actions[1]), "1F0 1F1 1F2 1B0 1B1 1B2");
  EXPECT_FALSE(splitsBackward(schedule));
}

TEST(ScheduleTest, OneForwardOneBackward) {
  const PipelineSchedule schedule = build("1f1b", {3, 1, 4});
  EXPECT_EQ(print(schedule.actions[0]), "0F0 0F1 0F2 0B0 0F3 0B1 0B2 0B3");
  EXPECT_EQ(print(schedule.actions[1]), "1F0 1F1 1B0 1F2 1B1 1F3 1B2 1B3");
  EXPECT_EQ(print(schedule.actions[2]), "2F0 2B0 2F1 2B1 2F2 2B2 2F3 2B3");
  EXPECT_EQ(print(build("1F1B", {3, 1, 2}).actions[0]), "0F0 0F1 0B0 0B1");
}

TEST(ScheduleTest, ForwardOnlyKeepsTheOrderOfForwards) {
  const PipelineSchedule schedule = getForwardOnly(build("1F1B", {3, 1, 4}));
  EXPECT_EQ(print(schedule.actions[1]), "1F0 1F1 1F2 1F3");
  EXPECT_EQ(schedule.getNumStages(), 3);
}

TEST(ScheduleTest, Placements) {
  EXPECT_EQ(getStagesOfRank(StagePlacement::loop, 1, 4, 3), (std::vector<int64_t>{1, 5, 9}));
  EXPECT_EQ(getStagesOfRank(StagePlacement::v, 0, 4, 2), (std::vector<int64_t>{0, 7}));
  EXPECT_EQ(getStagesOfRank(StagePlacement::v, 3, 4, 2), (std::vector<int64_t>{3, 4}));
  EXPECT_EQ(getRankOfStage(StagePlacement::v, 5, 4), 2);
}

TEST(ScheduleTest, UnknownNamesAndShapes) {
  auto unknown = findScheduleAlgorithm("2F2B");
  ASSERT_FALSE(unknown);
  const std::string message = llvm::toString(unknown.takeError());
  EXPECT_TRUE(llvm::StringRef(message).starts_with("no schedule is named '2F2B'; there are 1F1B"))
      << message;
  EXPECT_EQ(errorOf("GPipe", {2, 2, 4}), "GPipe: 2 stages per rank; this schedule has 1");
  EXPECT_EQ(errorOf("1F1B", {0, 1, 4}), "1F1B: 0 ranks; at least 1 is needed");
  EXPECT_EQ(errorOf("1F1B", {2, 1, 0}), "1F1B: 0 microbatches; at least 1 is needed");
}

} // namespace
} // namespace titan
