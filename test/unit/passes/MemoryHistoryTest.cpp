#include "passes/memory/MemoryHistory.h"

#include <gtest/gtest.h>

using namespace titan;

namespace {

enum : uint64_t { a = 1, b, c, whole };

std::string describe(const std::optional<MemoryHistory::Conflict> &conflict) {
  if (!conflict)
    return "none";
  return std::to_string(conflict->range.begin) + " to " + std::to_string(conflict->range.end) +
         " by " + std::to_string(conflict->writer);
}

} // namespace

TEST(MemoryHistory, AValueIsIntactUntilItIsOverwritten) {
  MemoryHistory history;
  history.write(a, {0, 0, 64}, 1);
  EXPECT_EQ(describe(history.check(a)), "none");
  history.write(b, {0, 32, 96}, 2);
  EXPECT_EQ(describe(history.check(b)), "none");
  EXPECT_EQ(describe(history.check(a)), "32 to 64 by 2");
}

TEST(MemoryHistory, EveryByteCounts) {
  for (int64_t at = 0; at < 16; ++at) {
    MemoryHistory history;
    history.write(a, {0, 8, 16}, 1);
    history.write(b, {0, at, at + 1}, 2);
    const bool inside = at >= 8 && at < 16;
    EXPECT_EQ(describe(history.check(a)),
              inside ? std::to_string(at) + " to " + std::to_string(at + 1) + " by 2" : "none");
  }
}

TEST(MemoryHistory, SpacesAreApart) {
  MemoryHistory history;
  history.write(a, {0, 0, 64}, 1);
  history.write(b, {1, 0, 64}, 2);
  EXPECT_EQ(describe(history.check(a)), "none");
}

TEST(MemoryHistory, RewritingTheSameBytesIsANewWrite) {
  MemoryHistory history;
  history.write(a, {0, 0, 64}, 1);
  history.write(b, {0, 0, 64}, 1);
  EXPECT_EQ(describe(history.check(a)), "0 to 64 by 1");
}

TEST(MemoryHistory, ArgumentsAreTheMemoryAtTheStart) {
  MemoryHistory history;
  history.adopt(a, {0, 0, 64});
  history.write(b, {0, 64, 128}, 1);
  EXPECT_EQ(describe(history.check(a)), "none");
  history.write(c, {0, 60, 128}, 2);
  EXPECT_EQ(describe(history.check(a)), "60 to 64 by 2");
}

TEST(MemoryHistory, AViewNeedsItsPartOnly) {
  MemoryHistory history;
  history.write(a, {0, 0, 64}, 1);
  history.adopt(b, {0, 0, 32});
  history.write(c, {0, 32, 64}, 2);
  EXPECT_EQ(describe(history.check(b)), "none");
  EXPECT_EQ(describe(history.check(a)), "32 to 64 by 2");
}

TEST(MemoryHistory, AnAssembledValueIsItsParts) {
  MemoryHistory history;
  history.write(a, {0, 0, 32}, 1);
  history.write(b, {0, 32, 64}, 2);
  history.adopt(whole, {0, 0, 64});
  EXPECT_EQ(describe(history.check(whole)), "none");
  EXPECT_EQ(describe(history.check(a)), "none");
  history.write(c, {0, 40, 48}, 3);
  EXPECT_EQ(describe(history.check(whole)), "40 to 48 by 3");
  EXPECT_EQ(describe(history.check(b)), "40 to 48 by 3");
  EXPECT_EQ(describe(history.check(a)), "none");
}

TEST(MemoryHistory, ATransferOwnsItsMemoryUntilItIsAwaited) {
  MemoryHistory history;
  history.write(a, {0, 0, 64}, 1);
  history.hold(7, {{0, 0, 64}}, {{0, 64, 128}});
  // Others may read the source, nothing else.
  EXPECT_EQ(describe(history.findHold({0, 0, 16}, false)), "none");
  EXPECT_EQ(describe(history.findHold({0, 60, 62}, true)), "0 to 64 by 7");
  EXPECT_EQ(describe(history.findHold({0, 100, 101}, false)), "64 to 128 by 7");
  EXPECT_EQ(describe(history.findHold({0, 100, 101}, true)), "64 to 128 by 7");
  EXPECT_EQ(describe(history.findHold({0, 128, 256}, true)), "none");
  EXPECT_EQ(describe(history.findHold({1, 0, 256}, true)), "none");
  history.release(7, {b});
  EXPECT_EQ(describe(history.findHold({0, 0, 128}, true)), "none");
  EXPECT_EQ(describe(history.check(b)), "none");
  history.write(c, {0, 64, 72}, 8);
  EXPECT_EQ(describe(history.check(b)), "64 to 72 by 8");
}
