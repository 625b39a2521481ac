// titan-schedule: prints a pipeline schedule and its simulation.
#include "compiler/report/ScheduleCommand.h"

#include <cstdio>
#include <vector>

int main(int argc, char **argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const titan::StatusOr<std::string> output = titan::scheduleCommand(arguments);
  if (!output.ok()) {
    std::fprintf(stderr, "titan-schedule: %s\n", output.status().message().c_str());
    return 1;
  }
  std::fputs((*output).c_str(), stdout);
  return 0;
}
