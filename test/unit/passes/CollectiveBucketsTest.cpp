#include "passes/sharding/CollectiveBuckets.h"

#include <gtest/gtest.h>

using namespace titan;

namespace {

constexpr int64_t kNoLimit = int64_t{1} << 40;
constexpr int64_t kAtEnd = BucketCandidate::kAtEnd;
using Buckets = std::vector<std::vector<size_t>>;

BucketCandidate gather(const char *layer, int64_t firstUse, int64_t bytes = 64) {
  return {0, layer, -1, firstUse, bytes, true};
}

BucketCandidate reduction(const char *layer, int64_t ready, int64_t firstUse = kAtEnd) {
  return {0, layer, ready, firstUse, 64, false};
}

} // namespace

TEST(CollectiveBuckets, OneGroupPerLayer) {
  EXPECT_EQ(formBuckets({gather("layers.0", 3), gather("layers.0", 9), gather("layers.1", 12),
                         gather("layers.1", 15)},
                        kNoLimit),
            (Buckets{{0, 1}, {2, 3}}));
}

TEST(CollectiveBuckets, NeighboursAreInTheOrderOfUses) {
  // Listed as the variables are, used as the layers are.
  EXPECT_EQ(formBuckets({gather("", 20), gather("layers.0", 4), gather("", 2),
                         gather("layers.0", 3), gather("", 22)},
                        kNoLimit),
            (Buckets{{2}, {3, 1}, {0, 4}}));
}

TEST(CollectiveBuckets, KeysDoNotMixAndDoNotSeparate) {
  std::vector<BucketCandidate> candidates = {gather("layers.0", 3), gather("layers.0", 4),
                                             gather("layers.0", 5), gather("layers.0", 6)};
  candidates[1].key = candidates[3].key = 1;
  EXPECT_EQ(formBuckets(candidates, kNoLimit), (Buckets{{0, 2}, {1, 3}}));
}

TEST(CollectiveBuckets, TheLimitCuts) {
  const std::vector<BucketCandidate> candidates = {gather("", 1), gather("", 2), gather("", 3),
                                                   gather("", 4, 500), gather("", 5)};
  EXPECT_EQ(formBuckets(candidates, 128), (Buckets{{0, 1}, {2}, {3}, {4}}));
  EXPECT_EQ(formBuckets(candidates, 192), (Buckets{{0, 1, 2}, {3}, {4}}));
  EXPECT_EQ(formBuckets(candidates, 0), (Buckets{{0}, {1}, {2}, {3}, {4}}));
}

TEST(CollectiveBuckets, ReductionsWaitForTheLastOperandOnlyIfTheyCan) {
  EXPECT_EQ(
      formBuckets({reduction("layers.1", 3), reduction("layers.1", 9), reduction("layers.0", 12)},
                  kNoLimit),
      (Buckets{{0, 1}, {2}}));
  // The first result is needed before the second operand is there.
  EXPECT_EQ(formBuckets({reduction("layers.1", 3, 5), reduction("layers.1", 9)}, kNoLimit),
            (Buckets{{0}, {1}}));
  EXPECT_EQ(formBuckets({reduction("layers.1", 3, 9), reduction("layers.1", 9)}, kNoLimit),
            (Buckets{{0}, {1}}));
  EXPECT_EQ(formBuckets({reduction("layers.1", 3, 10), reduction("layers.1", 9)}, kNoLimit),
            (Buckets{{0, 1}}));
}

TEST(CollectiveBuckets, NothingIsNothing) { EXPECT_EQ(formBuckets({}, kNoLimit), Buckets{}); }
