#include "runtime/train/RunCommand.h"

#include "runtime/device/cuda/CudaPlugin.h"
#include "runtime/format/Dump.h"
#include "runtime/format/ProgramFile.h"
#include "runtime/train/ProcessRanks.h"
#include "runtime/train/ProgramCache.h"
#include "runtime/train/RunRanks.h"

namespace titan {
namespace {

constexpr std::string_view kHelp =
    "usage: titan-run model.tbin | JOB.toml [OPTION ...] [--section.key value ...]\n"
    "\n"
    "Trains a program that titan-compile wrote; a job file is compiled first, into\n"
    "job.dump_folder. Run-time keys of the job may be overridden.\n"
    "\n"
    "  --eval                  print the held-out loss of the parameters instead of training\n"
    "  --dump-program          print the program instead of running it\n"
    "  --poison                fill memory that holds nothing with NaN: for tests\n"
    "  --help                  print this\n"
    "\n"
    "Exit codes: 0 done, 1 user error, 75 try again.\n";

struct RunOptions {
  std::filesystem::path path;
  std::vector<std::string> overrides;
  bool eval = false;
  bool dumpProgram = false;
  bool poison = false;
  bool help = false;
};

StatusOr<RunOptions> parseArguments(std::span<const std::string> arguments) {
  TITAN_ASSIGN_OR_RETURN(JobArguments split, splitArguments(arguments));
  RunOptions options;
  options.overrides = std::move(split.overrides);
  for (const std::string &argument : split.rest) {
    if (argument == "--eval")
      options.eval = true;
    else if (argument == "--dump-program")
      options.dumpProgram = true;
    else if (argument == "--poison")
      options.poison = true;
    else if (argument == "--help")
      options.help = true;
    else if (argument.starts_with("-"))
      return invalidArgument("unknown option '" + argument +
                             "'; titan-run --help lists the options");
    else if (!options.path.empty())
      return invalidArgument("expects one program or job file, found '" + options.path.string() +
                             "' and '" + argument + "'");
    else
      options.path = argument;
  }
  if (options.path.empty() && !options.help)
    return invalidArgument("expects a program or a job file; titan-run --help says more");
  return options;
}

/// The job that a program carries, under the user's overrides.
StatusOr<LoadedJob> loadCompiledJob(const format::Program &program,
                                    std::span<const std::string> overrides) {
  TITAN_ASSIGN_OR_RETURN(LoadedJob compiled, parseJob(program.job, "the program's job"));
  return overrideCompiledJob(compiled.config, overrides);
}

/// What a command line comes to: its job and, unless that is compiled first, its program.
struct Run {
  RunOptions options;
  LoadedJob job;
  std::filesystem::path path;
  std::optional<format::ProgramFile> file;
};

Status openProgram(Run &run) {
  auto file = format::ProgramFile::open(run.path);
  if (!file.ok())
    return file.status();
  run.file = *std::move(file);
  return okStatus();
}

/// Reads the job: from its file, or from the program that carries it, under the overrides.
Status load(Run &run) {
  run.path = run.options.path;
  if (run.path.extension() == ".toml") {
    TITAN_ASSIGN_OR_RETURN(run.job, loadJob(run.path, run.options.overrides));
  } else {
    TITAN_RETURN_IF_ERROR(openProgram(run));
    if (run.options.dumpProgram)
      return okStatus();
    TITAN_ASSIGN_OR_RETURN(run.job, loadCompiledJob(run.file->program(), run.options.overrides));
  }
  if (run.options.eval)
    run.job.config.metrics.jsonl.reset(); // it may be the file of the run that trained
  return okStatus();
}

/// Compiles the job, if the program is not there yet; on rank 0, if ranks are processes.
Status compile(Run &run, ProcessRank *process, int worldSize, Logger &logger) {
  if (run.file)
    return okStatus();
  auto find = [&]() -> StatusOr<std::string> {
    TITAN_ASSIGN_OR_RETURN(const std::filesystem::path program,
                           compileJob(run.path, run.job.config, run.options.overrides,
                                      process ? worldSize : 0, logger));
    return program.string();
  };
  TITAN_ASSIGN_OR_RETURN(run.path, process ? process->fromFirst("program", find) : find());
  return openProgram(run);
}

/// Compiles what has to be compiled and runs this process's rank, or without `process` all ranks.
Status runProgram(Run &run, ProcessRank *process, int worldSize,
                  const std::atomic<bool> &stopRequested, Logger &logger, std::string &print) {
  TITAN_RETURN_IF_ERROR(compile(run, process, worldSize, logger));
  const format::Program &program = run.file->program();
  if (run.options.dumpProgram) {
    print = format::dumpProgram(program);
    return okStatus();
  }
  if (isForGpus(program))
    setGpuEnvironment();
  for (const std::string &note : run.job.notes)
    logger.info("{}", note);
  TrainerOptions options;
  options.stopRequested = &stopRequested;
  options.executor.poison = run.options.poison;
  options.programFile = run.path;
  auto work = [&](Trainer &trainer) {
    return run.options.eval ? trainer.evaluate(0).status() : trainer.train();
  };
  if (process)
    return process->run(run.path, program, run.job.config, options, logger, work);
  return runRanks(program, run.job.config, options, logger, work);
}

} // namespace

int exitCodeOf(const Status &status) {
  switch (status.code()) {
  case StatusCode::ok:
    return kExitDone;
  case StatusCode::deadlineExceeded:
  case StatusCode::killed:
    return kExitTryAgain;
  default:
    return kExitUserError;
  }
}

Status runCommand(std::span<const std::string> arguments, const std::atomic<bool> &stopRequested,
                  Logger &logger, std::string &print) {
  Run run;
  TITAN_ASSIGN_OR_RETURN(run.options, parseArguments(arguments));
  if (run.options.help) {
    print = kHelp;
    return okStatus();
  }
  TITAN_RETURN_IF_ERROR(load(run));
  LaunchInfo launch;
  bool several = false;
  if (!run.options.dumpProgram) {
    TITAN_ASSIGN_OR_RETURN(launch, detectLaunch());
    TITAN_ASSIGN_OR_RETURN(several, ranksAreProcesses(launch, run.job.config,
                                                      run.file && isForGpus(run.file->program())));
  }
  if (!several)
    return runProgram(run, nullptr, 1, stopRequested, logger, print);
  TITAN_ASSIGN_OR_RETURN(const std::unique_ptr<ProcessRank> process,
                         ProcessRank::join(launch, run.job.config));
  // What all ranks would say is said once.
  Logger nobody = Logger::silent();
  return process->fail(runProgram(run, process.get(), launch.worldSize, stopRequested,
                                  launch.rank == 0 ? logger : nobody, print));
}

} // namespace titan
