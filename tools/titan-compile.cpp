// titan-compile JOB.toml: compiles a training job to a program file.
#include "compiler/Compile.h"
#include "compiler/Registration.h"
#include "models/Registry.h"

#include "llvm/Support/raw_ostream.h"

namespace {

titan::Status run(std::span<const std::string> arguments, titan::Logger &logger) {
  TITAN_ASSIGN_OR_RETURN(titan::CompileOptions options, titan::parseCompileOptions(arguments));
  if (options.help) {
    llvm::outs() << titan::compileUsage();
    return titan::okStatus();
  }
  TITAN_ASSIGN_OR_RETURN(titan::LoadedJob job, titan::loadJob(options.job, options.overrides));
  for (const std::string &note : job.notes)
    logger.info("{}", note);

  mlir::DialectRegistry registry;
  titan::registerDialects(registry);
  mlir::MLIRContext context(registry);
  TITAN_ASSIGN_OR_RETURN(const titan::ModelDefinition *model,
                         titan::findModel(job.config.model.name));
  TITAN_ASSIGN_OR_RETURN(titan::GraphOptions graph, 
                         titan::resolveGraph(*model, job.config, options.worldSize));
  TITAN_ASSIGN_OR_RETURN(auto module, titan::buildGraph(*model, graph, &context));
  return titan::compile(*module, options, job.config, logger, llvm::outs());
}

} // namespace

int main(int argc, char **argv) {
  titan::Logger logger = titan::Logger::console();
  const titan::Status status = run(std::vector<std::string>(argv + 1, argv + argc), logger);
  if (status.ok())
    return 0;
  logger.error("{}", status.message());
  return 1;
}
