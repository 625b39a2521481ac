// What watches one rank of a job: its flight recorder and, for tests, its fault injector.
#pragma once

#include "runtime/base/JobConfig.h"
#include "runtime/collectives/InstrumentedPlane.h"

namespace titan {

/// Whether a failure is none of the user's: what the ranks did last may explain it.
bool isFault(const Status &status);

/// Outlives the plane that it watches and all communicators of that.
class RankMonitor {
public:
  /// Fails (invalid argument) on a debug.inject that is malformed or names a rank that does not
  /// exist. Allocates the memory of comm.trace_buf_size collectives.
  static StatusOr<std::unique_ptr<RankMonitor>> create(const JobConfig &job, int rank, int size,
                                                       FaultInjector::Kill kill);

  /// The plane with recorder and injector in front of it.
  std::unique_ptr<DataPlane> watch(std::unique_ptr<DataPlane> plane);
  void beginStep(int64_t step);

  // From any thread:

  /// Whether the rank waits for others, or did until that failed.
  bool isWaiting() const { return recorder.isWaiting(); }
  /// Ends a hang on purpose.
  void release() { injector.release(); }
  /// Writes the last collectives to job.dump_folder/comm.save_traces_folder, unless
  /// comm.trace_buf_size is 0.
  Status dump() const;
  static std::filesystem::path traceFolder(const JobConfig &job);

private:
  RankMonitor(const JobConfig &job, int rank, const std::optional<Fault> &fault,
              FaultInjector::Kill kill);

  FlightRecorder recorder;
  FaultInjector injector;
  std::filesystem::path file; ///< empty: none is written
};

} // namespace titan
