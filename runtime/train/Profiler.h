// Which steps of a rank are recorded, and the files that say when their timeline entries ran.
#pragma once

#include "runtime/base/JobConfig.h"
#include "runtime/exec/Executor.h"

#include <filesystem>

namespace titan {

/// As torchtitan's [profiling]: of each `profile_freq` steps the last `profiler_active` are
/// recorded, then written to DUMP_FOLDER/save_traces_folder/iteration_STEP/rankR_trace.json, where
/// STEP is the last of them. The file is one object of the Trace Event Format, which Perfetto and
/// chrome://tracing read: an event for each step and for each entry of the timeline that it ran,
/// with times in microseconds of the host's steady clock, which ranks of one host share.
class Profiler {
public:
  /// `entriesPerStep` is how many timeline entries a step runs.
  Profiler(const JobConfig &job, int rank, size_t entriesPerStep);

  /// Where the step is to be recorded, or null.
  std::vector<TracedEntry> *beginStep(int64_t step);
  /// Writes what has been recorded, if the step is the last to be.
  Status endStep(int64_t step, const format::Program &program);

private:
  struct Step {
    int64_t number = 0;
    int64_t begin = 0, end = 0; ///< nanoseconds
    size_t firstEntry = 0;
  };

  bool isActive(int64_t step) const {
    return section.enableProfiling &&
           (step - 1) % section.profileFreq >= section.profileFreq - section.profilerActive;
  }
  Status write(int64_t step, const format::Program &program) const;

  ProfilingSection section;
  std::filesystem::path folder;
  int rank;
  std::vector<Step> steps;
  std::vector<TracedEntry> entries;
};

} // namespace titan
