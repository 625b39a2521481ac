// Ends the test's process when a command hangs.
#pragma once

#include <unistd.h>

namespace titan::test {

/// SIGALRM ends the process unless the scope is left in time: a hang is a failed test, and lit
/// names the case. What the command was given still lies in the test's folder then.
class TimeLimit {
public:
  explicit TimeLimit(unsigned seconds) { ::alarm(seconds); }
  TimeLimit(const TimeLimit &) = delete;
  ~TimeLimit() { ::alarm(0); }
};

} // namespace titan::test
