// Schedules as text: the CSV files of torch.distributed.pipelining, which torchtitan's option
// pipeline_parallel_schedule_csv names.
//
// One line per rank, one cell per action, in order: the stage, F, B, I or W, the microbatch. A pair
// that may run together is one cell. An empty cell waits, which changes nothing.
//
//     0F0,0F1,2F0,,(2F1;2B0)OVERLAP_F_B,0B0,2B1,0B1
//     ,1F0,1F1,3F0,3B0,3F1,3B1,1B0,1B1
#pragma once

#include "passes/pipeline/Schedule.h"

namespace titan {

/// "2F1", or "(2F1;0B0)OVERLAP_F_B" of a pair.
std::string printAction(const PipelineAction &action);
std::string printCell(const PipelineAction &first, const PipelineAction *overlapped);

/// Without empty cells; ends in a new line.
std::string printScheduleCsv(const PipelineSchedule &schedule);

/// Reads a schedule, whose name is that of the file, and checks that it is complete (checkComplete
/// in Simulator.h). A stage belongs to the rank of its forwards. Errors begin with "NAME:LINE: ".
llvm::Expected<PipelineSchedule> parseScheduleCsv(llvm::StringRef text, llvm::StringRef name,
                                                  bool isEvaluation = false);

} // namespace titan
