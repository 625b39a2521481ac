// Sleeping until a word changes: the one way in which data planes wait for other threads.
#pragma once

#include <atomic>
#include <chrono>
#include <climits>
#include <cstdint>
#include <ctime>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace titan {

/// A word that counts events, and how many sleep until the next. A sleeper announces itself before
/// it looks at the word for the last time, and the waker changes the word before it looks for
/// sleepers (both sequentially consistent), so no wake-up is lost and none is a wasted call.
class EventCount {
public:
  using Clock = std::chrono::steady_clock;

  /// Read this before checking the condition that notify() follows.
  uint32_t current() const { return word.load(); }

  /// Returns when the word differs from `seen`, at the deadline, or now and then without reason.
  void wait(uint32_t seen, Clock::time_point deadline) {
    sleepers.fetch_add(1);
    const auto left = deadline - Clock::now();
    if (word.load() == seen && left > Clock::duration::zero()) {
      const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
      const timespec relative{static_cast<time_t>(seconds.count()),
                              static_cast<long>(std::chrono::nanoseconds(left - seconds).count())};
      syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, seen, &relative, nullptr, 0);
    }
    sleepers.fetch_sub(1);
  }

  void notify() {
    word.fetch_add(1);
    if (sleepers.load() != 0)
      syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
  }

private:
  static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t));
  std::atomic<uint32_t> word{0};
  std::atomic<uint32_t> sleepers{0};
};

} // namespace titan
