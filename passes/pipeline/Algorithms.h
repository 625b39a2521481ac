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

/// All forwards of a rank's first stage, then of its next, then the backwards in the opposite order
/// (Lamy-Poirier 2022, "Breadth-first pipeline parallelism"). Every microbatch is in flight.
RankActions buildLoopedBfs(const PipelineShape &shape);

/// Rounds of about as many microbatches as there are ranks. A rank takes a round through its first
/// stage, its next and so on, and so do the backwards from its last stage; after the warm-up
/// forward and backward alternate (Narayanan et al. 2021, "Efficient large-scale language model
/// training on GPU clusters using Megatron-LM"). The idle time is 1F1B's over the stages per rank.
RankActions buildInterleaved1F1B(const PipelineShape &shape);

/// The same with I and W for B. W of rank r stays r backwards behind I, so that the next rank up
/// gets its cotangents earlier, and the warm-up is shorter (Qi et al. 2023, "Zero bubble pipeline
/// parallelism", their ZB-H1, interleaved).
RankActions buildInterleavedZeroBubble(const PipelineShape &shape);

/// The microbatches of an interleaved schedule go in so many rounds, each as large.
int64_t getInterleavedRounds(const PipelineShape &shape);

/// Stages in a V. With equal costs of F, I and W no rank waits between its first F and its last I
/// if there are enough microbatches; 2R - 1 forwards or fewer of a rank's first stage are in flight
/// (Qi et al. 2023, their ZB-V).
RankActions buildZbv(const PipelineShape &shape);

/// Stages in a V; in its steady state every forward has a backward of the rank's other stage that
/// it may overlap (DeepSeek-AI 2024, "DeepSeek-V3 technical report": DualPipe; Qi et al. 2025,
/// "DualPipe could be better without the dual": the V). At least 2R microbatches.
RankActions buildDualPipeV(const PipelineShape &shape);

} // namespace titan
