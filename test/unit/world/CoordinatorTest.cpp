// The coordinator under a clock of the test's own.
#include "TestWorlds.h"

#include "runtime/world/Coordinator.h"

#include <ctime>

using namespace titan;
using namespace titan::control;
using namespace titan::test;

namespace {

class CoordinatorTest : public testing::Test {
protected:
  CoordinatorTest() {
    options.initTimeout = seconds(300);
    options.heartbeatTimeout = seconds(10);
  }

  Coordinator make(int size, int present) {
    Coordinator coordinator(size, options, "node0:1", now);
    for (int rank = 0; rank < present; ++rank)
      expectOk(coordinator.join(rank, fmt::format("node{}", rank), now));
    return coordinator;
  }
  /// Time passes; the ranks below `alive` send their heartbeats.
  void pass(Coordinator &coordinator, Duration length, int alive) {
    for (Duration passed(0); passed < length; passed += seconds(1)) {
      now += seconds(1);
      for (int rank = 0; rank < alive; ++rank)
        coordinator.heard(rank, now);
      coordinator.tick(now);
    }
  }

  WorldOptions options;
  TimePoint now = TimePoint(std::chrono::hours(100));
};

} // namespace

TEST(DescribeRanks, ListsAndRanges) {
  EXPECT_EQ(describeRanks({3}), "rank 3");
  EXPECT_EQ(describeRanks({3, 4}), "ranks 3 and 4");
  EXPECT_EQ(describeRanks({3, 4, 5}), "ranks 3 to 5");
  EXPECT_EQ(describeRanks({0, 2, 3, 4, 5, 9}), "ranks 0, 2 to 5 and 9");
  EXPECT_EQ(describeRanks({0, 2, 4, 6, 8, 10, 12, 14, 16, 18}),
            "ranks 0, 2, 4, 6, 8, 10, 12, 14 and 2 more groups");
}

TEST_F(CoordinatorTest, ASilentRankIsNamedWithHostAndTime) {
  Coordinator coordinator = make(3, 3);
  pass(coordinator, seconds(100), 3);
  expectOk(coordinator.aborted());
  pass(coordinator, seconds(10), 2);
  expectOk(coordinator.aborted());
  pass(coordinator, seconds(1), 2);
  expectFailure(coordinator.aborted(), StatusCode::unavailable,
                "rank 2 on host node2 is silent: last heard of 11 s ago, the limit is 10 s");
}

TEST_F(CoordinatorTest, APauseOfRankZeroItselfIsNobodysSilence) {
  Coordinator coordinator = make(3, 3);
  pass(coordinator, seconds(5), 3);
  now += std::chrono::hours(1);
  coordinator.tick(now);
  expectOk(coordinator.aborted());
  // Those that were stopped as well have their whole time again; a dead one is still found.
  pass(coordinator, seconds(9), 2);
  expectOk(coordinator.aborted());
  pass(coordinator, seconds(3), 2);
  expectFailure(coordinator.aborted(), StatusCode::unavailable, "rank 2 on host node2 is silent");
}

TEST_F(CoordinatorTest, MissingRanksAreNamedWithTheLastRefusal) {
  Coordinator coordinator = make(8, 3);
  coordinator.turnedAway("rank 5 on host node5: it was started as one of 4 ranks");
  pass(coordinator, seconds(299), 3);
  expectOk(coordinator.aborted());
  pass(coordinator, seconds(1), 3);
  expectFailure(coordinator.aborted(), StatusCode::deadlineExceeded,
                "ranks 3 to 7 of 8 did not come to node0:1 within 300 s; the last one turned away: "
                "rank 5 on host node5: it was started as one of 4 ranks");
  expectFailure(coordinator.join(3, "node3", now), StatusCode::deadlineExceeded, "did not come");
}

TEST_F(CoordinatorTest, ALeaverIsNotMissedByTheHeartbeat) {
  Coordinator coordinator = make(2, 2);
  coordinator.request(1, 1, {.kind = RequestKind::leave}, now);
  ASSERT_EQ(coordinator.takeReplies().size(), 1u);
  coordinator.dropped(1, "closed", now);
  pass(coordinator, seconds(60), 1);
  expectOk(coordinator.aborted());
  coordinator.request(0, 1, {.kind = RequestKind::leave, .timeout = seconds(1)}, now);
  expectOk(coordinator.takeReplies().at(0).reply.status);
  EXPECT_TRUE(coordinator.hasLeft(0));
}

TEST_F(CoordinatorTest, WaitersExpireInOrderAndTogether) {
  Coordinator coordinator = make(2, 2);
  for (uint64_t id = 1; id <= 3; ++id)
    coordinator.request(
        0, id, {.kind = RequestKind::get, .key = "k", .timeout = seconds(2 * (4 - int(id)))}, now);
  EXPECT_EQ(coordinator.nextDeadline(), now + options.heartbeatTimeout / 8);
  pass(coordinator, seconds(2), 2);
  std::vector<AddressedReply> replies = coordinator.takeReplies();
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(replies[0].id, 3u);
  coordinator.request(1, 9, {.kind = RequestKind::set, .key = "k", .value = "v"}, now);
  replies = coordinator.takeReplies();
  ASSERT_EQ(replies.size(), 3u);
  EXPECT_EQ(replies[0].reply.value, "v");
  EXPECT_EQ(replies[1].reply.value, "v");
  pass(coordinator, seconds(10), 2);
  EXPECT_TRUE(coordinator.takeReplies().empty());
}

TEST_F(CoordinatorTest, TheFirstReasonOfAnAbortStays) {
  Coordinator coordinator = make(2, 2);
  coordinator.request(0, 1, {.kind = RequestKind::barrier, .key = "b", .timeout = seconds(1)}, now);
  coordinator.dropped(1, "its connection was closed", now + seconds(2));
  coordinator.abortJob(invalidArgument("another"));
  expectFailure(coordinator.aborted(), StatusCode::unavailable,
                "rank 1 on host node1 is gone: its connection was closed; last heard of 2 s ago");
  EXPECT_TRUE(coordinator.takeReplies().empty());
  EXPECT_EQ(coordinator.nextDeadline(), TimePoint::max());
  coordinator.tick(now + seconds(1000));
  coordinator.request(0, 2, {.kind = RequestKind::set, .key = "k"}, now);
  EXPECT_EQ(coordinator.takeReplies().at(0).reply.status.message(),
            coordinator.aborted().message());
}

TEST_F(CoordinatorTest, ManyRanksMeetQuickly) {
  constexpr int kRanks = 16384;
  Coordinator coordinator = make(kRanks, kRanks);
  const std::clock_t start = std::clock();
  for (int rank = 0; rank < kRanks; ++rank)
    coordinator.request(rank, 1, {.kind = RequestKind::barrier, .key = "b", .timeout = seconds(9)},
                        now);
  EXPECT_EQ(coordinator.takeReplies().size(), size_t(kRanks));
  // Linear work takes milliseconds; comparing each with each would take far longer than this.
  EXPECT_LT(std::clock() - start, 2 * CLOCKS_PER_SEC);
}
