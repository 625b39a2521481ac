#include "runtime/train/RunRanks.h"

#include "runtime/collectives/local/LocalPlane.h"
#include "runtime/device/cpu/CpuDevice.h"
#include "runtime/device/cuda/CudaPlugin.h"

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

/// What a rank computes on.
struct RankDevice {
  CudaPlugin plugin; ///< of a GPU
  std::unique_ptr<Device> cpu;
  Device *device = nullptr;

  Status open(const format::Program &program, DataPlane *plane, int threads) {
    if (program.target != "cuda") {
      cpu = std::make_unique<cpu::CpuDevice>(threads);
      device = cpu.get();
      return okStatus();
    }
    if (plane)
      return unavailable("the program is for " + std::to_string(plane->size()) +
                         " GPUs, which Titan cannot connect yet; compile the job with "
                         "--world-size 1, or with --target=cpu");
    TITAN_ASSIGN_OR_RETURN(plugin, openCudaDevice(0, threads));
    device = plugin.device.get();
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
    std::unique_ptr<DataPlane> plane; ///< ends before the monitor
    std::atomic<bool> ended{false};
  };

  void runOne(int index, int threads, RankWork work);
  void end(int index, const Status &status);
  std::string describeAbsent(int failed) const;
  std::string dumpAll() const;

  const format::Program &program;
  const JobConfig &job;
  const TrainerOptions &options;
  Logger &logger;
  std::vector<std::unique_ptr<Rank>> ranks;

  std::mutex mutex; ///< of the rest
  Status failure;   ///< the first that says why
  Status silent;    ///< of ranks that tell nobody, and echoes of other failures
};

Status LocalRanks::prepare(int size) {
  std::vector<std::unique_ptr<DataPlane>> planes = local::createLocalPlanes(size);
  for (int i = 0; i < size; ++i) {
    Rank &rank = *ranks.emplace_back(std::make_unique<Rank>());
    TITAN_ASSIGN_OR_RETURN(rank.monitor,
                           RankMonitor::create(job, i, size, FaultInjector::Kill::thread));
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
  rank.ended = true;
  if (status.ok() || !failure.ok())
    return;
  const Status named = status.withContext("rank " + std::to_string(index));
  // One that is killed tells nobody: the others have to find out.
  if (status.code() == StatusCode::killed) {
    silent = named;
    return;
  }
  const bool timeout = status.code() == StatusCode::deadlineExceeded;
  const std::string absent = timeout ? describeAbsent(index) : "";
  failure = Status(named.code(), named.message() + absent + (isFault(status) ? dumpAll() : ""));
  rank.plane->abort(status.message());
  for (const std::unique_ptr<Rank> &other : ranks)
    other->monitor->release();
}

void LocalRanks::runOne(int index, int threads, RankWork work) {
  // What all ranks would say is said once.
  Logger nobody = Logger::silent();
  Rank &rank = *ranks[static_cast<size_t>(index)];
  end(index, runRank(program, job, options, rank.plane.get(), *rank.monitor, threads,
                     index == 0 ? logger : nobody, work));
}

Status LocalRanks::run(int threads, RankWork work) {
  std::vector<std::thread> running;
  for (int i = 0; i < static_cast<int>(ranks.size()); ++i)
    running.emplace_back([this, i, threads, work] { runOne(i, threads, work); });
  for (std::thread &thread : running)
    thread.join();
  return failure.ok() ? silent : failure;
}

} // namespace

Status runRank(const format::Program &program, const JobConfig &job, const TrainerOptions &options,
               DataPlane *plane, RankMonitor &monitor, int threads, Logger &logger, RankWork work) {
  RankDevice device;
  TITAN_RETURN_IF_ERROR(device.open(program, plane, threads));
  TrainerOptions own = options;
  own.executor.plane = plane;
  own.executor.collectiveTimeout = std::chrono::seconds(job.comm.trainTimeoutSeconds);
  own.initTimeout = std::chrono::seconds(job.comm.initTimeoutSeconds);
  own.beginStep = [&monitor](int64_t step) { monitor.beginStep(step); };
  TITAN_ASSIGN_OR_RETURN(std::unique_ptr<Trainer> trainer,
                         Trainer::create(program, *device.device, job, logger, own));
  return work(*trainer);
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
    return runRank(program, job, shared, nullptr, *monitor, threads, logger, work);
  }
  LocalRanks ranks(program, job, shared, logger);
  TITAN_RETURN_IF_ERROR(ranks.prepare(size));
  logger.info("{} ranks in this process, {} thread{} each", size, threads, threads == 1 ? "" : "s");
  return ranks.run(threads, work);
}

} // namespace titan
