#include "passes/sharding/CollectiveOrder.h"

#include <gtest/gtest.h>

using namespace titan;

namespace {

using Sequence = std::vector<IssuedCollective>;

const std::vector<int64_t> all = {0, 1, 2}, low = {0, 1}, high = {1, 2};

std::string check(const std::vector<Sequence> &sequences) {
  const auto conflict = findOrderConflict(sequences);
  if (!conflict)
    return "fine";
  return std::to_string(conflict->party) + " at " + std::to_string(conflict->index) +
         " waits for " + std::to_string(conflict->other) + " at " +
         (conflict->otherIndex ? std::to_string(*conflict->otherIndex) : "its end");
}

} // namespace

TEST(CollectiveOrder, OneProgramIsInOrder) {
  const Sequence sequence = {{all, "sum"}, {all, "gather"}, {all, "sum"}};
  EXPECT_EQ(check({sequence, sequence, sequence}), "fine");
  EXPECT_EQ(check({}), "fine");
  EXPECT_EQ(check({{}, {}}), "fine");
}

TEST(CollectiveOrder, WhatAPartyDoesAloneDoesNotMatter) {
  EXPECT_EQ(check({{{{0}, "a"}, {low, "sum"}}, {{low, "sum"}, {{1}, "b"}}}), "fine");
}

TEST(CollectiveOrder, OverlappingGroupsInOneOrder) {
  EXPECT_EQ(check({{{low, "a"}}, {{low, "a"}, {high, "b"}}, {{high, "b"}}}), "fine");
}

TEST(CollectiveOrder, TwoGroupsInTwoOrders) {
  EXPECT_EQ(check({{{low, "a"}, {all, "b"}}, {{all, "b"}, {low, "a"}}, {{all, "b"}}}),
            "0 at 0 waits for 1 at 0");
}

TEST(CollectiveOrder, ACircleOfThree) {
  const std::vector<int64_t> outer = {0, 2};
  EXPECT_EQ(
      check({{{low, "a"}, {outer, "c"}}, {{high, "b"}, {low, "a"}}, {{outer, "c"}, {high, "b"}}}),
      "0 at 0 waits for 1 at 0");
}

TEST(CollectiveOrder, WhatIsIssuedMustAgree) {
  EXPECT_EQ(check({{{low, "sum 4"}}, {{low, "sum 8"}}}), "0 at 0 waits for 1 at 0");
}

TEST(CollectiveOrder, NobodyMayBeMissing) {
  EXPECT_EQ(check({{{low, "a"}, {low, "a"}}, {{low, "a"}}}), "0 at 1 waits for 1 at its end");
  EXPECT_EQ(check({{{{0, 7}, "a"}}}), "0 at 0 waits for 7 at its end");
}

TEST(CollectiveOrder, APipelineOfSendsAndReceives) {
  // Forward to the next stage, backward to the previous one; stage 1 works on two microbatches.
  const std::vector<Sequence> sequences = {
      {{low, "f0"}, {low, "f1"}, {low, "b0"}, {low, "b1"}},
      {{low, "f0"},
       {high, "f0"},
       {low, "f1"},
       {high, "f1"},
       {high, "b0"},
       {low, "b0"},
       {high, "b1"},
       {low, "b1"}},
      {{high, "f0"}, {high, "f1"}, {high, "b0"}, {high, "b1"}}};
  EXPECT_EQ(check(sequences), "fine");
  std::vector<Sequence> wrong = sequences;
  std::swap(wrong[2][1], wrong[2][2]);
  EXPECT_EQ(check(wrong), "0 at 2 waits for 1 at 3");
}
