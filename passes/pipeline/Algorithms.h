// The algorithms of the table in Schedule.cpp, each for shapes that checkShape accepts.
#pragma once

#include "passes/pipeline/Schedule.h"

namespace titan {

/// A list of actions for each rank.
using RankActions = std::vector<std::vector<PipelineAction>>;

/// All forwards, then all backwards (Huang et al. 2019, "GPipe"). Every microbatch is in flight.
RankActions buildGPipe(const PipelineShape &shape);

/// As many forwards as there are stages from this one to the last, then backwards and forwards in
/// turn (Narayanan et al. 2019, "PipeDream", without its weight versions). Stage s of S has at most
/// S - s microbatches in flight; the idle time is GPipe's.
RankActions build1F1B(const PipelineShape &shape);

} // namespace titan
