// World for ranks that are threads of one process: the coordinator in shared memory.
//
// A rank's heartbeat is that of the process, so a thread that hangs is not noticed by itself: what
// waits for it runs into its timeout. Whoever knows better (a debugging option, a monitor) marks
// the rank as dead or hung, and the others learn of it as they would of a process.
#pragma once

#include "runtime/world/World.h"

#include <memory>
#include <string>

namespace titan {

namespace control {
class LocalHub;
}

/// The ranks of one process. Thread-safe.
class LocalGroup : public std::enable_shared_from_this<LocalGroup> {
public:
  /// Fails if `size` is not 1 to 4096 or the options cannot work.
  static StatusOr<std::shared_ptr<LocalGroup>> create(int size, const WorldOptions &options);
  LocalGroup(const LocalGroup &) = delete;
  ~LocalGroup();

  /// To be called by each rank's thread: returns when all ranks are there. The world keeps the
  /// group alive.
  StatusOr<std::unique_ptr<World>> join(int rank);

  /// The rank is gone, as a process that was killed: all ranks are aborted now. `how` completes
  /// "rank 1 on host h is gone: ". Nothing happens if it is not there.
  void markDead(int rank, const std::string &how);
  /// The rank gives no sign of life from now on: all ranks are aborted at the heartbeat's timeout.
  void markHung(int rank);

private:
  explicit LocalGroup(std::unique_ptr<control::LocalHub> hub);

  std::unique_ptr<control::LocalHub> hub;
};

} // namespace titan
