// titan-data: makes token files from text (runtime/data/DataCommand.h).
#include "runtime/data/DataCommand.h"

#include <cstdio>

int main(int argc, char **argv) {
  titan::Logger logger = titan::Logger::console();
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const titan::StatusOr<std::string> output = titan::runDataCommand(arguments, logger);
  if (!output.ok()) {
    logger.error("{}", output.status().message());
    return 1;
  }
  std::fputs((*output).c_str(), stdout);
  return 0;
}
