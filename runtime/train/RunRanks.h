// The ranks of a job that this process hosts: all of its mesh, as threads.
#pragma once

#include "runtime/train/RankMonitor.h"
#include "runtime/train/Trainer.h"

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

/// Runs one rank in the calling thread. `plane` is null for the only one of its job.
Status runRank(const format::Program &program, const JobConfig &job, const TrainerOptions &options,
               DataPlane *plane, RankMonitor &monitor, int threads, Logger &logger, RankWork work);

} // namespace titan
