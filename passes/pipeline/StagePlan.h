// Which modules of a model are which stage of a pipeline, and which rank owns it.
#pragma once

#include "passes/pipeline/Schedule.h"

#include <optional>

namespace titan {

/// A part of a model that is never cut: what its author named, in the order of the forward.
struct StageModule {
  std::string name;     ///< "tok_embeddings", "layers.3", "norm", "output"
  bool isLayer = false; ///< one of the repeated blocks, which are neighbours
  double cost = 0;      ///< of a forward and a backward, in any unit
};

/// What a job says; the names are those of its keys in [parallelism], without "pipeline_parallel_".
struct StageOptions {
  int64_t degree = 1;
  const ScheduleAlgorithm *schedule = nullptr; ///< its placement and its number of stages per rank
  std::optional<int64_t> layersPerStage;
  std::optional<int64_t> firstStageLessLayers; ///< unset: 1, or none with all others unset
  std::optional<int64_t> lastStageLessLayers;
  /// One list of module names per stage (`module_fqns_per_model_part`); empty if not given.
  std::vector<std::vector<std::string>> modulesPerStage;
};

struct StagePlan {
  std::vector<int64_t> stageOfModule; ///< ascending; every stage has a module
  std::vector<int64_t> rankOfStage;
  int64_t stagesPerRank = 0;
};

/// Plans the stages as torchtitan v0.2.2 does:
///
///  - by `modulesPerStage`, which takes every module once, in the model's order;
///  - by `layersPerStage`, `firstStageLessLayers` or `lastStageLessLayers`: the modules before and
///    after the layers count as so many layers, and stages differ by at most one layer, the first
///    ones having more. There are ceil(layers so counted / layersPerStage) stages, else one a rank
///    (two, if the schedule is not single-stage);
///  - or, which is Titan's own, by cost with as many stages: the costliest stage is as cheap as can
///    be, and then the sum of squares least.
///
///     // 6 layers and 2 stages, first and last counting 1 less: 8 = 4 + 4.
///     tok_embeddings layers.0 layers.1 layers.2 | layers.3 layers.4 layers.5 norm output
///
/// An error names the option, the value, the rule and legal values.
llvm::Expected<StagePlan> planStages(const StageOptions &options,
                                     llvm::ArrayRef<StageModule> modules);

} // namespace titan
