#include "passes/sharding/TransferSchedule.h"

#include <gtest/gtest.h>

using namespace titan;

namespace {

Transfer gather(int64_t position, int64_t firstUse) { return {0, position, firstUse, true, false}; }
Transfer reduction(int64_t position) { return {1, position, position + 1, false, true}; }

std::string plan(const std::vector<Transfer> &transfers, int64_t distance, int64_t end = 100) {
  std::string text;
  for (const TransferPlan &plan : planTransfers(transfers, distance, end))
    text += std::to_string(plan.start) + "-" + std::to_string(plan.await) + " ";
  return text;
}

} // namespace

TEST(TransferSchedule, GathersStartWhenThePreviousOneIsUsed) {
  const std::vector<Transfer> transfers = {gather(3, 4), gather(10, 11), gather(20, 21)};
  EXPECT_EQ(plan(transfers, 1), "0-4 4-11 11-21 ");
  EXPECT_EQ(plan(transfers, 2), "0-4 0-11 4-21 ");
  EXPECT_EQ(plan(transfers, 0), "4-4 11-11 21-21 ");
}

TEST(TransferSchedule, TheOrderOfUsesCounts) {
  EXPECT_EQ(plan({gather(1, 30), gather(2, 5)}, 1), "5-30 0-5 ");
}

TEST(TransferSchedule, ReductionsAreAwaitedWhenTheNextOneStarts) {
  const std::vector<Transfer> transfers = {reduction(3), reduction(10), reduction(20)};
  EXPECT_EQ(plan(transfers, 1), "3-10 10-20 20-100 ");
  EXPECT_EQ(plan(transfers, 2), "3-20 10-100 20-100 ");
  EXPECT_EQ(plan(transfers, 0), "3-3 10-10 20-20 ");
}

TEST(TransferSchedule, OthersRunFromOperandToUse) {
  EXPECT_EQ(plan({{0, 5, 9, false, false}, gather(6, 7)}, 1), "5-9 0-7 ");
}

TEST(TransferSchedule, KeysAreApart) {
  std::vector<Transfer> transfers = {gather(3, 4), gather(10, 11), reduction(12), reduction(13)};
  transfers[1].key = 7;
  transfers[3].key = 8;
  EXPECT_EQ(plan(transfers, 1), "0-4 0-11 12-100 13-100 ");
}

// Whatever the list is.
TEST(TransferSchedule, AwaitsFollowStarts) {
  uint32_t state = 1;
  auto random = [&] { return int64_t{(state = state * 1664525 + 1013904223) >> 16}; };
  for (int round = 0; round < 200; ++round) {
    std::vector<Transfer> transfers;
    int64_t position = 0;
    for (int i = 0; i < 12; ++i) {
      position += 1 + random() % 3;
      const bool early = random() % 2;
      transfers.push_back(
          {random() % 3, position, position + 1 + random() % 5, early, !early && random() % 2});
    }
    const int64_t end = position + 6;
    for (const TransferPlan &plan : planTransfers(transfers, random() % 3, end)) {
      EXPECT_LE(plan.start, plan.await);
      EXPECT_LE(plan.await, end);
      EXPECT_GE(plan.start, 0);
    }
  }
}
