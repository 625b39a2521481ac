// Whether a rank's world is aborted, why, and whom to tell. Thread-safe.
#pragma once

#include "runtime/base/Status.h"

#include <atomic>
#include <functional>
#include <map>
#include <mutex>

namespace titan::control {

class AbortState {
public:
  /// Sets the reason and runs the callbacks on this thread; does nothing the second time.
  void trip(const Status &reason);

  bool isTripped() const { return tripped.load(std::memory_order_acquire); }
  Status reason() const;

  /// Returns an id for remove(), or 0 after having called `callback` at once.
  uint64_t add(std::function<void(const Status &)> callback);
  void remove(uint64_t id);

private:
  mutable std::mutex reasonMutex;
  Status why;
  std::atomic<bool> tripped = false;

  /// Held while callbacks run, so that remove() waits for them. Locked before reasonMutex.
  std::mutex callbackMutex;
  std::map<uint64_t, std::function<void(const Status &)>> callbacks;
  uint64_t lastId = 0;
};

} // namespace titan::control
