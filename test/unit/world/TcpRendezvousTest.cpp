// How processes find each other, and what they say when they do not.
#include "TestWorlds.h"

#include "runtime/base/File.h"
#include "test/unit/TestFolder.h"

using namespace titan;
using namespace titan::test;

namespace {

/// All ranks meet through a file.
class FileBackend {
public:
  FileBackend(int size, std::string file) : size(size), file(std::move(file)) {}

  StatusOr<std::unique_ptr<World>> join(int rank) {
    LaunchInfo info;
    info.rank = rank;
    info.worldSize = size;
    info.rendezvous.file = file;
    info.job = "file";
    // Others may look for the file before it is there.
    if (rank == 0)
      std::this_thread::sleep_for(milliseconds(30));
    return joinTcpWorld(info, options);
  }

  int size;
  std::string file;
  TcpWorldOptions options = testOptions();
};

LaunchInfo launchAt(int rank, int size, const std::string &host, uint16_t port) {
  LaunchInfo info;
  info.rank = rank;
  info.worldSize = size;
  info.rendezvous = {host, port, {}};
  return info;
}

uint16_t freePort() { return Listener::open("127.0.0.1", 0)->port(); }

} // namespace

TEST(TcpRendezvous, ThroughAFile) {
  TestFolder folder;
  const std::string file = folder / "titan" / "rendezvous";
  FileBackend backend(3, file);
  for (int job = 0; job < 2; ++job) {
    runRanks(backend, 3, [&](std::unique_ptr<World> &world) {
      expectOk(world->barrier("all", kLong));
      EXPECT_FALSE(std::filesystem::exists(file)) << "it has served";
    });
  }
}

TEST(TcpRendezvous, AFileThatAKilledJobLeftIsReplaced) {
  TestFolder folder;
  std::filesystem::permissions(folder.path, std::filesystem::perms::owner_all);
  FileBackend backend(3, folder / "rendezvous");
  for (const std::string &stale : {fmt::format("{}\n", freePort()), std::string("12"),
                                   std::string("99999\n"), std::string()}) {
    folder.write("rendezvous", stale);
    runRanks(backend, 3,
             [&](std::unique_ptr<World> &world) { expectOk(world->barrier("all", kLong)); });
  }
}

TEST(TcpRendezvous, AFolderThatOthersCanEnterIsRefused) {
  TestFolder folder;
  std::filesystem::permissions(folder.path, std::filesystem::perms::all);
  FileBackend backend(2, folder / "rendezvous");
  expectFailure(backend.join(0).status(), StatusCode::unavailable,
                "must be a folder that only user ");
}

TEST(TcpRendezvous, WithoutAServerTheErrorNamesPlaceRankAndCause) {
  TcpWorldOptions options = testOptions();
  options.initTimeout = milliseconds(100);
  options.host = "node2";
  LaunchInfo info = launchAt(2, 4, "127.0.0.1", freePort());
  const auto start = Clock::now();
  expectFailure(joinTcpWorld(info, options).status(), StatusCode::deadlineExceeded,
                fmt::format("rank 2 of 4 on host node2 did not find rank 0 at 127.0.0.1:{} within "
                            "0.1 s: cannot connect: connection refused",
                            info.rendezvous.port));
  EXPECT_GE(Clock::now() - start, milliseconds(100));
  TestFolder folder;
  info.rendezvous = {{}, 0, folder / "nothing"};
  expectFailure(joinTcpWorld(info, options).status(), StatusCode::deadlineExceeded,
                "nothing does not exist yet");
}

TEST(TcpRendezvous, AServerThatComesLateIsFound) {
  const uint16_t port = freePort();
  LaunchInfo info = launchAt(1, 2, "localhost", port);
  std::thread other([&] {
    StatusOr<std::unique_ptr<World>> world = joinTcpWorld(info, testOptions());
    ASSERT_TRUE(world.ok()) << world.status().message();
    expectOk((*world)->leave(kLong));
  });
  std::this_thread::sleep_for(milliseconds(60));
  LaunchInfo first = info;
  first.rank = 0;
  StatusOr<std::unique_ptr<World>> world = joinTcpWorld(first, testOptions());
  EXPECT_TRUE(world.ok()) << world.status().message();
  if (world.ok())
    expectOk((*world)->leave(kLong));
  other.join();
}

TEST(TcpRendezvous, ATakenPortIsNamed) {
  StatusOr<Listener> taken = Listener::open("127.0.0.1", 0);
  ASSERT_TRUE(taken.ok());
  LaunchInfo info = launchAt(0, 2, "127.0.0.1", taken->port());
  expectFailure(joinTcpWorld(info, testOptions()).status(), StatusCode::unavailable,
                fmt::format("cannot listen at 127.0.0.1:{}: address already in use; set "
                            "TITAN_RENDEZVOUS to an address",
                            taken->port()));
}

TEST(TcpRendezvous, AnUnknownHostIsNamed) {
  TcpWorldOptions options = testOptions();
  options.initTimeout = milliseconds(20);
  LaunchInfo info = launchAt(1, 2, "no such host", 1);
  expectFailure(joinTcpWorld(info, options).status(), StatusCode::deadlineExceeded,
                "cannot resolve host 'no such host': ");
}

TEST(TcpRendezvous, Ipv6) {
  if (!Listener::open("::1", 0).ok())
    GTEST_SKIP() << "this machine has no IPv6 loopback";
  TcpBackend backend(3, testOptions(), "::1");
  EXPECT_EQ(backend.address.describe().find("[::1]:"), 0u);
  runRanks(backend, 3,
           [](std::unique_ptr<World> &world) { expectOk(world->barrier("all", kLong)); });
}

TEST(TcpRendezvous, EveryInterfaceListensForANameThatIsNotLoopback) {
  StatusOr<Listener> listener = Listener::open("some-host", 0);
  ASSERT_TRUE(listener.ok()) << listener.status().message();
  LaunchInfo info = launchAt(1, 2, "127.0.0.1", listener->port());
  std::thread other([&] {
    StatusOr<std::unique_ptr<World>> world = joinTcpWorld(info, testOptions());
    ASSERT_TRUE(world.ok()) << world.status().message();
    expectOk((*world)->leave(kLong));
  });
  LaunchInfo first = info;
  first.rank = 0;
  StatusOr<std::unique_ptr<World>> world =
      joinTcpWorld(first, testOptions(), std::make_unique<Listener>(*std::move(listener)));
  EXPECT_TRUE(world.ok()) << world.status().message();
  if (world.ok())
    expectOk((*world)->leave(kLong));
  other.join();
}

TEST(TcpRendezvous, AProcessAloneNeedsNoNetwork) {
  LaunchInfo alone;
  StatusOr<std::unique_ptr<World>> world = joinTcpWorld(alone, testOptions());
  ASSERT_TRUE(world.ok()) << world.status().message();
  expectOk((*world)->barrier("all", kLong));
  expectOk((*world)->leave(kLong));
}

TEST(TcpRendezvous, AnotherSizeOrJobIsRefused) {
  TcpBackend backend(2);
  std::thread first([&] {
    StatusOr<std::unique_ptr<World>> world = backend.join(0);
    ASSERT_TRUE(world.ok()) << world.status().message();
    expectOk((*world)->leave(kLong));
  });
  LaunchInfo other = backend.launch(1);
  other.worldSize = 4;
  TcpWorldOptions options = testOptions();
  options.host = "node1";
  // At once, and not when the time is up: waiting would not help.
  expectFailure(joinTcpWorld(other, options).status(), StatusCode::invalidArgument,
                "rank 0 refuses this rank: it was started as one of 4 ranks, rank 0 as one of 2");
  other = backend.launch(1);
  other.job = "another";
  options.initTimeout = seconds(1); // within which rank 0 is sure to answer
  expectFailure(joinTcpWorld(other, options).status(), StatusCode::deadlineExceeded,
                "it belongs to job 'another', rank 0 here to 'test'");
  StatusOr<std::unique_ptr<World>> world = backend.join(1);
  EXPECT_TRUE(world.ok()) << world.status().message();
  if (world.ok())
    expectOk((*world)->leave(kLong));
  first.join();
}
