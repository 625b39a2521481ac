#include "tools/CompileCommand.h"

#include "compiler/Compile.h"
#include "compiler/Registration.h"
#include "models/Registry.h"

namespace titan {

Status compileCommand(std::span<const std::string> arguments, Logger &logger,
                      llvm::raw_ostream &out) {
  TITAN_ASSIGN_OR_RETURN(CompileOptions options, parseCompileOptions(arguments));
  if (options.help) {
    out << compileUsage();
    return okStatus();
  }
  TITAN_ASSIGN_OR_RETURN(LoadedJob job, loadJob(options.job, options.overrides));
  for (const std::string &note : job.notes)
    logger.info("{}", note);

  mlir::DialectRegistry registry;
  registerDialects(registry);
  mlir::MLIRContext context(registry);
  TITAN_ASSIGN_OR_RETURN(const ModelDefinition *model, findModel(job.config.model.name));
  TITAN_ASSIGN_OR_RETURN(GraphOptions graph, resolveGraph(*model, job.config, options.worldSize));
  TITAN_ASSIGN_OR_RETURN(auto module, buildGraph(*model, graph, &context));
  return compile(*module, options, job.config, logger, out);
}

} // namespace titan
