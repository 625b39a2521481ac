#include "compiler/Compile.h"

#include "compiler/Diagnostics.h"
#include "compiler/Phases.h"
#include "compiler/report/Report.h"

#include "mlir/Pass/PassManager.h"
#include "mlir/Support/Timing.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/ToolOutputFile.h"

#include <chrono>

using namespace mlir;

namespace titan {
namespace {

class Compiler {
public:
  Compiler(ModuleOp module, const CompileOptions &options, const JobConfig &job, Logger &logger,
           llvm::raw_ostream &out)
      : module(module), options(options), job(job), logger(logger), out(out),
        diagnostics(module.getContext()), rootTiming(startTiming()) {}

  Status run();

private:
  TimingScope startTiming();
  Status runPhase(const Phase &phase);
  void observe(const Phase &phase);
  Status print();

  ModuleOp module;
  const CompileOptions &options;
  const JobConfig &job;
  Logger &logger;
  llvm::raw_ostream &out;
  DiagnosticCollector diagnostics;
  std::string timings;
  llvm::raw_string_ostream timingStream{timings};
  DefaultTimingManager timing;
  TimingScope rootTiming;
  Report report;
};

int64_t countOps(ModuleOp module) {
  int64_t count = 0;
  module.walk([&](Operation *) { ++count; });
  return count;
}

} // namespace

TimingScope Compiler::startTiming() {
  timing.setEnabled(options.timePasses);
  timing.setDisplayMode(DefaultTimingManager::DisplayMode::Tree);
  timing.setOutput(createOutputStrategy(DefaultTimingManager::OutputFormat::Text, timingStream));
  return timing.getRootScope();
}

Status Compiler::runPhase(const Phase &phase) {
  const auto start = std::chrono::steady_clock::now();
  PassManager passes(module.getContext(), ModuleOp::getOperationName());
#ifdef NDEBUG
  // The phase's verifier looks at the whole module once.
  passes.enableVerifier(false);
#endif
  TimingScope phaseTiming = rootTiming.nest(phase.name);
  passes.enableTiming(phaseTiming);
  phase.build(passes, job);
  if (failed(passes.run(module)))
    return diagnostics.failure().withContext("phase " + phase.name.str());
  TimingScope verifierTiming = phaseTiming.nest("verifier");
  if (failed(phase.verify(module)))
    return diagnostics.failure().withContext("after phase " + phase.name.str());
  verifierTiming.stop();
  for (const std::string &warning : diagnostics.takeWarnings())
    logger.warning("{}", warning);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  logger.info("compiled to {:<8} {:>9} ops {:>8.2f} s", phase.name.str(),
              withSeparators(countOps(module)), seconds.count());
  return okStatus();
}

void Compiler::observe(const Phase &phase) {
  if (phase.name == "graph")
    report.model = collectModelFacts(module);
  else if (phase.name == "local" && options.report)
    report.einsumFlops = sumEinsumFlops(module);
  else if (phase.name == "exec" && options.report)
    report.memory = collectMemoryFacts(module);
}

Status Compiler::print() {
  if (options.output.empty()) {
    module.print(out);
    return okStatus();
  }
  std::error_code error;
  llvm::ToolOutputFile file(options.output, error, llvm::sys::fs::OF_Text);
  if (error)
    return invalidArgument("-o " + options.output + ": " + error.message());
  module.print(file.os());
  file.os().flush();
  if (file.os().has_error())
    return internalError("-o " + options.output + ": " + file.os().error().message());
  file.keep();
  return okStatus();
}

Status Compiler::run() {
  for (const Phase &phase : allPhases()) {
    TITAN_RETURN_IF_ERROR(runPhase(phase));
    observe(phase);
    if (phase.name == options.compileTo)
      return print();
  }
  if (options.report)
    out << renderReport(report);
  return okStatus();
}

Status compile(ModuleOp module, const CompileOptions &options, const JobConfig &job, Logger &logger,
               llvm::raw_ostream &out) {
  return Compiler(module, options, job, logger, out).run();
}

} // namespace titan
