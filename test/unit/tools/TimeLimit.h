// What tests of damaged input share: ends the test's process when a command hangs, and counts
// seeds.
#pragma once

#include <gtest/gtest.h>

#include <sys/time.h>
#include <unistd.h>

namespace titan::test {

/// SIGPROF ends the process after so many seconds of its own computing, SIGALRM after ten times as
/// many on the clock (a machine may be busy), unless the scope is left in time: a hang is a failed
/// test, and lit names the case. What the command was given still lies in the test's folder then.
class TimeLimit {
public:
  explicit TimeLimit(unsigned seconds) {
    setTimer(seconds);
    ::alarm(10 * seconds);
  }
  TimeLimit(const TimeLimit &) = delete;
  ~TimeLimit() {
    setTimer(0);
    ::alarm(0);
  }

private:
  static void setTimer(unsigned seconds) {
    itimerval timer{};
    timer.it_value.tv_sec = static_cast<time_t>(seconds);
    ::setitimer(ITIMER_PROF, &timer, nullptr);
  }
};

/// A seed for each slice of a test, always the same but for runs by hand: with
/// --gtest_shuffle --gtest_random_seed=N --gtest_repeat=M they are those of N to N + M - 1.
inline unsigned seedOf(int slice) {
  return static_cast<unsigned>(slice) +
         1000 * static_cast<unsigned>(testing::UnitTest::GetInstance()->random_seed());
}

} // namespace titan::test
