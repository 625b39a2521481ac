#include "runtime/train/ProgramCache.h"

#include "runtime/base/Hash.h"
#include "runtime/collectives/MeshGroups.h"
#include "runtime/format/ProgramFile.h"

#include <cerrno>
#include <cinttypes>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

namespace titan {
namespace {

namespace fs = std::filesystem;

StatusOr<fs::path> findCompiler() {
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  const fs::path compiler = self.parent_path() / "titan-compile";
  if (error || !fs::exists(compiler, error))
    return notFound("no titan-compile beside " + self.string() +
                    "; compile the job on a machine that has it, then run the program file");
  return compiler;
}

/// Why the cached program cannot be used, empty if it can.
std::string whyStale(const fs::path &program, const fs::path &compiler, const JobConfig &job,
                     int worldSize) {
  std::error_code error;
  if (!fs::exists(program, error))
    return "not compiled before";
  if (fs::last_write_time(compiler, error) > fs::last_write_time(program, error))
    return "titan-compile is newer than the program";
  auto file = format::ProgramFile::open(program);
  if (!file.ok())
    return file.status().message();
  auto compiled = parseJob(file->program().job, program.string());
  if (!compiled.ok())
    return compiled.status().message();
  const auto ranks = meshSize(file->program().mesh);
  if (!ranks.ok())
    return ranks.status().message();
  if (worldSize > 0 && *ranks != worldSize)
    return "compiled for " + std::to_string(*ranks) + " ranks before, now there are " +
           std::to_string(worldSize);
  std::string changed;
  std::vector<std::string> keys = changedCompileKeys(compiled->config, job);
  // A program can leave evaluation out when it runs, but not add it.
  if (job.validation.enable &&
      format::findByName(file->program().timelines, "evaluation") == format::kNone)
    keys.push_back("validation.enable");
  for (const std::string &key : keys)
    changed += (changed.empty() ? "changed since: " : ", ") + key;
  return changed;
}

Status runCompiler(const fs::path &compiler, std::vector<std::string> arguments) {
  std::vector<char *> pointers;
  for (std::string &argument : arguments)
    pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  pid_t child = 0;
  if (int error = posix_spawn(&child, compiler.c_str(), nullptr, nullptr, pointers.data(), environ))
    return internalError("cannot start " + compiler.string() + ": " + describeErrno(error));
  int state = 0;
  while (waitpid(child, &state, 0) < 0)
    if (errno != EINTR)
      return internalError("waiting for titan-compile: " + describeErrno(errno));
  if (WIFEXITED(state) && WEXITSTATUS(state) == 0)
    return okStatus();
  return invalidArgument("titan-compile failed; its messages are above");
}

} // namespace

StatusOr<fs::path> compileJob(const fs::path &jobFile, const JobConfig &job,
                              std::span<const std::string> overrides, int worldSize,
                              Logger &logger) {
  TITAN_ASSIGN_OR_RETURN(const fs::path compiler, findCompiler());
  std::error_code error;
  const fs::path absolute = fs::weakly_canonical(jobFile, error);
  // A launcher's ranks have a program of their own: without one the job may ask for another mesh.
  const std::string suffix = worldSize > 0 ? ".launched.tbin" : ".tbin";
  char name[32];
  std::snprintf(name, sizeof name, "%016" PRIx64, hash64(absolute.string()));
  const fs::path program = fs::path(job.job.dumpFolder) / "programs" / (name + suffix);
  const std::string reason = whyStale(program, compiler, job, worldSize);
  if (reason.empty()) {
    logger.info("using the compiled program {}", program.string());
    return program;
  }
  logger.info("compiling {} ({})", jobFile.string(), reason);
  fs::create_directories(program.parent_path(), error);
  if (error)
    return invalidArgument("job.dump_folder: cannot create " + program.parent_path().string() +
                           ": " + error.message());
  std::vector<std::string> arguments = {compiler.string(), jobFile.string(), "-o",
                                        program.string()};
  if (worldSize > 0)
    arguments.insert(arguments.end(), {"--world-size", std::to_string(worldSize)});
  for (const std::string &override : overrides)
    arguments.push_back("--" + override);
  TITAN_RETURN_IF_ERROR(runCompiler(compiler, std::move(arguments)));
  return program;
}

} // namespace titan
