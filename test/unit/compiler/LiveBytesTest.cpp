#include "compiler/report/LiveBytes.h"

#include <gtest/gtest.h>

namespace titan {
namespace {

using Counts = std::vector<int64_t>;

// Instruction 1 writes 8 bytes, 3 reads them; calls come from the last instruction on.
TEST(LiveBytesTest, FromTheWriteToTheLastRead) {
  LiveCount count(5);
  LiveBytes live;
  live.read({0, 8}, 3);
  live.read({0, 8}, 2);
  live.write({0, 8}, 1, count);
  live.finish(0, count);
  EXPECT_EQ(count.take(), (Counts{0, 8, 8, 8, 0}));
}

// Instruction 2 reads what 0 wrote and writes its result, which 3 reads, to the same place.
TEST(LiveBytesTest, InPlaceBytesCountOnce) {
  LiveCount count(4);
  LiveBytes live;
  live.read({0, 8}, 3);
  live.write({0, 8}, 2, count);
  live.read({0, 8}, 2);
  live.write({0, 8}, 0, count);
  live.finish(0, count);
  EXPECT_EQ(count.take(), (Counts{8, 8, 8, 8}));
}

// Half of what is read is overwritten at the same time.
TEST(LiveBytesTest, OnlyTheOverwrittenPartEndsBefore) {
  LiveCount count(3);
  LiveBytes live;
  live.write({4, 8}, 2, count);
  live.read({0, 8}, 2);
  live.write({0, 8}, 1, count);
  live.finish(0, count);
  EXPECT_EQ(count.take(), (Counts{0, 8, 8}));
}

TEST(LiveBytesTest, WhatIsNeverReadCountsWhereItIsWritten) {
  LiveCount count(3);
  LiveBytes live;
  live.write({0, 4}, 1, count);
  live.finish(0, count);
  EXPECT_EQ(count.take(), (Counts{0, 4, 0}));
}

TEST(LiveBytesTest, WhatIsThereFromTheStart) {
  LiveCount count(3);
  LiveBytes live;
  live.read({0, 4}, 1);
  live.finish(0, count);
  EXPECT_EQ(count.take(), (Counts{4, 4, 0}));
}

} // namespace
} // namespace titan
