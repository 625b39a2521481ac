// titan-compile JOB.toml: compiles a training job to a program file.
#include "tools/CompileCommand.h"

#include <vector>

int main(int argc, char **argv) {
  titan::Logger logger = titan::Logger::console();
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const titan::Status status = titan::compileCommand(arguments, logger, llvm::outs());
  if (status.ok())
    return 0;
  logger.error("{}", status.message());
  return 1;
}
