#include "runtime/exec/Liveness.h"

#include <gtest/gtest.h>

using namespace titan;
using namespace titan::format;

using Ranges = std::map<int64_t, int64_t>;

TEST(ByteSet, MergesAndSplits) {
  ByteSet set;
  set.add(10, 20);
  set.add(30, 40);
  set.add(20, 25);
  EXPECT_EQ(set.all(), (Ranges{{10, 25}, {30, 40}}));
  set.add(24, 31);
  EXPECT_EQ(set.all(), (Ranges{{10, 40}}));
  set.remove(15, 20);
  EXPECT_EQ(set.all(), (Ranges{{10, 15}, {20, 40}}));
  set.remove(0, 12);
  set.remove(39, 100);
  EXPECT_EQ(set.all(), (Ranges{{12, 15}, {20, 39}}));
  EXPECT_TRUE(set.contains(20, 39));
  EXPECT_TRUE(set.contains(25, 26));
  EXPECT_FALSE(set.contains(12, 21));
  EXPECT_FALSE(set.contains(0, 1));
  ByteSet all;
  all.add(0, 100);
  set.remove(all);
  EXPECT_TRUE(set.empty());
}

TEST(Liveness, BytesOfAStridedView) {
  View view = denseView(DType::f32, {2, 3, 2});
  view.strides = {16, 4, 1};
  ByteSet set;
  addBytes(set, 100, view);
  EXPECT_EQ(set.all(),
            (Ranges{{100, 108}, {116, 124}, {132, 140}, {164, 172}, {180, 188}, {196, 204}}));
}

TEST(Liveness, DeadFromTheLastReadOn) {
  const View four = denseView(DType::f32, {4}), one = denseView(DType::f32, {1});
  Function f;
  f.buffers = {{{0, kNone, 0}, four}, {{0, kNone, 16}, four}, {{0, kNone, 0}, one}};
  f.instructions = {
      Fill{0, 1},          // writes [0, 16)
      Copy{0, 1},          // last read of [4, 16), [0, 4) is read below
      Copy{2, 2},          // reads and writes [0, 4)
      Fill{0, 2},          // dead at once but for what follows
      CheckFinite{{0}, 2}, // reads [0, 16), writes [0, 4)
  };
  const auto dead = deadAfterEach({}, f, 0, 0);
  EXPECT_EQ(dead[0].all(), Ranges());
  EXPECT_EQ(dead[1].all(), (Ranges{{4, 32}}));
  EXPECT_EQ(dead[2].all(), (Ranges{{0, 4}}));
  EXPECT_EQ(dead[3].all(), Ranges());
  EXPECT_EQ(dead[4].all(), (Ranges{{0, 16}}));
}

TEST(Liveness, APlaceThatDependsOnTheRank) {
  const View two = denseView(DType::f32, {2}), four = denseView(DType::f32, {4});
  Program program;
  program.mesh = {{"a", 2}};
  Function f;
  f.buffers = {
      {{0, kNone, 0}, two, Rotation{{"a"}, 8, 0}}, {{0, kNone, 0}, four}, {{0, kNone, 16}, four}};
  Start gather;
  gather.collective = Collective::allGather;
  gather.sources = {0};
  gather.destinations = {1};
  f.instructions = {
      Fill{1, 0.0}, // read by nobody: on each rank its own part is filled again, the rest gathered
      Fill{0, 1.0}, gather, Await{2}, Copy{1, 2},
  };
  for (int rank : {0, 1}) {
    const auto dead = deadAfterEach(program, f, 0, rank);
    EXPECT_EQ(dead[0].all(), (Ranges{{0, 16}})) << rank;
    EXPECT_EQ(dead[1].all(), Ranges()) << rank;
    EXPECT_EQ(dead[4].all(), (Ranges{{0, 32}})) << rank;
  }
  f.instructions = {Fill{1, 0.0}, Fill{0, 1.0}, Copy{1, 2}};
  EXPECT_EQ(deadAfterEach(program, f, 0, 0)[0].all(), (Ranges{{0, 8}}));
  EXPECT_EQ(deadAfterEach(program, f, 0, 1)[0].all(), (Ranges{{8, 16}}));
}

TEST(Liveness, AccumulationReadsItsResult) {
  Gemm gemm{0, 1, 2};
  gemm.accumulate = true;
  bool reads = false;
  for (const Touch &touch : touchesOf({}, gemm))
    reads |= touch.buffer == 2 && touch.access == Access::readWrite;
  EXPECT_TRUE(reads);
}
