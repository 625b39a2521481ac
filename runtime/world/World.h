// The control plane of a job: rendezvous, a key-value store, barriers, heartbeats and abort.
//
// Every rank holds one World. Rank 0's side keeps the state (see Coordinator.h); two transports
// share it: TcpWorld for processes, LocalWorld for ranks that are threads of one process. Training
// data does not pass through here: messages are small and latency is that of a network round trip.
//
// All functions may be called from any thread. A call that waits ends at its timeout, or when the
// job is aborted; if rank 0 itself stops answering, it ends when the heartbeat notices, at most
// `heartbeatTimeout` later.
#pragma once

#include "runtime/base/Status.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace titan {

namespace control {
class AbortState;
struct Request;
struct Reply;
} // namespace control

/// A length of time, in whole milliseconds.
using Duration = std::chrono::milliseconds;

/// Keys have 1 to this many bytes.
inline constexpr size_t kMaxKeyBytes = 1024;
/// Values have at most this many bytes.
inline constexpr size_t kMaxValueBytes = size_t(1) << 20;

struct WorldOptions {
  /// How long a rank waits for all ranks to be there (comm.init_timeout_seconds).
  Duration initTimeout = std::chrono::seconds(300);
  /// How often a rank reports that it is alive.
  Duration heartbeatInterval = std::chrono::seconds(1);
  /// A rank silent for longer than this ends the job. At least twice the interval.
  Duration heartbeatTimeout = std::chrono::seconds(30);
};

/// Fails, with code invalidArgument, on lengths that cannot work.
Status checkWorldOptions(const WorldOptions &options);

/// Keeps an abort callback registered; destroying it removes the callback, after the callback has
/// returned if it is running. Must not be destroyed by the callback itself.
class AbortSubscription {
public:
  AbortSubscription() = default;
  AbortSubscription(std::shared_ptr<control::AbortState> state, uint64_t id);
  AbortSubscription(AbortSubscription &&other) noexcept;
  AbortSubscription &operator=(AbortSubscription &&other) noexcept;
  ~AbortSubscription();

private:
  void remove();

  std::shared_ptr<control::AbortState> state;
  uint64_t id = 0;
};

class World {
public:
  World(const World &) = delete;
  /// Without leave() before, the other ranks take this rank for dead and are aborted.
  virtual ~World();

  int rank() const { return ownRank; }
  int size() const { return ranks; }

  /// Stores `value` under `key`, replacing what was there; returns when rank 0 has it.
  Status set(std::string_view key, std::string_view value);
  /// The value under `key`, which it awaits.
  StatusOr<std::string> get(std::string_view key, Duration timeout);
  /// Adds to the counter `key` (0 before its first use) and returns the sum. A counter's value is
  /// its decimal text, so that get() and set() work on it too.
  StatusOr<int64_t> add(std::string_view key, int64_t amount);
  /// Returns when every rank has called it with this name; a name may be used again afterwards. At
  /// the timeout the error names the ranks that are not there.
  Status barrier(std::string_view name, Duration timeout);

  /// Ends the job: every rank's pending and later calls fail with `reason`, with this rank and its
  /// host named before it. The first reason stays. Returns without waiting for the others.
  void abortJob(const Status &reason);
  /// Ok, or why the job was aborted.
  Status aborted() const;
  /// Whether aborted() is a failure: cheap enough for inner loops.
  bool isAborted() const;
  /// Calls `callback` once when the job is aborted, at once if it is already. It runs on any
  /// thread, must return soon, and must not make calls that wait.
  [[nodiscard]] AbortSubscription onAbort(std::function<void(const Status &)> callback);

  /// Says goodbye; nothing may be called afterwards but aborted(). Rank 0 leaves last: its call
  /// returns when all others have left, and names those that have not at the timeout.
  Status leave(Duration timeout);

protected:
  World(int rank, int size, std::string host);

  /// Sends a request to the coordinator and waits for its reply or for an abort.
  virtual control::Reply call(control::Request request) = 0;
  /// Tells the coordinator of an abort that this rank asked for; does not wait.
  virtual void announceAbort(const Status &reason) = 0;

  const std::string &host() const { return ownHost; }
  control::AbortState &abortState() const { return *state; }

private:
  Status checkKey(std::string_view key) const;

  int ownRank;
  int ranks;
  std::string ownHost;
  std::shared_ptr<control::AbortState> state;
};

} // namespace titan
