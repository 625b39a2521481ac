// titan-run model.tbin | JOB.toml [--section.key value ...]: trains a compiled program.
#include "runtime/train/RunCommand.h"

#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

static std::atomic<bool> stopRequested = false;

/// The first signal ends training after the step under way; a second one ends the process.
static void requestStop(int signal) {
  stopRequested = true;
  std::signal(signal, SIG_DFL);
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
