// Programs compiled from jobs, kept so that a job starts at once the second time.
#pragma once

#include "runtime/base/JobConfig.h"
#include "runtime/base/Logger.h"

namespace titan {

/// The program of the job file, compiled by the titan-compile that stands beside this executable if
/// the cache (job.dump_folder/programs) has none for these compile-time keys and that compiler.
/// `worldSize`: ranks of a launcher, for which the mesh then is; 0 without one: the ranks that the
/// job's degrees of parallelism ask for.
StatusOr<std::filesystem::path> compileJob(const std::filesystem::path &jobFile,
                                           const JobConfig &job,
                                           std::span<const std::string> overrides, int worldSize,
                                           Logger &logger);

} // namespace titan
