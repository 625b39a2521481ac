// The stages of a model: torchtitan's arithmetic, explicit lists, and balance by cost.
#include "passes/pipeline/StagePlan.h"
#include "passes/pipeline/ChainPartition.h"

#include <gtest/gtest.h>
#include <numeric>
#include <random>

namespace titan {
namespace {

constexpr ScheduleAlgorithm kSingle{.name = "Single", .isSingleStage = true};
constexpr ScheduleAlgorithm kMulti{.name = "Multi"};
constexpr ScheduleAlgorithm kV{.name = "V", .placement = StagePlacement::v};

std::vector<StageModule> model(int64_t layers, double layerCost = 1, double headCost = 1) {
  std::vector<StageModule> modules{{"tok_embeddings", false, 0}};
  for (int64_t layer = 0; layer < layers; ++layer)
    modules.push_back({"layers." + std::to_string(layer), true, layerCost});
  modules.push_back({"norm", false, 0});
  modules.push_back({"output", false, headCost});
  return modules;
}

StageOptions options(const ScheduleAlgorithm &schedule, int64_t degree) {
  StageOptions options;
  options.schedule = &schedule;
  options.degree = degree;
  return options;
}

/// The number of layers of each stage, after checking that the stages are in order.
std::vector<int64_t> layersOf(const StageOptions &options, int64_t layers) {
  const std::vector<StageModule> modules = model(layers);
  const StagePlan plan = llvm::cantFail(planStages(options, modules));
  EXPECT_EQ(plan.stageOfModule.front(), 0);
  EXPECT_EQ(plan.stageOfModule.back() + 1, static_cast<int64_t>(plan.rankOfStage.size()));
  std::vector<int64_t> counts(plan.rankOfStage.size());
  for (size_t module = 0; module < modules.size(); ++module)
    counts[plan.stageOfModule[module]] += modules[module].isLayer;
  return counts;
}

std::string errorOf(const StageOptions &options, int64_t layers = 6) {
  auto plan = planStages(options, model(layers));
  return plan ? "" : llvm::toString(plan.takeError());
}

using Counts = std::vector<int64_t>;

// Numbers of torchtitan v0.2.2's generate_llm_fqn_per_model_part, by hand.
TEST(StagePlanTest, LayersPerStage) {
  StageOptions given = options(kSingle, 2);
  given.layersPerStage = 4;
  EXPECT_EQ(layersOf(given, 6), (Counts{3, 3}));
  given = options(kMulti, 4);
  given.layersPerStage = 1;
  EXPECT_EQ(layersOf(given, 6), (Counts{0, 1, 1, 1, 1, 1, 1, 0}));
  given = options(kMulti, 2);
  given.layersPerStage = 9; // 34 = 9 + 9 + 8 + 8
  EXPECT_EQ(layersOf(given, 32), (Counts{8, 9, 8, 7}));
}

TEST(StagePlanTest, FirstAndLastStageLessLayers) {
  StageOptions given = options(kSingle, 4);
  given.firstStageLessLayers = 0; // the last still counts 1: 33 = 9 + 8 + 8 + 8
  EXPECT_EQ(layersOf(given, 32), (Counts{9, 8, 8, 7}));
  given.lastStageLessLayers = 3; // 35 = 9 + 9 + 9 + 8
  EXPECT_EQ(layersOf(given, 32), (Counts{9, 9, 9, 5}));
  given.schedule = &kMulti; // 8 stages: 35 = 3 * 5 + 5 * 4
  EXPECT_EQ(layersOf(given, 32), (Counts{5, 5, 5, 4, 4, 4, 4, 1}));
}

TEST(StagePlanTest, EveryCombinationGivesEachLayerAStage) {
  for (int64_t layers = 1; layers <= 12; ++layers)
    for (int64_t degree = 1; degree <= 6; ++degree)
      for (int64_t first = 0; first <= 3; ++first)
        for (int64_t last = 0; last <= 3; ++last) {
          StageOptions given = options(kSingle, degree);
          given.firstStageLessLayers = first;
          given.lastStageLessLayers = last;
          const int64_t total = layers + first + last;
          if (total < degree || std::max(first, last) > total / degree) {
            EXPECT_NE(errorOf(given, layers), "");
            continue;
          }
          Counts counts = layersOf(given, layers);
          EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), int64_t{0}), layers);
          counts.front() += first;
          counts.back() += last;
          EXPECT_TRUE(std::is_sorted(counts.rbegin(), counts.rend()));
          EXPECT_LE(counts.front() - counts.back(), 1);
        }
}

TEST(StagePlanTest, PlacesStages) {
  const StagePlan looped = llvm::cantFail(planStages(options(kMulti, 2), model(6)));
  EXPECT_EQ(looped.rankOfStage, (Counts{0, 1, 0, 1}));
  EXPECT_EQ(looped.stagesPerRank, 2);
  EXPECT_EQ(llvm::cantFail(planStages(options(kV, 2), model(6))).rankOfStage, (Counts{0, 1, 1, 0}));
}

TEST(StagePlanTest, ExplicitModules) {
  StageOptions given = options(kSingle, 2);
  given.modulesPerStage = {{"tok_embeddings"}, {"layers.0", "layers.1", "norm", "output"}};
  EXPECT_EQ(llvm::cantFail(planStages(given, model(2))).stageOfModule, (Counts{0, 1, 1, 1, 1}));

  const std::string option = "parallelism.module_fqns_per_model_part: ";
  given.modulesPerStage = {{"tok_embedding"}, {"layers.0", "layers.1", "norm", "output"}};
  EXPECT_EQ(errorOf(given, 2), option + "stage 0 has 'tok_embedding', which the model has not; its "
                                        "modules are tok_embeddings, layers.0, layers.1, norm, "
                                        "output; did you mean 'tok_embeddings'?");
  given.modulesPerStage = {{"tok_embeddings", "layers.0"}, {"layers.0", "norm", "output"}};
  EXPECT_EQ(errorOf(given, 2),
            option + "'layers.0' is in stage 0 and in stage 1; each module is in one");
  given.modulesPerStage = {{"tok_embeddings", "layers.0"}, {"norm", "output"}};
  EXPECT_EQ(errorOf(given, 2), option + "'layers.1' is in no stage; each module is in one");
  given.modulesPerStage = {{"tok_embeddings", "layers.1"}, {"layers.0", "norm", "output"}};
  EXPECT_EQ(errorOf(given, 2), option + "'layers.1' is in stage 0, but 'layers.0' before it is in "
                                        "stage 1; stages follow the model's order");
  given.modulesPerStage = {{}, {"tok_embeddings", "layers.0", "layers.1", "norm", "output"}};
  EXPECT_EQ(errorOf(given, 2), option + "stage 0 has no module; each needs at least 1");
  given.modulesPerStage = {{"tok_embeddings", "layers.0"}, {"layers.1"}, {"norm", "output"}};
  EXPECT_EQ(errorOf(given, 2), option + "3 stages, not a multiple of pipeline_parallel_degree = 2");
}

TEST(StagePlanTest, WrongLayersPerStage) {
  StageOptions given = options(kSingle, 2);
  given.layersPerStage = 3;
  EXPECT_EQ(errorOf(given),
            "parallelism.pipeline_parallel_layers_per_stage: 3 cuts 6 layers + 1 for the first "
            "stage + 1 for the last = 8 into 3 stages, not a multiple of "
            "pipeline_parallel_degree = 2; legal are 4 to 7");
  given.layersPerStage = 2;
  EXPECT_EQ(errorOf(given), "parallelism.pipeline_parallel_layers_per_stage: 2 cuts 6 layers + 1 "
                            "for the first stage + 1 for the last = 8 into 4 stages, 2 per rank on "
                            "2 ranks; Single has 1; legal are 4 to 7");
  given.schedule = &kMulti;
  given.layersPerStage = 4;
  EXPECT_EQ(errorOf(given), "parallelism.pipeline_parallel_layers_per_stage: 4 cuts 6 layers + 1 "
                            "for the first stage + 1 for the last = 8 into 2 stages, 1 per rank on "
                            "2 ranks; Multi has at least 2; legal are 1, 2");
  given.schedule = &kV;
  given.layersPerStage = 1;
  EXPECT_NE(errorOf(given).find("4 per rank on 2 ranks; V has 2; legal are 2"), std::string::npos)
      << errorOf(given);
  given.layersPerStage = 0;
  EXPECT_EQ(errorOf(given),
            "parallelism.pipeline_parallel_layers_per_stage: 0; at least 1 is needed");
}

TEST(StagePlanTest, TooManyStages) {
  StageOptions given = options(kSingle, 8);
  given.firstStageLessLayers = 0;
  EXPECT_EQ(errorOf(given), "parallelism.pipeline_parallel_degree: 8 ranks have 8 stages, more "
                            "than 6 layers + 0 for the first stage + 1 for the last = 7; at most 7 "
                            "stages are legal");
  given.degree = 2;
  given.lastStageLessLayers = 7;
  EXPECT_EQ(errorOf(given),
            "parallelism.pipeline_parallel_last_stage_less_layers: 7 is more than the 6 layers "
            "that each of 2 stages has at least (6 layers + 0 for the first stage + 7 for the last "
            "= 13); legal are 0 to 6");
  given.lastStageLessLayers = -1;
  EXPECT_EQ(errorOf(given),
            "parallelism.pipeline_parallel_last_stage_less_layers: -1; at least 0 is needed");
  given.firstStageLessLayers = given.lastStageLessLayers = int64_t(1) << 62;
  EXPECT_EQ(errorOf(given), "parallelism.pipeline_parallel_first_stage_less_layers: "
                            "4611686018427387904 is too large; legal are 0 to 1000000");
  EXPECT_EQ(errorOf(options(kSingle, 10)),
            "parallelism.pipeline_parallel_degree: 10 ranks have 10 stages, more than the model's "
            "9 modules; at most 9 stages are legal");
}

TEST(StagePlanTest, BalancesByCost) {
  // The head costs as much as two layers: it is a stage alone.
  const std::vector<StageModule> modules = model(6, /*layerCost=*/1, /*headCost=*/2);
  const StagePlan plan = llvm::cantFail(planStages(options(kSingle, 4), modules));
  std::vector<double> costs(4);
  for (size_t module = 0; module < modules.size(); ++module)
    costs[plan.stageOfModule[module]] += modules[module].cost;
  EXPECT_EQ(costs, (std::vector<double>{2, 2, 2, 2}));
}

TEST(ChainPartitionTest, Example) {
  EXPECT_EQ(partitionChain({1, 4, 4, 4, 4, 7}, 3), (Counts{0, 0, 0, 1, 1, 2}));
  EXPECT_EQ(partitionChain({0, 0, 0}, 3), (Counts{0, 1, 2}));
}

/// Tries every cut of costs[begin..] into pieces; returns the least (largest sum, sum of squares).
std::pair<double, double> bruteForce(llvm::ArrayRef<double> costs, int64_t pieces) {
  if (pieces == 1) {
    const double sum = std::accumulate(costs.begin(), costs.end(), 0.0);
    return {sum, sum * sum};
  }
  std::pair best{1e30, 1e30};
  for (size_t end = 1; end + pieces - 1 <= costs.size(); ++end) {
    const double sum = std::accumulate(costs.begin(), costs.begin() + end, 0.0);
    const auto [largest, squares] = bruteForce(costs.drop_front(end), pieces - 1);
    best = std::min(best, {std::max(sum, largest), squares + sum * sum});
  }
  return best;
}

TEST(ChainPartitionTest, LargestSumIsLeast) {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    std::vector<double> costs(1 + random() % 9);
    for (double &cost : costs)
      cost = random() % 10;
    const int64_t pieces = 1 + random() % costs.size();
    const Counts pieceOf = partitionChain(costs, pieces);
    std::vector<double> sums(pieces);
    for (size_t i = 0; i < costs.size(); ++i)
      sums[pieceOf[i]] += costs[i];
    double squares = 0;
    for (double sum : sums)
      squares += sum * sum;
    const auto [largest, greedySquares] = bruteForce(costs, pieces);
    EXPECT_EQ(*std::max_element(sums.begin(), sums.end()), largest);
    EXPECT_LE(squares, greedySquares);
    EXPECT_EQ(pieceOf.back(), pieces - 1);
  }
}

} // namespace
} // namespace titan
