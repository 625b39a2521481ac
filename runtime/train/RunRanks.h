// The ranks of a job that this process hosts.
#pragma once

#include "runtime/train/Trainer.h"

namespace titan {

/// Runs `work` with the trainer of every rank of the program's mesh, each on a thread of its own
/// with its share of the cores (or runtime.threads). A rank that fails ends the others. Returns the
/// first failure that says why, with the rank if there are several.
Status runRanks(const format::Program &program, const JobConfig &job, const TrainerOptions &options,
                Logger &logger, FunctionRef<Status(Trainer &trainer)> work);

} // namespace titan
