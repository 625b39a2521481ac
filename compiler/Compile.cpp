#include "compiler/Compile.h"

#include "compiler/Diagnostics.h"
#include "compiler/KernelImage.h"
#include "compiler/MemoryLimit.h"
#include "compiler/Phases.h"
#include "compiler/PipelinePlan.h"
#include "compiler/emit/Emit.h"
#include "compiler/report/HtmlReport.h"
#include "compiler/report/Report.h"
#include "dialects/exec/Exec.h"
#include "runtime/base/File.h"
#include "runtime/format/ProgramFile.h"
#include "runtime/format/Verify.h"

#include "mlir/Pass/PassManager.h"
#include "mlir/Support/Timing.h"

#include <chrono>

using namespace mlir;

namespace titan {
namespace {

class Compiler {
public:
  Compiler(ModuleOp module, const CompileOptions &options, const JobConfig &job, Logger &logger,
           llvm::raw_ostream &out)
      : module(module), options(options), job(job), logger(logger), out(out),
        diagnostics(module.getContext()), target{getComputeCapability(options.target)},
        rootTiming(startTiming()) {}

  Status run();

private:
  TimingScope startTiming();
  Status runPhases();
  Status runPhase(const Phase &phase);
  void observe(const Phase &phase);
  Status chooseRecomputation();
  Status writeReport();
  void describeProgram();
  Status emit();
  Status print();

  ModuleOp module;
  const CompileOptions &options;
  const JobConfig &job;
  Logger &logger;
  llvm::raw_ostream &out;
  DiagnosticCollector diagnostics;
  PhaseTarget target;
  std::string timings;
  llvm::raw_string_ostream timingStream{timings}; ///< the manager still writes to it at its end
  DefaultTimingManager timing;
  TimingScope rootTiming;
  Report report;
};

double secondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

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
  // The phase's own verifier, its last pass, looks at the whole module once.
  passes.enableVerifier(false);
#endif
  TimingScope phaseTiming = rootTiming.nest(phase.name);
  passes.enableTiming(phaseTiming);
  addPhase(passes, phase, job, target);
  if (failed(passes.run(module)))
    return diagnostics.failure().withContext("phase " + phase.name.str());
  for (const std::string &warning : diagnostics.takeWarnings())
    logger.warning("{}", warning);
  logger.info("compiled to {:<8} {:>9} ops {:>8.2f} s", phase.name.str(),
              withSeparators(countOps(module)), secondsSince(start));
  return okStatus();
}

void Compiler::observe(const Phase &phase) {
  if (phase.name == "graph")
    report.model = collectModelFacts(module);
  if (!options.report && !options.htmlReport)
    return;
  if (phase.name == "local") {
    report.einsumFlops = sumEinsumFlops(module);
    report.pipeline = collectPipelineWork(module);
  }
  if (phase.name != "exec")
    return;
  addPipelineProgram(module, report.pipeline);
  report.memory = collectMemoryFacts(module);
  report.traffic = collectTrafficFacts(module);
  const int64_t degree = report.traffic.batchDegree;
  report.localBatches =
      std::max<int64_t>(job.globalRows(degree) / (job.training.localBatchSize * degree), 1);
  if (options.htmlReport)
    report.step = collectStepMemory(module);
}

/// Before the phase `local`, which does it.
Status Compiler::chooseRecomputation() {
  if (job.activationCheckpoint.isLimited()) {
    TITAN_ASSIGN_OR_RETURN(target.residualBytes,
                           fitMemory(module, options, job, diagnostics, logger));
  }
  if (!options.report && !options.htmlReport)
    return okStatus();
  auto facts = collectRematFacts(module, getRematerializeOptions(job, target));
  if (failed(facts))
    return diagnostics.failure();
  report.remat = std::move(*facts);
  return okStatus();
}

Status Compiler::writeReport() {
  if (options.report)
    out << renderReport(report);
  if (!options.htmlReport)
    return okStatus();
  TITAN_RETURN_IF_ERROR(
      writeFileAtomically(*options.htmlReport, renderHtmlReport(report, options.job))
          .withContext("--report=html:" + *options.htmlReport));
  logger.info("wrote {}", *options.htmlReport);
  return okStatus();
}

Status Compiler::print() {
  OpPrintingFlags flags;
  if (options.printLocations)
    flags.enableDebugInfo();
  if (options.output.empty()) {
    module.print(out, flags);
    return okStatus();
  }
  std::string text;
  llvm::raw_string_ostream stream(text);
  module.print(stream, flags);
  return writeFileAtomically(options.output, text).withContext("-o " + options.output);
}

void Compiler::describeProgram() {
  auto program = *module.getOps<exec::ProgramOp>().begin();
  Builder builder(module.getContext());
  program.setTarget(StringRef(options.target).split(':').first);
  program.setFlopsPerToken(report.model.flopsPerToken());
  program.setJob(toToml(job));
  if (!options.job.empty())
    program.setSourcesAttr(builder.getStrArrayAttr({options.job}));
}

Status Compiler::emit() {
  const auto start = std::chrono::steady_clock::now();
  TimingScope timing = rootTiming.nest("kernel image");
  describeProgram();
  if (failed(emitKernelImage(module, options.target)))
    return diagnostics.failure().withContext("machine code");
  logger.info("compiled to {:<8} {:>5} kernels {:>8.2f} s", "image",
              llvm::range_size(module.getOps<exec::KernelOp>()), secondsSince(start));
  timing.stop();
  timing = rootTiming.nest("program file");
  FailureOr<format::Program> program = exportProgram(module);
  if (failed(program))
    return diagnostics.failure().withContext("program file");
  const std::string path = options.output.empty() ? kDefaultOutput.str() : options.output;
  TITAN_RETURN_IF_ERROR(format::verifyProgram(*program).withContext("program file"));
  TITAN_RETURN_IF_ERROR(format::saveProgram(*program, path).withContext("-o " + path));
  logger.info("wrote {}", path);
  return okStatus();
}

Status Compiler::runPhases() {
  TITAN_RETURN_IF_ERROR(planPipeline(module, job));
  for (const Phase &phase : allPhases()) {
    TITAN_RETURN_IF_ERROR(runPhase(phase));
    observe(phase);
    if (phase.name == options.compileTo)
      return print();
    if (phase.name == "device")
      TITAN_RETURN_IF_ERROR(chooseRecomputation());
  }
  TITAN_RETURN_IF_ERROR(writeReport());
  return emit();
}

Status Compiler::run() {
  const Status status = runPhases();
  rootTiming.stop();
  if (options.timePasses) {
    timing.print();
    logger.info("time of each pass\n{}", timings);
  }
  return status;
}

Status compile(ModuleOp module, const CompileOptions &options, const JobConfig &job, Logger &logger,
               llvm::raw_ostream &out) {
  return Compiler(module, options, job, logger, out).run();
}

} // namespace titan
