#include "runtime/train/RunCommand.h"

#include "runtime/format/Dump.h"
#include "runtime/format/ProgramFile.h"
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

/// Runs a program with the job that it carries or, if `source` is given, the job that it was
/// compiled from, whose run-time keys may have changed since.
Status runProgram(const std::filesystem::path &path, const std::optional<LoadedJob> &source,
                  const RunOptions &options, const std::atomic<bool> &stopRequested, Logger &logger,
                  std::string &print) {
  auto file = format::ProgramFile::open(path);
  if (!file.ok())
    return file.status();
  if (options.dumpProgram) {
    print = format::dumpProgram(file->program());
    return okStatus();
  }
  LoadedJob job;
  if (source) {
    job = *source;
  } else {
    TITAN_ASSIGN_OR_RETURN(job, loadCompiledJob(file->program(), options.overrides));
  }
  if (options.eval)
    job.config.metrics.jsonl.reset(); // it may be the file of the run that trained
  for (const std::string &note : job.notes)
    logger.info("{}", note);
  TrainerOptions trainerOptions;
  trainerOptions.stopRequested = &stopRequested;
  trainerOptions.executor.poison = options.poison;
  return runRanks(file->program(), job.config, trainerOptions, logger, [&](Trainer &trainer) {
    return options.eval ? trainer.evaluate(0).status() : trainer.train();
  });
}

} // namespace

Status runCommand(std::span<const std::string> arguments, const std::atomic<bool> &stopRequested,
                  Logger &logger, std::string &print) {
  TITAN_ASSIGN_OR_RETURN(RunOptions options, parseArguments(arguments));
  if (options.help) {
    print = kHelp;
    return okStatus();
  }
  std::filesystem::path program = options.path;
  std::optional<LoadedJob> source;
  if (program.extension() == ".toml") {
    TITAN_ASSIGN_OR_RETURN(source, loadJob(program, options.overrides));
    TITAN_ASSIGN_OR_RETURN(program, compileJob(program, source->config, options.overrides, logger));
  }
  return runProgram(program, source, options, stopRequested, logger, print);
}

} // namespace titan
