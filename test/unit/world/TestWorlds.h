// Worlds for tests: ranks as threads, over either transport.
#pragma once

#include "runtime/world/LocalWorld.h"
#include "runtime/world/TcpWorld.h"

#include <gtest/gtest.h>
#include <spdlog/fmt/fmt.h>

#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace titan::test {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

/// Long enough for a loaded machine; a test that waits for it has failed.
inline constexpr Duration kLong = seconds(20);

inline TcpWorldOptions testOptions() {
  TcpWorldOptions options;
  options.initTimeout = kLong;
  options.heartbeatInterval = milliseconds(50);
  options.heartbeatTimeout = kLong;
  return options;
}

class LocalBackend {
public:
  explicit LocalBackend(int size, const TcpWorldOptions &options = testOptions())
      : group(*LocalGroup::create(size, options)) {}

  StatusOr<std::unique_ptr<World>> join(int rank) { return group->join(rank); }

  std::shared_ptr<LocalGroup> group;
};

/// Rank r is said to run on host "node<r>".
class TcpBackend {
public:
  explicit TcpBackend(int size, TcpWorldOptions options = testOptions(),
                      const std::string &host = "127.0.0.1")
      : size(size), options(std::move(options)) {
    StatusOr<Listener> opened = Listener::open(host, 0);
    EXPECT_TRUE(opened.ok()) << opened.status().message();
    listener = std::make_unique<Listener>(*std::move(opened));
    address = {host, listener->port(), {}};
  }

  LaunchInfo launch(int rank) const {
    LaunchInfo info;
    info.rank = rank;
    info.worldSize = size;
    info.rendezvous = address;
    info.job = "test";
    return info;
  }
  StatusOr<std::unique_ptr<World>> join(int rank) {
    TcpWorldOptions own = options;
    own.host = fmt::format("node{}", rank);
    return joinTcpWorld(launch(rank), own, rank == 0 ? std::move(listener) : nullptr);
  }

  int size;
  TcpWorldOptions options;
  std::unique_ptr<Listener> listener;
  Rendezvous address;
};

/// Runs `body` for every rank in a thread of its own. Ranks whose body keeps the world say goodbye
/// afterwards, unless the job is aborted.
template <typename Backend>
void runRanks(Backend &backend, int size,
              const std::function<void(std::unique_ptr<World> &)> &body) {
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank)
    threads.emplace_back([&backend, &body, rank, size] {
      StatusOr<std::unique_ptr<World>> joined = backend.join(rank);
      ASSERT_TRUE(joined.ok()) << joined.status().message();
      std::unique_ptr<World> world = *std::move(joined);
      EXPECT_EQ(world->rank(), rank);
      EXPECT_EQ(world->size(), size);
      body(world);
      if (!world || world->isAborted())
        return;
      Status left = world->leave(kLong);
      EXPECT_TRUE(left.ok()) << left.message();
      EXPECT_TRUE(world->aborted().ok()) << world->aborted().message();
    });
  for (std::thread &thread : threads)
    thread.join();
}

inline void expectOk(const Status &status) { EXPECT_TRUE(status.ok()) << status.message(); }

inline void expectFailure(const Status &status, StatusCode code, const std::string &part) {
  EXPECT_EQ(toString(status.code()), std::string(toString(code))) << status.message();
  EXPECT_NE(status.message().find(part), std::string::npos)
      << "'" << status.message() << "' lacks '" << part << "'";
}

} // namespace titan::test
