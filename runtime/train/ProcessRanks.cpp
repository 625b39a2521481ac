#include "runtime/train/ProcessRanks.h"

#include "runtime/base/File.h"
#include "runtime/base/Hash.h"
#include "runtime/collectives/mpi/MpiPlane.h"
#include "runtime/world/HashExchange.h"

#include <random>
#include <thread>

namespace titan {
namespace {

/// For what rank 0 does alone, such as compiling: if it dies meanwhile, the heartbeat tells.
constexpr Duration kAsLongAsItTakes = std::chrono::hours(24);

std::string processes(int64_t count) {
  return std::to_string(count) + (count == 1 ? " process" : " processes");
}

/// "pp 1, dp_shard 4", without axes of size 1: "one rank".
std::string describeMesh(const std::vector<format::Axis> &mesh) {
  std::string text;
  for (const format::Axis &axis : mesh)
    if (axis.size > 1)
      text += (text.empty() ? "" : " x ") + axis.name + " " + std::to_string(axis.size);
  return text.empty() ? "no axis above 1" : text;
}

Status checkSize(const LaunchInfo &launch, const format::Program &program) {
  TITAN_ASSIGN_OR_RETURN(const int size, meshSize(program.mesh));
  if (size == launch.worldSize)
    return okStatus();
  return invalidArgument(std::string(toString(launch.kind)) + " started " +
                         processes(launch.worldSize) + ", but the program's mesh has " +
                         std::to_string(size) + (size == 1 ? " rank (" : " ranks (") +
                         describeMesh(program.mesh) + "), and each process is one rank; start " +
                         processes(size) + ", or compile the job with --world-size " +
                         std::to_string(launch.worldSize));
}

/// Of the collectives in the order in which the timelines start them.
uint64_t hashCollectives(const format::Program &program) {
  Hasher hasher;
  auto addBuffers = [&](const format::Function &function, const std::vector<uint32_t> &buffers) {
    for (uint32_t index : buffers) {
      const format::View &view = function.buffers[index].view;
      hasher.update(toString(view.type));
      hasher.update(static_cast<uint64_t>(view.numElements()));
    }
  };
  auto addAction = [&](const format::Action &action) {
    const format::Function &function = program.functions[action.function];
    for (const format::Instruction &instruction : function.instructions) {
      const auto *start = std::get_if<format::Start>(&instruction);
      if (!start)
        continue;
      hasher.update(toString(start->collective));
      hasher.update(toString(start->reduction));
      hasher.update(static_cast<uint64_t>(start->peer));
      for (const std::string &axis : start->axes)
        hasher.update(axis);
      addBuffers(function, start->sources);
      addBuffers(function, start->destinations);
    }
  };
  for (const format::Timeline &timeline : program.timelines)
    for (const auto *section : {&timeline.prologue, &timeline.body, &timeline.epilogue}) {
      hasher.update(static_cast<uint64_t>(section->size()));
      for (const format::Action &action : *section)
        addAction(action);
    }
  return hasher.digest();
}

int threadsOf(const JobConfig &job, const LaunchInfo &launch) {
  if (job.runtime.threads > 0)
    return static_cast<int>(job.runtime.threads);
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / launch.localSize);
}

} // namespace

StatusOr<bool> ranksAreProcesses(const LaunchInfo &launch, const JobConfig &job, bool forGpus) {
  const std::string &communicator = job.runtime.communicator;
  const bool several = launch.worldSize > 1;
  const std::string started =
      std::string(toString(launch.kind)) + " started " + processes(launch.worldSize);
  if (!several && communicator == "mpi")
    return invalidArgument("runtime.communicator is \"mpi\", which needs the processes of a "
                           "launcher, but there is one process; start it as mpirun -n 4 titan-run "
                           "..., or set runtime.communicator = \"auto\"");
  if (several && communicator == "local")
    return invalidArgument("runtime.communicator is \"local\", which has all ranks in one process, "
                           "but " +
                           started +
                           "; start titan-run without a launcher, or set "
                           "runtime.communicator = \"auto\"");
  if (several && launch.kind == LauncherKind::torchrun && !forGpus)
    return invalidArgument(started +
                           ", which MPI does not connect, and the ranks of a program for "
                           "CPUs that are processes talk through MPI; start them as mpirun -n " +
                           std::to_string(launch.worldSize) +
                           " titan-run ..., or start one "
                           "titan-run without a launcher, which then has all ranks");
  return several;
}

StatusOr<std::unique_ptr<ProcessRank>> ProcessRank::join(const LaunchInfo &launch,
                                                         const JobConfig &job) {
  TcpWorldOptions options;
  options.initTimeout = std::chrono::seconds(job.comm.initTimeoutSeconds);
  TITAN_ASSIGN_OR_RETURN(std::unique_ptr<World> world, joinTcpWorld(launch, options));
  return std::unique_ptr<ProcessRank>(new ProcessRank(launch, std::move(world)));
}

StatusOr<std::string> ProcessRank::fromFirst(std::string_view what,
                                             FunctionRef<StatusOr<std::string>()> find) {
  const std::string key = "titan/run/" + std::string(what);
  if (launch.rank == 0) {
    TITAN_ASSIGN_OR_RETURN(const std::string found, find());
    TITAN_RETURN_IF_ERROR(world->set(key, found));
    return found;
  }
  return world->get(key, kAsLongAsItTakes);
}

Status ProcessRank::fail(const Status &status) {
  if (status.ok() || std::exchange(reported, true))
    return status;
  const Status known = world->aborted();
  if (known.ok()) {
    world->abortJob(status);
    return status;
  }
  // What ended the job says more than what that did to this rank. A rank that is silent or gone
  // did not come in time.
  return known.code() == StatusCode::unavailable
             ? Status(StatusCode::deadlineExceeded, known.message())
             : known;
}

Status ProcessRank::agree(const std::filesystem::path &file, const format::Program &program,
                          const JobConfig &job) {
  TITAN_ASSIGN_OR_RETURN(const MappedFile contents, MappedFile::open(file));
  const NamedHash hashes[] = {{"program", hash64(contents.bytes())},
                              {"collective sequence", hashCollectives(program)},
                              {"job", hash64(toToml(job))}};
  return exchangeHashes(*world, hashes, std::chrono::seconds(job.comm.initTimeoutSeconds));
}

StatusOr<std::unique_ptr<DataPlane>> ProcessRank::connect() const {
  TITAN_ASSIGN_OR_RETURN(std::unique_ptr<DataPlane> plane, openMpiPlane());
  if (plane->size() == launch.worldSize && plane->rank() == launch.rank)
    return plane;
  return invalidArgument(std::string(toString(launch.kind)) + " started this process as rank " +
                         std::to_string(launch.rank) + " of " + std::to_string(launch.worldSize) +
                         ", but for MPI it is rank " + std::to_string(plane->rank()) + " of " +
                         std::to_string(plane->size()) + "; start the ranks with mpirun -n " +
                         std::to_string(launch.worldSize) + ", or srun --mpi=pmix");
}

Status ProcessRank::run(const std::filesystem::path &file, const format::Program &program,
                        const JobConfig &job, const TrainerOptions &options, Logger &logger,
                        RankWork work) {
  TITAN_RETURN_IF_ERROR(checkSize(launch, program));
  TITAN_RETURN_IF_ERROR(agree(file, program, job));
  TITAN_ASSIGN_OR_RETURN(const std::string seed, fromFirst("seed", []() -> StatusOr<std::string> {
                           return std::to_string(std::random_device()());
                         }));
  TITAN_ASSIGN_OR_RETURN(
      const std::unique_ptr<RankMonitor> monitor,
      RankMonitor::create(job, launch.rank, launch.worldSize, FaultInjector::Kill::process));
  RankPlace place;
  place.localRank = launch.localRank;
  const int threads = threadsOf(job, launch);
  std::unique_ptr<DataPlane> plane;
  AbortSubscription subscription;
  if (isForGpus(program)) {
    place.world = world.get();
  } else {
    TITAN_ASSIGN_OR_RETURN(std::unique_ptr<DataPlane> connected, connect());
    logger.info("{}, {} thread{} each", connected->describe(), threads, threads == 1 ? "" : "s");
    plane = monitor->watch(std::move(connected));
    place.plane = plane.get();
    subscription =
        world->onAbort([&plane](const Status &reason) { plane->abort(reason.message()); });
  }
  TrainerOptions own = options;
  own.randomSeed = std::stoull(seed);
  Status status = runRank(program, job, own, place, *monitor, threads, logger, work);
  if (status.ok())
    return world->leave(std::chrono::seconds(job.comm.trainTimeoutSeconds));
  // Before the plane ends, which waits for the others unless it is aborted.
  status = fail(status);
  if (!isFault(status))
    return status;
  if (const Status dumped = monitor->dump(); !dumped.ok())
    return Status(status.code(), status.message() + "; " + dumped.message());
  return status;
}

} // namespace titan
