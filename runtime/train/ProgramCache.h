// Programs compiled from jobs, kept so that a job starts at once the second time.
#pragma once

#include "runtime/base/JobConfig.h"
#include "runtime/base/Logger.h"

namespace titan {

/// The program of the job file, compiled by the titan-compile that stands beside this executable if
/// the cache (job.dump_folder/programs) has none for these compile-time keys and that compiler.
StatusOr<std::filesystem::path> compileJob(const std::filesystem::path &jobFile,
                                           const JobConfig &job,
                                           std::span<const std::string> overrides, Logger &logger);

} // namespace titan
