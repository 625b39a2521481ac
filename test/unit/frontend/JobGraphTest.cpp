#include "frontend/JobGraph.h"

#include <gtest/gtest.h>

using namespace mlir;

namespace titan {
namespace {

const ModelFlavor kFlavors[] = {{"small",
                                 {.dim = 8,
                                  .numLayers = 1,
                                  .numHeads = 2,
                                  .numKvHeads = 2,
                                  .ffnHiddenDim = 16,
                                  .vocabSize = 10}},
                                {"large",
                                 {.dim = 16,
                                  .numLayers = 2,
                                  .numHeads = 2,
                                  .numKvHeads = 2,
                                  .ffnHiddenDim = 32,
                                  .vocabSize = 10}}};

/// A model whose @loss adds two sums; `Broken` gives @eval a bad reshape.
template <bool Broken> void buildToy(GraphBuilder &graph, const GraphOptions &options) {
  auto inputs = graph.beginFunction(
      "loss", {{"a", graph.f32({options.model.dim})}, {"b", graph.f32({options.model.dim})}});
  Value sum = graph.add(inputs[0], inputs[1]);
  graph.endFunction(Broken ? graph.reshape(sum, {options.model.dim + 1}) : sum);
}

const ModelDefinition kToy = {"toy", kFlavors, buildToy<false>};
const ModelDefinition kBroken = {"broken", kFlavors, buildToy<true>};

JobConfig smallJob() {
  JobConfig job;
  job.model.flavor = "small";
  job.training.localBatchSize = 4;
  job.training.seqLen = 32;
  return job;
}

TEST(JobGraphTest, TakesFlavorAndBatchFromTheJob) {
  JobConfig job = smallJob();
  job.model.flavor = "large";
  job.model.vocabSize = 11;
  auto options = resolveGraph(kToy, job);
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(options->model.dim, 16);
  EXPECT_EQ(options->model.vocabSize, 11);
  EXPECT_EQ(options->training, (BatchShape{4, 32}));
  EXPECT_FALSE(options->validation);
}

TEST(JobGraphTest, ValidationHasItsOwnBatch) {
  JobConfig job = smallJob();
  job.validation.enable = true;
  job.validation.localBatchSize = 2;
  job.validation.seqLen = 16;
  auto options = resolveGraph(kToy, job);
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(options->validation, (BatchShape{2, 16}));
}

TEST(JobGraphTest, RefusesAnUnknownFlavor) {
  JobConfig job = smallJob();
  job.model.flavor = "9B";
  auto options = resolveGraph(kToy, job);
  ASSERT_FALSE(options.ok());
  EXPECT_EQ(options.status().message(),
            "model.flavor = \"9B\" is no flavor of toy; there are small, large");
}

TEST(JobGraphTest, RefusesWhatNoAddressReaches) {
  JobConfig job = smallJob();
  job.model.dim = 1 << 29;
  auto wide = resolveGraph(kToy, job);
  ASSERT_FALSE(wide.ok());
  EXPECT_EQ(wide.status().message(),
            "model.n_layers = 1, model.dim = 536870912, model.ffn_hidden_dim = 16 and "
            "model.vocab_size = 10 make 1.2e+18 parameters, which must be at most 4.5e+15; flavor "
            "405B has 4.1e+11");

  job = smallJob();
  job.model.dim = 1 << 20;
  job.training.localBatchSize = 1 << 20;
  job.training.seqLen = 1 << 10;
  auto deep = resolveGraph(kToy, job);
  ASSERT_FALSE(deep.ok());
  EXPECT_EQ(deep.status().message(),
            "training.local_batch_size = 1048576 and training.seq_len = 1024 make 1.8e+16 values "
            "in the forward pass of this model, which must be at most 4.5e+15, such as with "
            "training.local_batch_size = 1");
}

TEST(JobGraphTest, RefusesTooManyTokens) {
  JobConfig job = smallJob();
  job.training.localBatchSize = 1 << 20;
  job.training.seqLen = 1 << 11;
  auto options = resolveGraph(kToy, job);
  ASSERT_FALSE(options.ok());
  EXPECT_EQ(options.status().message(),
            "training.local_batch_size = 1048576 times training.seq_len = 2048 must be from 1 to "
            "2147483647 tokens");
}

TEST(JobGraphTest, RefusesDimensionsThatMakeNoModel) {
  JobConfig job = smallJob();
  job.model.nHeads = 3;
  EXPECT_FALSE(resolveGraph(kToy, job).ok());
}

TEST(JobGraphTest, VerifiesWhatItBuilds) {
  MLIRContext context;
  auto options = resolveGraph(kToy, smallJob());
  ASSERT_TRUE(options.ok());
  EXPECT_TRUE(buildGraph(kToy, *options, &context).ok());

  ScopedDiagnosticHandler quiet(&context, [](Diagnostic &) { return success(); });
  auto broken = buildGraph(kBroken, *options, &context);
  ASSERT_FALSE(broken.ok());
  EXPECT_EQ(broken.status().message(), "the graph of model broken is not valid IR");
}

} // namespace
} // namespace titan
