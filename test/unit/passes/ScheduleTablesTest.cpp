// Titan's schedules against PyTorch's tables: test/golden/schedules, or those in the folder that
// TITAN_SCHEDULE_TABLES names.
#include "passes/pipeline/ScheduleCsv.h"
#include "passes/pipeline/Simulator.h"

#include "llvm/Support/MemoryBuffer.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>

namespace titan {
namespace {

namespace fs = std::filesystem;

/// The simulation of "NAME-RxL-M.csv" and of Titan's schedule of that name and shape.
struct Pair {
  Simulation torch, titan;
};

Pair simulateBoth(const fs::path &path) {
  char name[64] = "";
  PipelineShape shape;
  const int found = std::sscanf(path.filename().c_str(), "%63[A-Za-z0-9]-%ldx%ld-%ld.csv", name,
                                &shape.ranks, &shape.stagesPerRank, &shape.microbatches);
  EXPECT_EQ(found, 4);
  const auto buffer = llvm::cantFail(
      llvm::errorOrToExpected(llvm::MemoryBuffer::getFile(path.string(), /*IsText=*/true)));
  const auto table =
      llvm::cantFail(parseScheduleCsv(buffer->getBuffer(), path.filename().string()));
  const auto &algorithm = *llvm::cantFail(findScheduleAlgorithm(name));
  const auto schedule = llvm::cantFail(buildSchedule(algorithm, shape));
  EXPECT_EQ(schedule.rankOfStage, table.rankOfStage);
  return {llvm::cantFail(simulate(table)), llvm::cantFail(simulate(schedule))};
}

TEST(ScheduleTablesTest, NoMoreIdleTimeAndNoMoreInFlightThanPyTorch) {
  const char *folder = std::getenv("TITAN_SCHEDULE_TABLES");
  int count = 0, better = 0;
  for (const auto &entry : fs::directory_iterator(folder ? folder : TITAN_GOLDEN "/schedules")) {
    if (entry.path().extension() != ".csv")
      continue;
    SCOPED_TRACE(entry.path().filename().string());
    const auto [torch, titan] = simulateBoth(entry.path());
    EXPECT_LE(titan.makespan, torch.makespan);
    for (size_t rank = 0; rank < torch.ranks.size(); ++rank) {
      EXPECT_EQ(titan.ranks[rank].busy, torch.ranks[rank].busy);
      EXPECT_LE(titan.ranks[rank].inFlight, torch.ranks[rank].inFlight) << "rank " << rank;
    }
    better += titan.makespan < torch.makespan;
    ++count;
  }
  EXPECT_GE(count, 27);
  std::printf("%d tables, %d with less idle time than PyTorch's\n", count, better);
}

} // namespace
} // namespace titan
