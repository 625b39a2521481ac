// A rank that is a process of its own, started by a launcher.
#pragma once

#include "runtime/train/RunRanks.h"
#include "runtime/world/TcpWorld.h"

namespace titan {

/// Whether the job's ranks are processes of the launcher, by runtime.communicator. Fails (invalid
/// argument) where that and the launcher do not go together.
StatusOr<bool> ranksAreProcesses(const LaunchInfo &launch, const JobConfig &job, bool forGpus);

class ProcessRank {
public:
  /// Meets the other processes, within comm.init_timeout_seconds.
  static StatusOr<std::unique_ptr<ProcessRank>> join(const LaunchInfo &launch,
                                                     const JobConfig &job);

  /// What rank 0 finds, for all ranks, which wait for it as long as it takes.
  StatusOr<std::string> fromFirst(std::string_view what, FunctionRef<StatusOr<std::string>()> find);

  /// Runs this rank of the program in `file`, after all ranks have agreed that they run the same.
  /// The failure of another rank, or its silence (deadline exceeded), ends this one; then, or when
  /// this rank fails, its last collectives are in the trace folder, and the process should end.
  Status run(const std::filesystem::path &file, const format::Program &program,
             const JobConfig &job, const TrainerOptions &options, Logger &logger, RankWork work);

  /// Tells the other ranks of a failure, unless they know it. Returns the reason: this failure, or
  /// the one that it follows from; the second time, what it is given.
  Status fail(const Status &status);

private:
  ProcessRank(const LaunchInfo &launch, std::unique_ptr<World> world)
      : launch(launch), world(std::move(world)) {}

  Status agree(const std::filesystem::path &file, const format::Program &program,
               const JobConfig &job);
  StatusOr<std::unique_ptr<DataPlane>> connect() const;

  const LaunchInfo launch;
  std::unique_ptr<World> world;
  bool reported = false; ///< fail() has said the reason
};

} // namespace titan
