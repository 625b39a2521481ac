#include "runtime/train/RankMonitor.h"

namespace titan {

bool isFault(const Status &status) {
  return status.code() == StatusCode::deadlineExceeded ||
         status.code() == StatusCode::unavailable || status.code() == StatusCode::internal;
}

RankMonitor::RankMonitor(const JobConfig &job, int rank, const std::optional<Fault> &fault,
                         FaultInjector::Kill kill)
    : recorder(rank, static_cast<int>(job.comm.traceBufSize)), injector(rank, fault, kill) {
  if (job.comm.traceBufSize > 0)
    file = traceFolder(job) / (job.comm.saveTracesFilePrefix + std::to_string(rank));
}

StatusOr<std::unique_ptr<RankMonitor>> RankMonitor::create(const JobConfig &job, int rank, int size,
                                                           FaultInjector::Kill kill) {
  std::optional<Fault> fault;
  if (job.debug.inject) {
    TITAN_ASSIGN_OR_RETURN(fault, parseFault(*job.debug.inject));
    if (size == 1)
      return invalidArgument("debug.inject: the program has one rank and no collectives; compile "
                             "the job with --world-size 2 or more");
    if (fault->rank >= size)
      return invalidArgument("debug.inject: there is no rank " + std::to_string(fault->rank) +
                             "; the program's ranks are 0 to " + std::to_string(size - 1));
  }
  return std::unique_ptr<RankMonitor>(new RankMonitor(job, rank, fault, kill));
}

std::unique_ptr<DataPlane> RankMonitor::watch(std::unique_ptr<DataPlane> plane) {
  return instrument(std::move(plane), recorder, injector);
}

void RankMonitor::beginStep(int64_t step) {
  recorder.setStep(step);
  injector.setStep(step);
}

std::filesystem::path RankMonitor::traceFolder(const JobConfig &job) {
  return std::filesystem::path(job.job.dumpFolder) / job.comm.saveTracesFolder;
}

Status RankMonitor::dump() const {
  return file.empty() ? okStatus() : recorder.dump(file).withContext("comm.save_traces_folder");
}

} // namespace titan
