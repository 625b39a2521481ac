// What holds for both transports.
#include "TestWorlds.h"

#include "runtime/world/HashExchange.h"

#include <atomic>
#include <ctime>

using namespace titan;
using namespace titan::test;

template <typename Backend> class WorldTest : public testing::Test {};

using Backends = testing::Types<LocalBackend, TcpBackend>;
struct BackendNames {
  template <typename Backend> static std::string GetName(int) {
    return std::is_same_v<Backend, LocalBackend> ? "Local" : "Tcp";
  }
};
TYPED_TEST_SUITE(WorldTest, Backends, BackendNames);

TYPED_TEST(WorldTest, KeysReachEveryRank) {
  for (int size = 1; size <= 9; ++size) {
    TypeParam backend(size);
    runRanks(backend, size, [&](std::unique_ptr<World> &world) {
      const int next = (world->rank() + 1) % size;
      expectOk(world->set(fmt::format("key/{}", world->rank()),
                          std::string(world->rank() * 1000, '\0') + "end"));
      StatusOr<std::string> value = world->get(fmt::format("key/{}", next), kLong);
      ASSERT_TRUE(value.ok()) << value.status().message();
      EXPECT_EQ(*value, std::string(next * 1000, '\0') + "end");
    });
  }
}

TYPED_TEST(WorldTest, GetAwaitsTheKeyAndSetReplacesIt) {
  TypeParam backend(2);
  runRanks(backend, 2, [&](std::unique_ptr<World> &world) {
    if (world->rank() == 0) {
      std::this_thread::sleep_for(milliseconds(30));
      expectOk(world->set("late", "first"));
      expectOk(world->barrier("read", kLong));
      expectOk(world->set("late", ""));
      expectOk(world->barrier("replaced", kLong));
      return;
    }
    EXPECT_EQ(*world->get("late", kLong), "first");
    expectOk(world->barrier("read", kLong));
    expectOk(world->barrier("replaced", kLong));
    EXPECT_EQ(*world->get("late", Duration(0)), "");
  });
}

TYPED_TEST(WorldTest, GetFailsAtItsTimeout) {
  TypeParam backend(2);
  runRanks(backend, 2, [&](std::unique_ptr<World> &world) {
    const auto start = Clock::now();
    expectFailure(world->get("nothing", milliseconds(40)).status(), StatusCode::deadlineExceeded,
                  "key 'nothing' was not set within 0.04 s");
    EXPECT_GE(Clock::now() - start, milliseconds(40));
    expectFailure(world->get("nothing", Duration::min()).status(), StatusCode::deadlineExceeded,
                  "key 'nothing' was not set");
  });
}

TYPED_TEST(WorldTest, CountersAddAtomically) {
  constexpr int kRanks = 5;
  constexpr int kRounds = 20;
  TypeParam backend(kRanks);
  std::mutex mutex;
  std::vector<int64_t> sums;
  runRanks(backend, kRanks, [&](std::unique_ptr<World> &world) {
    for (int round = 0; round < kRounds; ++round) {
      StatusOr<int64_t> sum = world->add("counter", 1);
      ASSERT_TRUE(sum.ok());
      std::lock_guard lock(mutex);
      sums.push_back(*sum);
    }
    expectOk(world->barrier("counted", kLong));
    EXPECT_EQ(*world->get("counter", kLong), "100");
    EXPECT_EQ(*world->add("counter", 0), 100);
  });
  std::sort(sums.begin(), sums.end());
  for (int64_t i = 0; i < kRanks * kRounds; ++i)
    EXPECT_EQ(sums[i], i + 1);
}

TYPED_TEST(WorldTest, CountersRefuseTextAndOverflow) {
  TypeParam backend(1);
  runRanks(backend, 1, [&](std::unique_ptr<World> &world) {
    expectOk(world->set("text", "7 apples"));
    expectFailure(world->add("text", 1).status(), StatusCode::invalidArgument,
                  "key 'text': holds '7 apples', which is no counter");
    EXPECT_EQ(*world->add("large", INT64_MAX), INT64_MAX);
    expectFailure(world->add("large", 1).status(), StatusCode::invalidArgument,
                  "leaves the range of 64 bits");
    EXPECT_EQ(*world->add("large", -1), INT64_MAX - 1);
    EXPECT_EQ(*world->add("low", INT64_MIN), INT64_MIN);
    expectOk(world->set("set", "41"));
    EXPECT_EQ(*world->add("set", 1), 42);
  });
}

TYPED_TEST(WorldTest, KeysAndValuesHaveLimits) {
  TypeParam backend(1);
  runRanks(backend, 1, [&](std::unique_ptr<World> &world) {
    const std::string key(kMaxKeyBytes, 'k');
    const std::string value(kMaxValueBytes, 'v');
    expectOk(world->set(key, value));
    EXPECT_EQ(*world->get(key, kLong), value);
    expectFailure(world->set("key", value + "v"), StatusCode::invalidArgument,
                  "key 'key': a value of 1048577 bytes; at most 1048576");
    expectFailure(world->set(key + "k", ""), StatusCode::invalidArgument,
                  "a key of 1025 bytes; keys have 1 to 1024");
    expectFailure(world->barrier("", kLong), StatusCode::invalidArgument, "a key of 0 bytes");
  });
}

TYPED_TEST(WorldTest, BarrierHoldsEveryRankUntilTheLast) {
  for (int size : {1, 2, 3, 9}) {
    TypeParam backend(size);
    std::atomic<int> arrived = 0;
    runRanks(backend, size, [&](std::unique_ptr<World> &world) {
      for (int round = 1; round <= 20; ++round) {
        ++arrived;
        expectOk(world->barrier("round", kLong));
        EXPECT_GE(arrived.load(), round * size);
      }
    });
    EXPECT_EQ(arrived.load(), 20 * size);
  }
}

TYPED_TEST(WorldTest, BarrierNamesThoseMissingAndCanBeTriedAgain) {
  TypeParam backend(4);
  runRanks(backend, 4, [&](std::unique_ptr<World> &world) {
    const bool late = world->rank() == 1 || world->rank() == 3;
    if (!late)
      expectOk(world->barrier(world->rank() == 0 ? "0 of 2" : "2 of 2", milliseconds(1)).code() ==
                       StatusCode::deadlineExceeded
                   ? okStatus()
                   : internalError("a barrier of one of four ranks was passed"));
    if (!late)
      expectOk(world->set(fmt::format("here/{}", world->rank()), ""));
    if (world->rank() == 0) {
      expectOk(world->get("here/2", kLong).status());
      expectFailure(world->barrier("all", milliseconds(60)), StatusCode::deadlineExceeded,
                    "barrier 'all': ranks 1 to 3 did not come within 0.06 s");
      expectOk(world->set("go", ""));
    }
    expectOk(world->get("go", kLong).status());
    expectOk(world->barrier("all", kLong));
  });
}

TYPED_TEST(WorldTest, BarrierOfTwoThreadsOfOneRankIsRefused) {
  TypeParam backend(2);
  runRanks(backend, 2, [&](std::unique_ptr<World> &world) {
    if (world->rank() == 0) {
      // The refused one lets rank 1 come, which ends the wait of the other.
      std::atomic<int> refused = 0;
      auto call = [&] {
        const Status status = world->barrier("twice", kLong);
        if (status.ok())
          return;
        ++refused;
        expectFailure(status, StatusCode::invalidArgument,
                      "barrier 'twice': rank 0 waits in it already");
        expectOk(world->set("refused", ""));
      };
      std::thread other(call);
      call();
      other.join();
      EXPECT_EQ(refused.load(), 1);
    } else {
      expectOk(world->get("refused", kLong).status());
      expectOk(world->barrier("twice", kLong));
    }
  });
}

TYPED_TEST(WorldTest, ThreadsOfOneRankCallAtOnce) {
  TypeParam backend(3);
  runRanks(backend, 3, [&](std::unique_ptr<World> &world) {
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; ++thread)
      threads.emplace_back([&, thread] {
        for (int i = 0; i < 10; ++i) {
          expectOk(world->barrier(fmt::format("{}/{}", thread, i), kLong));
          expectOk(world->add("calls", 1).status());
        }
      });
    for (std::thread &thread : threads)
      thread.join();
    expectOk(world->barrier("end", kLong));
    EXPECT_EQ(*world->get("calls", kLong), "120");
  });
}

TYPED_TEST(WorldTest, AbortEndsEveryCallAndCallsBackOnce) {
  constexpr int kRanks = 4;
  TypeParam backend(kRanks);
  std::atomic<int> calls = 0;
  std::atomic<int> removedCalls = 0;
  runRanks(backend, kRanks, [&](std::unique_ptr<World> &world) {
    EXPECT_TRUE(world->aborted().ok());
    AbortSubscription subscription = world->onAbort([&](const Status &why) {
      EXPECT_NE(why.message().find("the loss is not finite"), std::string::npos);
      ++calls;
    });
    {
      AbortSubscription removed = world->onAbort([&](const Status &) { ++removedCalls; });
    }
    AbortSubscription moved = std::move(subscription);
    expectOk(world->barrier("start", kLong));
    if (world->rank() == 2) {
      std::this_thread::sleep_for(milliseconds(30));
      world->abortJob(invalidArgument("the loss is not finite"));
      world->abortJob(invalidArgument("a second reason"));
    }
    Status ended = world->rank() % 2 == 0 ? world->barrier("never", kLong)
                                          : world->get("never", kLong).status();
    expectFailure(ended, StatusCode::invalidArgument, "the loss is not finite");
    EXPECT_NE(ended.message().find("rank 2 on host "), std::string::npos) << ended.message();
    EXPECT_TRUE(world->isAborted());
    EXPECT_EQ(world->aborted().message(), ended.message());
    EXPECT_EQ(world->set("key", "").message(), ended.message());
    EXPECT_EQ(world->add("key", 1).status().message(), ended.message());
    EXPECT_EQ(world->leave(kLong).message(), ended.message());
    int lateCalls = 0;
    AbortSubscription late = world->onAbort([&](const Status &) { ++lateCalls; });
    EXPECT_EQ(lateCalls, 1);
  });
  EXPECT_EQ(calls.load(), kRanks);
  EXPECT_EQ(removedCalls.load(), 0);
}

TYPED_TEST(WorldTest, ARankThatEndsWithoutGoodbyeIsNamed) {
  for (int victim : {1, 3}) {
    TypeParam backend(4);
    runRanks(backend, 4, [&](std::unique_ptr<World> &world) {
      expectOk(world->barrier("start", kLong));
      if (world->rank() == victim) {
        world.reset();
        return;
      }
      Status ended = world->barrier("next", kLong);
      expectFailure(ended, StatusCode::unavailable, fmt::format("rank {} on host ", victim));
      expectFailure(ended, StatusCode::unavailable, "without a goodbye; last heard of ");
    });
  }
}

TYPED_TEST(WorldTest, RankZeroMayBeTheOneThatEnds) {
  TypeParam backend(3);
  runRanks(backend, 3, [&](std::unique_ptr<World> &world) {
    expectOk(world->barrier("start", kLong));
    if (world->rank() == 0) {
      world.reset();
      return;
    }
    expectFailure(world->get("never", kLong).status(), StatusCode::unavailable, "rank 0 ");
  });
}

TYPED_TEST(WorldTest, RanksMayLeaveEarlyAndBarriersSaySo) {
  TypeParam backend(3);
  runRanks(backend, 3, [&](std::unique_ptr<World> &world) {
    if (world->rank() == 1) {
      expectOk(world->get("waiting", kLong).status());
      std::this_thread::sleep_for(milliseconds(30));
      expectOk(world->leave(kLong));
      expectFailure(world->set("after", ""), StatusCode::invalidArgument, "has left the job");
      world.reset();
      return;
    }
    if (world->rank() == 0)
      expectOk(world->set("waiting", ""));
    for (int i = 0; i < 2; ++i)
      expectFailure(world->barrier("all", kLong), StatusCode::unavailable,
                    "barrier 'all' cannot complete: rank 1 left the job");
    expectOk(world->set(fmt::format("done/{}", world->rank()), ""));
    expectOk(world->get(fmt::format("done/{}", 2 - world->rank()), kLong).status());
  });
}

TYPED_TEST(WorldTest, RankZeroLeavesLastAndNamesTheOthers) {
  TypeParam backend(4);
  runRanks(backend, 4, [&](std::unique_ptr<World> &world) {
    if (world->rank() == 0) {
      expectFailure(world->leave(milliseconds(50)), StatusCode::deadlineExceeded,
                    "ranks 1 to 3 did not leave within 0.05 s");
      expectOk(world->set("leave", ""));
    }
    expectOk(world->get("leave", kLong).status());
  });
}

TYPED_TEST(WorldTest, WaitingCostsNoProcessorTime) {
  TypeParam backend(3);
  timespec before{};
  timespec after{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
  runRanks(backend, 3, [&](std::unique_ptr<World> &world) {
    if (world->rank() == 0)
      std::this_thread::sleep_for(milliseconds(250));
    expectOk(world->barrier("late", kLong));
  });
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
  const double used = after.tv_sec - before.tv_sec + 1e-9 * (after.tv_nsec - before.tv_nsec);
  EXPECT_LT(used, 0.15) << "three ranks, of which two wait for 0.25 s";
}

TYPED_TEST(WorldTest, EqualHashesAgree) {
  for (int size : {1, 2, 5}) {
    TypeParam backend(size);
    runRanks(backend, size, [&](std::unique_ptr<World> &world) {
      const NamedHash hashes[] = {{"program", 0x1234}, {"collective sequence", UINT64_MAX}};
      for (int round = 0; round < 3; ++round)
        expectOk(exchangeHashes(*world, hashes, kLong));
    });
  }
}

TYPED_TEST(WorldTest, DifferentHashesAreNamedWithTheirRanks) {
  TypeParam backend(5);
  runRanks(backend, 5, [&](std::unique_ptr<World> &world) {
    const bool odd = world->rank() == 3;
    NamedHash hashes[] = {{"program", 0xabc}, {"collective sequence", odd ? 2u : 1u}};
    expectFailure(exchangeHashes(*world, hashes, kLong), StatusCode::invalidArgument,
                  "ranks 0 to 2 and 4 have collective sequence 0000000000000001, rank 3 has "
                  "collective sequence 0000000000000002; start all ranks with one program file");
    hashes[0].value = world->rank();
    expectFailure(exchangeHashes(*world, hashes, kLong), StatusCode::invalidArgument,
                  "rank 0 has program 0000000000000000, rank 1 has program 0000000000000001, rank");
    hashes[0].value = 7;
    hashes[1].value = 8;
    expectOk(exchangeHashes(*world, hashes, kLong));
  });
}

TYPED_TEST(WorldTest, MissingRanksAreNamed) {
  TcpWorldOptions options = testOptions();
  options.initTimeout = seconds(1); // the time in which two threads are sure to start
  TypeParam backend(5, options);
  std::vector<std::thread> threads;
  for (int rank : {0, 2})
    threads.emplace_back([&, rank] {
      expectFailure(backend.join(rank).status(), StatusCode::deadlineExceeded,
                    "ranks 1, 3 and 4 of 5 did not come to ");
    });
  for (std::thread &thread : threads)
    thread.join();
}

TYPED_TEST(WorldTest, ANumberTakenTwiceIsRefused) {
  TypeParam backend(3);
  std::atomic<int> refused = 0;
  std::atomic<int> joined = 0;
  auto live = [&](int rank) {
    StatusOr<std::unique_ptr<World>> world = backend.join(rank);
    if (!world.ok()) {
      ++refused;
      return expectFailure(world.status(), StatusCode::invalidArgument, "rank 1 is there already");
    }
    ++joined;
    expectOk((*world)->leave(kLong));
  };
  std::vector<std::thread> threads;
  for (int rank : {0, 1, 1})
    threads.emplace_back([&, rank] { live(rank); });
  // The refused one does no harm to the other: the job starts when the last rank comes.
  threads.emplace_back([&] {
    while (refused == 0)
      std::this_thread::sleep_for(milliseconds(1));
    EXPECT_EQ(joined.load(), 0);
    live(2);
  });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(refused.load(), 1);
  EXPECT_EQ(joined.load(), 3);
}

TYPED_TEST(WorldTest, ImpossibleRanksAreRefused) {
  TypeParam backend(3);
  for (int rank : {-1, 3})
    expectFailure(backend.join(rank).status(), StatusCode::invalidArgument,
                  fmt::format("rank {} does not exist in a world of 3; ranks are 0 to 2", rank));
}
