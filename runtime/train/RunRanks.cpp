#include "runtime/train/RunRanks.h"

#include "runtime/collectives/local/LocalPlane.h"
#include "runtime/device/cpu/CpuDevice.h"

#include <mutex>
#include <thread>

namespace titan {
namespace {

/// The first failure of several ranks; what the others say after it is its echo.
class FirstFailure {
public:
  void add(int rank, int size, const Status &status) {
    const std::lock_guard lock(mutex);
    if (first.ok() && !status.ok())
      first = size > 1 ? status.withContext("rank " + std::to_string(rank)) : status;
  }
  Status take() const { return first; }

private:
  std::mutex mutex;
  Status first;
};

/// Threads for each rank when the job does not say: its share of the cores.
int threadsPerRank(const JobConfig &job, int ranks) {
  if (job.runtime.threads > 0)
    return static_cast<int>(job.runtime.threads);
  const auto cores = static_cast<int>(std::thread::hardware_concurrency());
  return ranks == 1 ? 0 : std::max(1, cores / ranks);
}

} // namespace

Status runRanks(const format::Program &program, const JobConfig &job, const TrainerOptions &options,
                Logger &logger, FunctionRef<Status(Trainer &)> work) {
  TITAN_ASSIGN_OR_RETURN(const int size, meshSize(program.mesh));
  const int threads = threadsPerRank(job, size);
  auto runRank = [&](DataPlane *plane, Logger &log) -> Status {
    cpu::CpuDevice device(threads);
    TrainerOptions own = options;
    own.executor.plane = plane;
    TITAN_ASSIGN_OR_RETURN(std::unique_ptr<Trainer> trainer,
                           Trainer::create(program, device, job, log, own));
    return work(*trainer);
  };
  if (size == 1)
    return runRank(nullptr, logger);

  logger.info("{} ranks in this process, {} thread{} each", size, threads, threads == 1 ? "" : "s");
  const std::vector<std::unique_ptr<DataPlane>> planes = local::createLocalPlanes(size);
  FirstFailure failure;
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < size; ++rank)
    ranks.emplace_back([&, rank] {
      // What all ranks would say is said once.
      Logger silent = Logger::silent();
      DataPlane &plane = *planes[static_cast<size_t>(rank)];
      const Status status = runRank(&plane, rank == 0 ? logger : silent);
      failure.add(rank, size, status);
      if (!status.ok())
        plane.abort(std::string(status.message()));
    });
  for (std::thread &rank : ranks)
    rank.join();
  return failure.take();
}

} // namespace titan
