// The ranks of a job that this process hosts: all of its mesh, as threads.
#pragma once

#include "runtime/train/RankMonitor.h"
#include "runtime/train/Trainer.h"
#include "runtime/world/World.h"

#include <functional>

namespace titan {

/// What is done with the trainer of each rank.
using RankWork = FunctionRef<Status(Trainer &trainer)>;

/// Runs `work` with the trainer of every rank of the program's mesh, each on a thread of its own
/// with its share of the cores (or runtime.threads). A rank that fails, or that others wait for
/// longer than comm.train_timeout_seconds, ends the others. Returns the first failure that says
/// why, with the rank if there are several; the ranks' last collectives are then in the trace
/// folder. Deadline exceeded: a rank did not come.
Status runRanks(const format::Program &program, const JobConfig &job, const TrainerOptions &options,
                Logger &logger, RankWork work);

/// Where a rank stands among those of its job, and how it reaches them.
struct RankPlace {
  int localRank = 0; ///< among those of this host
  int ranksOfProcess = 1;
  /// Of a program for CPUs; null for the only rank of its job.
  DataPlane *plane = nullptr;
  /// Of a program for GPUs, which makes its own data plane; null for the only rank.
  World *world = nullptr;
  /// Called with why the rank ends early, while its memory is still there: a peer of the same
  /// process may be reading it. May be empty.
  std::function<void(const Status &)> beforeFreeing;
};

/// Runs one rank in the calling thread.
Status runRank(const format::Program &program, const JobConfig &job, const TrainerOptions &options,
               const RankPlace &place, RankMonitor &monitor, int threads, Logger &logger,
               RankWork work);

/// Whether the program's ranks have a GPU each.
inline bool isForGpus(const format::Program &program) { return program.target == "cuda"; }

} // namespace titan
