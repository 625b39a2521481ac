// Schedules as CSV: what is read is what was written, and damaged files are refused.
#include "passes/pipeline/ScheduleCsv.h"

#include <gtest/gtest.h>

namespace titan {
namespace {

std::string errorOf(llvm::StringRef text) {
  auto schedule = parseScheduleCsv(text, "file.csv");
  return schedule ? "" : llvm::toString(schedule.takeError());
}

TEST(ScheduleCsvTest, ReadsWhatItPrints) {
  for (const ScheduleAlgorithm &algorithm : getScheduleAlgorithms()) {
    if (!algorithm.build)
      continue;
    const PipelineShape shape{2, algorithm.isSingleStage ? 1 : 2, 4};
    const auto schedule = llvm::cantFail(buildSchedule(algorithm, shape));
    const std::string text = printScheduleCsv(schedule);
    const auto read = llvm::cantFail(parseScheduleCsv(text, "file.csv"));
    EXPECT_EQ(read.actions, schedule.actions) << algorithm.name.str();
    EXPECT_EQ(read.rankOfStage, schedule.rankOfStage);
    EXPECT_EQ(read.microbatches, schedule.microbatches);
    EXPECT_EQ(printScheduleCsv(read), text);
  }
}

TEST(ScheduleCsvTest, SkipsWaitsAndSpaces) {
  const auto schedule = llvm::cantFail(
      parseScheduleCsv(",0F0, ,0F1 ,,(1F0;0B1)OVERLAP_F_B,0I0,1F1,1B0,0W0,1B1,\r\n\n", "a.csv"));
  EXPECT_EQ(printScheduleCsv(schedule), "0F0,0F1,(1F0;0B1)OVERLAP_F_B,0I0,1F1,1B0,0W0,1B1\n");
  EXPECT_EQ(schedule.getNumRanks(), 1);
  EXPECT_EQ(schedule.getNumStages(), 2);
  EXPECT_EQ(schedule.name, "a.csv");
}

TEST(ScheduleCsvTest, NoAction) {
  const std::string rule =
      "' is no action; one is the stage, F, B, I or W, and the microbatch, such as 2F0";
  for (const char *text : {"F0", "0F", "0X0", "-1F0", "0F-1", "0F+1", "0F0x", "0UNSHARD",
                           "99999999999999999999F0", "0 F0"})
    EXPECT_EQ(errorOf("0F0,0B0\n" + std::string(text)), "file.csv:2: '" + std::string(text) + rule);
  EXPECT_EQ(errorOf("0F1000000"), "file.csv:1: '0F1000000' has an index above 999999");
  EXPECT_EQ(errorOf(" \n"), "file.csv: empty; a schedule has one line per rank");
}

TEST(ScheduleCsvTest, NoPair) {
  for (const char *text : {"(0F0;0B0)OVERLAP_F_B", "(0F1;0B0)", "(0F1;0B0", "(0B0;0F1)OVERLAP_F_B",
                           "(0F1;0I0)OVERLAP_F_B", "(0F1;0B0)OVERLAP"})
    EXPECT_EQ(errorOf(text), "file.csv:1: '" + std::string(text) +
                                 "' is no pair; one is a forward and a backward of another "
                                 "microbatch or stage, such as (2F1;0B0)OVERLAP_F_B");
}

TEST(ScheduleCsvTest, Incomplete) {
  EXPECT_EQ(errorOf("0F0,0B0,0F1"),
            "file.csv: rank 0 lacks 0B1, or 0I1 and 0W1; each stage has F and B, or F, I and W, of "
            "each of 2 microbatches");
  EXPECT_EQ(errorOf("0F0,0B0,0B1"),
            "file.csv: rank 0 lacks 0F1; each stage has a forward of each of 2 microbatches");
  EXPECT_EQ(errorOf("0F0,0I0"),
            "file.csv: rank 0 has 0I0, but lacks 0W0; a backward is B, or I and W");
  EXPECT_EQ(errorOf("0F0,0W0"),
            "file.csv: rank 0 has 0W0, but lacks 0I0; a backward is B, or I and W");
  EXPECT_EQ(errorOf("0F0,0B0,0W0"),
            "file.csv: rank 0 has 0B0 and 0W0; a backward is B, or I and W");
  EXPECT_EQ(errorOf("0F0,0F1,0B0,0F1,0B1"),
            "file.csv: rank 0 has 0F1 twice, as its actions 2 and 4; once is legal");
  EXPECT_EQ(errorOf("0F0,0B0\n1F0,0F1"),
            "file.csv: rank 1 has 0F1, but rank 0 has stage 0; a stage is on one rank");
  EXPECT_EQ(errorOf("0F0,0B0\n\n1F0,1B0"), "file.csv: rank 1 has no action");
  EXPECT_EQ(errorOf("0F0,0B0\n2F0,2B0"),
            "file.csv: stage 1 has no action, but stage 2 has; stages count from 0");
  EXPECT_EQ(errorOf("0B0,0F0"),
            "file.csv: rank 0 has 0B0 before 0F0; a backward needs what its forward keeps");
  EXPECT_EQ(errorOf("0F0,0W0,0I0"),
            "file.csv: rank 0 has 0W0 before 0I0; W needs the cotangents of I");
}

} // namespace
} // namespace titan
