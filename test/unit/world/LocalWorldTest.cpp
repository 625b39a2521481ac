#include "TestWorlds.h"

using namespace titan;
using namespace titan::test;

TEST(LocalWorld, ARankMarkedDeadEndsTheOthersAtOnce) {
  LocalBackend backend(3);
  runRanks(backend, 3, [&](std::unique_ptr<World> &world) {
    expectOk(world->barrier("start", kLong));
    if (world->rank() == 1)
      backend.group->markDead(1, "its thread left");
    expectFailure(world->get("never", kLong).status(), StatusCode::unavailable,
                  "is gone: its thread left; last heard of ");
    EXPECT_NE(world->aborted().message().find("rank 1 on host "), std::string::npos);
  });
}

TEST(LocalWorld, ARankMarkedHungIsNamedAtItsTimeout) {
  TcpWorldOptions options = testOptions();
  options.heartbeatTimeout = milliseconds(200);
  LocalBackend backend(3, options);
  runRanks(backend, 3, [&](std::unique_ptr<World> &world) {
    expectOk(world->barrier("start", kLong));
    if (world->rank() == 2)
      backend.group->markHung(2);
    expectFailure(world->get("never", kLong).status(), StatusCode::unavailable,
                  "is silent: last heard of ");
    EXPECT_NE(world->aborted().message().find("rank 2 on host "), std::string::npos);
    EXPECT_NE(world->aborted().message().find("the limit is 0.2 s"), std::string::npos);
  });
}

TEST(LocalWorld, RanksThatWorkLongerThanTheTimeoutAreAlive) {
  TcpWorldOptions options = testOptions();
  options.heartbeatTimeout = milliseconds(100);
  LocalBackend backend(2, options);
  runRanks(backend, 2, [&](std::unique_ptr<World> &world) {
    std::this_thread::sleep_for(milliseconds(300));
    expectOk(world->barrier("end", kLong));
  });
}

TEST(LocalWorld, RefusesImpossibleOptions) {
  TcpWorldOptions options = testOptions();
  expectFailure(LocalGroup::create(0, options).status(), StatusCode::invalidArgument,
                "a world of 0 ranks in one process; 1 to 4096 are possible");
  options.heartbeatTimeout = options.heartbeatInterval;
  expectFailure(LocalGroup::create(1, options).status(), StatusCode::invalidArgument,
                "the heartbeat timeout is 50 ms; it must be 100 ms to a year");
  options.heartbeatInterval = Duration(0);
  expectFailure(LocalGroup::create(1, options).status(), StatusCode::invalidArgument,
                "the heartbeat interval is 0 ms");
}
