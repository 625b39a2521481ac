#include "passes/memory/ArenaPacking.h"

#include <gtest/gtest.h>

#include <random>

using namespace titan;

/// The first two buffers that are alive together and overlap, as text; empty if there are none.
static std::string findOverlap(const std::vector<BufferLifetime> &buffers,
                               const ArenaPacking &packing) {
  for (size_t a = 0; a < buffers.size(); ++a) {
    if (packing.offsets[a] % 64 || packing.offsets[a] + buffers[a].bytes > packing.bytes)
      return "buffer " + std::to_string(a) + " is misplaced";
    for (size_t b = 0; b < a; ++b)
      if (buffers[a].begin <= buffers[b].end && buffers[b].begin <= buffers[a].end &&
          packing.offsets[a] < packing.offsets[b] + buffers[b].bytes &&
          packing.offsets[b] < packing.offsets[a] + buffers[a].bytes)
        return "buffers " + std::to_string(b) + " and " + std::to_string(a) + " overlap";
  }
  return {};
}

TEST(ArenaPacking, NothingNeedsNothing) {
  EXPECT_EQ(packArena({}).bytes, 0);
  EXPECT_EQ(peakLiveBytes({}), 0);
}

TEST(ArenaPacking, SizesAreRoundedUp) {
  const std::vector<BufferLifetime> buffers = {{1, 0, 1}, {65, 1, 2}};
  EXPECT_EQ(peakLiveBytes(buffers), 64 + 128);
  ArenaPacking packing = packArena(buffers);
  EXPECT_EQ(packing.bytes, 64 + 128);
  EXPECT_EQ(findOverlap(buffers, packing), "");
}

TEST(ArenaPacking, DeadMemoryIsTakenOver) {
  const std::vector<BufferLifetime> buffers = {{640, 0, 1}, {640, 2, 3}, {640, 4, 5}};
  EXPECT_EQ(packArena(buffers).bytes, 640);
}

TEST(ArenaPacking, NeighbouringHolesMerge) {
  // Two small buffers die before a large one of their joint size begins.
  const std::vector<BufferLifetime> buffers = {{128, 0, 2}, {128, 0, 3}, {64, 0, 9}, {256, 4, 9}};
  ArenaPacking packing = packArena(buffers);
  EXPECT_EQ(packing.bytes, 320);
  EXPECT_EQ(findOverlap(buffers, packing), "");
}

TEST(ArenaPacking, EmptyBuffersTakeNoMemory) {
  const std::vector<BufferLifetime> buffers = {{0, 0, 9}, {64, 0, 9}};
  EXPECT_EQ(packArena(buffers).bytes, 64);
}

TEST(ArenaPacking, RandomBuffersNeverOverlapAndStayNearTheBound) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<BufferLifetime> buffers(1 + random() % 80);
    for (BufferLifetime &buffer : buffers) {
      buffer.bytes = 1 + random() % 4096;
      buffer.begin = random() % 100;
      buffer.end = buffer.begin + random() % 20;
    }
    ArenaPacking packing = packArena(buffers);
    ASSERT_EQ(findOverlap(buffers, packing), "") << "round " << round;
    EXPECT_GE(packing.bytes, peakLiveBytes(buffers));
    EXPECT_LE(packing.bytes, 3 * peakLiveBytes(buffers)) << "round " << round;
  }
}

TEST(ArenaPacking, ManyBuffersTakeTheFastPathAlone) {
  std::mt19937 random(2);
  std::vector<BufferLifetime> buffers(6000);
  for (size_t i = 0; i < buffers.size(); ++i)
    buffers[i] = {static_cast<int64_t>(64 * (1 + random() % 8)), static_cast<int64_t>(i),
                  static_cast<int64_t>(i + random() % 30)};
  ArenaPacking packing = packArena(buffers);
  EXPECT_EQ(findOverlap(buffers, packing), "");
  EXPECT_LE(packing.bytes, 2 * peakLiveBytes(buffers));
}
