// A simulated schedule as a text table, a drawing, and JSON.
#pragma once

#include "passes/pipeline/Simulator.h"

#include <string>

namespace titan {

/// One line per rank, one column per unit of time, or, if times are not whole numbers, per stretch
/// in which no action begins or ends; "=" goes on with the action at its left, "." waits. Then the
/// total time, the idle share and what is in flight.
std::string printTimetable(const PipelineSchedule &schedule, const Simulation &simulation);

/// An SVG that stands alone or in a page: a row per rank, a box per action, with its microbatch and
/// in a shade for its place among the rank's stages; below a row the rank's bytes over time, if the
/// simulation has any. `unit` is that of time, "ms", or empty.
std::string drawTimetable(const PipelineSchedule &schedule, const Simulation &simulation,
                          llvm::StringRef unit = "");

/// An object: "schedule", "stages", "microbatches", "makespan", "idle_share", "most_in_flight" and
/// "idle" (per rank), "slots" (per stage and residual class), and "ranks": the actions with their
/// begins and ends.
std::string printTimetableJson(const PipelineSchedule &schedule, const Simulation &simulation);

} // namespace titan
