// titan-run model.tbin | JOB.toml [--section.key value ...]: trains a compiled program.
#include "runtime/train/RunCommand.h"

#include <atomic>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <string>
#include <vector>

static std::atomic<bool> stopRequested = false;
static std::atomic<int64_t> requestedAt = 0; // milliseconds; 0: not yet

/// The first signal ends training after the step under way; a later one ends the process. What
/// comes within half a second is the same request: launchers and `timeout` signal the process, and
/// once more its group.
static void requestStop(int signal) {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  const int64_t now = time.tv_sec * 1000 + time.tv_nsec / 1000000;
  int64_t first = 0;
  if (requestedAt.compare_exchange_strong(first, now)) {
    stopRequested = true;
  } else if (now - first > 500) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
}

int main(int argc, char **argv) {
  std::signal(SIGINT, requestStop);
  std::signal(SIGTERM, requestStop);
  titan::Logger logger = titan::Logger::console();
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  std::string output;
  titan::Status status = titan::runCommand(arguments, stopRequested, logger, output);
  std::fputs(output.c_str(), stdout);
  if (!status.ok())
    logger.error("{}", status.message());
  return titan::exitCodeOf(status);
}
