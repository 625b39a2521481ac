#include "runtime/train/RunRanks.h"

#include "runtime/collectives/local/LocalPlane.h"
#include "runtime/device/cpu/CpuDevice.h"
#include "runtime/device/cuda/CudaPlugin.h"
#include "runtime/world/LocalWorld.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

namespace titan {
namespace {

/// Threads for each rank when the job does not say: its share of the cores.
int threadsPerRank(const JobConfig &job, int ranks) {
  if (job.runtime.threads > 0)
    return static_cast<int>(job.runtime.threads);
  const auto cores = static_cast<int>(std::thread::hardware_concurrency());
  return ranks == 1 ? 0 : std::max(1, cores / ranks);
}

/// What a rank computes on, and how it reaches the others.
struct RankDevice {
  CudaPlugin plugin; ///< of a GPU
  std::unique_ptr<Device> cpu;
  Device *device = nullptr;
  std::unique_ptr<DataPlane> gpuPlane; ///< ends before the device
  AbortSubscription subscription;      ///< of the plane's end; ends before it
  DataPlane *plane = nullptr;

  Status open(const format::Program &program, const JobConfig &job, const RankPlace &place,
              RankMonitor &monitor, int threads, const std::filesystem::path &programFile,
              Logger &logger) {
    if (!isForGpus(program)) {
      cpu = std::make_unique<cpu::CpuDevice>(threads);
      device = cpu.get();
      plane = place.plane;
      return okStatus();
    }
    GpuOptions options;
    options.ordinal = place.localRank;
    options.gpusOfProcess = place.ranksOfProcess;
    options.threads = threads;
    if (place.world)
      options.store = storeOf(*place.world);
    options.searchesGemms = !job.debug.deterministic; // by their times, which differ
    options.deterministic = job.debug.deterministic;
    if (!programFile.empty())
      options.gemmFolder = programFile.string() + ".gemms";
    options.note = [&logger](const std::string &text) { logger.info("{}", text); };
    TITAN_ASSIGN_OR_RETURN(plugin, openCudaDevice(options));
    device = plugin.device.get();
    if (!place.world)
      return okStatus();
    TITAN_ASSIGN_OR_RETURN(std::unique_ptr<DataPlane> connected, plugin.connect());
    logger.info("{}", connected->describe());
    gpuPlane = monitor.watch(std::move(connected));
    plane = gpuPlane.get();
    subscription =
        place.world->onAbort([it = plane](const Status &reason) { it->abort(reason.message()); });
    return okStatus();
  }
};

/// All ranks of a job as threads.
class LocalRanks {
public:
  LocalRanks(const format::Program &program, const JobConfig &job, const TrainerOptions &options,
             Logger &logger)
      : program(program), job(job), options(options), logger(logger) {}

  Status prepare(int size);
  Status run(int threads, RankWork work);

private:
  struct Rank {
    std::unique_ptr<RankMonitor> monitor;
    std::unique_ptr<DataPlane> plane; ///< of a CPU; ends before the monitor
    std::unique_ptr<World> world;     ///< of a GPU
    std::atomic<bool> ended{false};
  };

  Status runOne(int index, int threads, RankWork work);
  void end(int index, const Status &status);
  void awaitAll();
  std::string describeAbsent(int failed) const;
  std::string dumpAll() const;

  const format::Program &program;
  const JobConfig &job;
  const TrainerOptions &options;
  Logger &logger;
  std::vector<std::unique_ptr<Rank>> ranks;
  std::shared_ptr<LocalGroup> worlds; ///< of GPUs

  std::mutex mutex; ///< of the rest
  std::condition_variable changed;
  Status failure; ///< the first that says why
  Status silent;  ///< of ranks that tell nobody, and echoes of other failures
};

Status LocalRanks::prepare(int size) {
  std::vector<std::unique_ptr<DataPlane>> planes;
  if (isForGpus(program)) {
    TITAN_ASSIGN_OR_RETURN(worlds, LocalGroup::create(size, {}));
  } else {
    planes = local::createLocalPlanes(size);
  }
  for (int i = 0; i < size; ++i) {
    Rank &rank = *ranks.emplace_back(std::make_unique<Rank>());
    TITAN_ASSIGN_OR_RETURN(rank.monitor,
                           RankMonitor::create(job, i, size, FaultInjector::Kill::thread));
    if (!planes.empty())
      rank.plane = rank.monitor->watch(std::move(planes[static_cast<size_t>(i)]));
  }
  return okStatus();
}

/// The ranks that nobody keeps from going on. A timeout's own message may name a rank that only
/// waits itself.
std::string LocalRanks::describeAbsent(int failed) const {
  std::vector<int> gone, busy;
  for (int i = 0; i < static_cast<int>(ranks.size()); ++i) {
    const Rank &rank = *ranks[static_cast<size_t>(i)];
    if (i == failed || rank.monitor->isWaiting())
      continue;
    (rank.ended ? gone : busy).push_back(i);
  }
  std::string text;
  if (!gone.empty())
    text += "; " + describeRanks(gone) + (gone.size() == 1 ? " has" : " have") + " left";
  if (!busy.empty())
    text += "; " + describeRanks(busy) +
            (busy.size() == 1 ? " hangs or computes, and waits" : " hang or compute, and wait") +
            " for no collective";
  return text;
}

std::string LocalRanks::dumpAll() const {
  for (const std::unique_ptr<Rank> &rank : ranks)
    if (const Status status = rank->monitor->dump(); !status.ok())
      return "; the ranks' last collectives could not be written: " + status.message();
  return job.comm.traceBufSize == 0
             ? ""
             : "; the ranks' last collectives are in " + RankMonitor::traceFolder(job).string();
}

void LocalRanks::end(int index, const Status &status) {
  const std::lock_guard lock(mutex);
  Rank &rank = *ranks[static_cast<size_t>(index)];
  if (rank.ended)
    return;
  rank.ended = true;
  changed.notify_all();
  if (status.ok() || !failure.ok())
    return;
  const Status named = status.withContext("rank " + std::to_string(index));
  // One that is killed tells nobody: the others have to find out.
  if (status.code() == StatusCode::killed) {
    silent = named;
    return;
  }
  // GPUs know themselves who did not come: the hosts wait for nobody.
  const bool asksHosts = rank.plane && status.code() == StatusCode::deadlineExceeded;
  const std::string absent = asksHosts ? describeAbsent(index) : "";
  failure = Status(named.code(), named.message() + absent + (isFault(status) ? dumpAll() : ""));
  if (rank.plane)
    rank.plane->abort(status.message());
  if (rank.world)
    rank.world->abortJob(status);
  for (const std::unique_ptr<Rank> &other : ranks)
    other->monitor->release();
}

void LocalRanks::awaitAll() {
  std::unique_lock lock(mutex);
  changed.wait(lock, [this] {
    return std::all_of(ranks.begin(), ranks.end(),
                       [](const auto &rank) { return bool(rank->ended); });
  });
}

Status LocalRanks::runOne(int index, int threads, RankWork work) {
  // What all ranks would say is said once.
  Logger nobody = Logger::silent();
  Rank &rank = *ranks[static_cast<size_t>(index)];
  RankPlace place;
  place.localRank = index;
  place.ranksOfProcess = static_cast<int>(ranks.size());
  place.plane = rank.plane.get();
  place.beforeFreeing = [this, index](const Status &status) {
    end(index, status);
    awaitAll();
  };
  if (worlds) {
    TITAN_ASSIGN_OR_RETURN(rank.world, worlds->join(index));
    place.world = rank.world.get();
  }
  TITAN_RETURN_IF_ERROR(runRank(program, job, options, place, *rank.monitor, threads,
                                index == 0 ? logger : nobody, work));
  return rank.world ? rank.world->leave(std::chrono::seconds(job.comm.trainTimeoutSeconds))
                    : okStatus();
}

Status LocalRanks::run(int threads, RankWork work) {
  std::vector<std::thread> running;
  for (int i = 0; i < static_cast<int>(ranks.size()); ++i)
    running.emplace_back([this, i, threads, work] { end(i, runOne(i, threads, work)); });
  for (std::thread &thread : running)
    thread.join();
  return failure.ok() ? silent : failure;
}

} // namespace

Status runRank(const format::Program &program, const JobConfig &job, const TrainerOptions &options,
               const RankPlace &place, RankMonitor &monitor, int threads, Logger &logger,
               RankWork work) {
  RankDevice device;
  TITAN_RETURN_IF_ERROR(
      device.open(program, job, place, monitor, threads, options.programFile, logger));
  TrainerOptions own = options;
  own.executor.plane = device.plane;
  own.executor.collectiveTimeout = std::chrono::seconds(job.comm.trainTimeoutSeconds);
  own.initTimeout = std::chrono::seconds(job.comm.initTimeoutSeconds);
  own.beginStep = [&monitor](int64_t step) { monitor.beginStep(step); };
  TITAN_ASSIGN_OR_RETURN(std::unique_ptr<Trainer> trainer,
                         Trainer::create(program, *device.device, job, logger, own));
  const Status status = work(*trainer);
  if (status.ok())
    return status;
  if (device.gpuPlane)
    device.gpuPlane->abort(status.message()); // whose end waits for the others otherwise
  if (place.beforeFreeing)
    place.beforeFreeing(status);
  return status;
}

Status runRanks(const format::Program &program, const JobConfig &job, const TrainerOptions &options,
                Logger &logger, RankWork work) {
  TITAN_ASSIGN_OR_RETURN(const int size, meshSize(program.mesh));
  const int threads = threadsPerRank(job, size);
  TrainerOptions shared = options;
  shared.randomSeed = std::random_device()();
  if (size == 1) {
    TITAN_ASSIGN_OR_RETURN(const std::unique_ptr<RankMonitor> monitor,
                           RankMonitor::create(job, 0, 1, FaultInjector::Kill::thread));
    return runRank(program, job, shared, {}, *monitor, threads, logger, work);
  }
  LocalRanks ranks(program, job, shared, logger);
  TITAN_RETURN_IF_ERROR(ranks.prepare(size));
  logger.info("{} ranks in this process, {} thread{} each", size, threads, threads == 1 ? "" : "s");
  return ranks.run(threads, work);
}

} // namespace titan
