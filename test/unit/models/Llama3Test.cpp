#include "models/llama3/Llama3.h"

#include "dialects/titan/Sharding.h"

#include "models/Registry.h"

#include "llvm/ADT/StringSet.h"

#include <cmath>
#include <filesystem>
#include <gtest/gtest.h>

using namespace mlir;

namespace titan {
namespace {

class Llama3Test : public testing::Test {
protected:
  OwningOpRef<ModuleOp> build(const JobConfig &job) {
    auto options = resolveGraph(kLlama3, job);
    EXPECT_TRUE(options.ok()) << options.status().message();
    auto module = buildGraph(kLlama3, *options, &context);
    EXPECT_TRUE(module.ok()) << module.status().message();
    return *std::move(module);
  }

  static JobConfig smallJob() {
    JobConfig job;
    job.model.dim = 48;
    job.model.nLayers = 2;
    job.model.nHeads = 6;
    job.model.nKvHeads = 2;
    job.model.ffnHiddenDim = 128;
    job.model.vocabSize = 257;
    job.training.localBatchSize = 4;
    job.training.seqLen = 40;
    return job;
  }

  static int64_t countParameters(ModuleOp module) {
    int64_t count = 0;
    for (auto variable : module.getOps<VariableOp>())
      if (variable.getRole() == Role::parameter)
        count += cast<RankedTensorType>(variable.getType()).getNumElements();
    return count;
  }

  static RankedTensorType typeOf(ModuleOp module, StringRef name) {
    auto variable = module.lookupSymbol<VariableOp>(name);
    return variable ? withoutSharding(cast<RankedTensorType>(variable.getType()))
                    : RankedTensorType();
  }

  template <typename Init> static Init initOf(ModuleOp module, StringRef name) {
    return cast<Init>(*module.lookupSymbol<VariableOp>(name).getInitializer());
  }

  MLIRContext context;
};

TEST_F(Llama3Test, FlavorsHaveTheKnownNumberOfParameters) {
  const std::pair<const char *, int64_t> flavors[] = {
      {"debugmodel", 6'163'712}, {"1B", 1'235'814'400},   {"3B", 3'212'749'824},
      {"8B", 8'030'261'248},     {"70B", 70'553'706'496}, {"405B", 405'853'388'800}};
  ASSERT_EQ(std::size(flavors), kLlama3.flavors.size());
  for (auto [flavor, parameters] : flavors) {
    JobConfig job;
    job.model.flavor = flavor;
    job.training.localBatchSize = 1;
    EXPECT_EQ(countParameters(*build(job)), parameters) << flavor;
  }
}

TEST_F(Llama3Test, ParametersHaveTheNamesOfCheckpoints) {
  OwningOpRef<ModuleOp> module = build(smallJob());
  const auto f32 = [&](ArrayRef<int64_t> shape) {
    return RankedTensorType::get(shape, Float32Type::get(&context));
  };
  EXPECT_EQ(typeOf(*module, "tok_embeddings.weight"), f32({257, 48}));
  EXPECT_EQ(typeOf(*module, "layers.1.attention.wq.weight"), f32({48, 48}));
  EXPECT_EQ(typeOf(*module, "layers.1.attention.wk.weight"), f32({16, 48}));
  EXPECT_EQ(typeOf(*module, "layers.1.attention.wv.weight"), f32({16, 48}));
  EXPECT_EQ(typeOf(*module, "layers.1.attention.wo.weight"), f32({48, 48}));
  EXPECT_EQ(typeOf(*module, "layers.1.feed_forward.w1.weight"), f32({128, 48}));
  EXPECT_EQ(typeOf(*module, "layers.1.feed_forward.w2.weight"), f32({48, 128}));
  EXPECT_EQ(typeOf(*module, "layers.1.feed_forward.w3.weight"), f32({128, 48}));
  EXPECT_EQ(typeOf(*module, "layers.1.attention_norm.weight"), f32({48}));
  EXPECT_EQ(typeOf(*module, "layers.1.ffn_norm.weight"), f32({48}));
  EXPECT_EQ(typeOf(*module, "norm.weight"), f32({48}));
  EXPECT_EQ(typeOf(*module, "output.weight"), f32({257, 48}));
  EXPECT_EQ(typeOf(*module, "rope.cosine"), f32({40, 4}));
  EXPECT_EQ(typeOf(*module, "rope.sine"), f32({40, 4}));
  EXPECT_FALSE(typeOf(*module, "layers.2.ffn_norm.weight"));
}

TEST_F(Llama3Test, InitializersShrinkWithDepth) {
  OwningOpRef<ModuleOp> module = build(smallJob());
  const auto stdOf = [&](StringRef name) {
    return initOf<TruncatedNormalInitAttr>(*module, name).getStd().convertToDouble();
  };
  for (int layer : {0, 1}) {
    const std::string prefix = "layers." + std::to_string(layer);
    const double deep = 0.02 / std::sqrt(2.0 * (layer + 1));
    EXPECT_DOUBLE_EQ(stdOf(prefix + ".attention.wq.weight"), 0.02);
    EXPECT_DOUBLE_EQ(stdOf(prefix + ".attention.wk.weight"), 0.02);
    EXPECT_DOUBLE_EQ(stdOf(prefix + ".attention.wv.weight"), 0.02);
    EXPECT_DOUBLE_EQ(stdOf(prefix + ".attention.wo.weight"), deep);
    EXPECT_DOUBLE_EQ(stdOf(prefix + ".feed_forward.w1.weight"), 0.02);
    EXPECT_DOUBLE_EQ(stdOf(prefix + ".feed_forward.w2.weight"), deep);
    EXPECT_DOUBLE_EQ(stdOf(prefix + ".feed_forward.w3.weight"), deep);
  }
  auto head = initOf<TruncatedNormalInitAttr>(*module, "output.weight");
  EXPECT_DOUBLE_EQ(head.getStd().convertToDouble(), 1.0 / std::sqrt(48.0));
  EXPECT_DOUBLE_EQ(head.getUpper().convertToDouble(), 3.0 / std::sqrt(48.0));
  auto linear = initOf<TruncatedNormalInitAttr>(*module, "layers.0.attention.wq.weight");
  EXPECT_EQ(linear.getLower().convertToDouble(), -2.0);
  EXPECT_EQ(linear.getUpper().convertToDouble(), 2.0);
  EXPECT_EQ(initOf<NormalInitAttr>(*module, "tok_embeddings.weight").getStd().convertToDouble(),
            1.0);
  EXPECT_EQ(initOf<ConstantInitAttr>(*module, "norm.weight").getValue().convertToDouble(), 1.0);
}

TEST_F(Llama3Test, TiedEmbeddingsAreOneMatrix) {
  JobConfig job = smallJob();
  job.model.tiedEmbeddings = true;
  OwningOpRef<ModuleOp> module = build(job);
  EXPECT_FALSE(module->lookupSymbol("output.weight"));
  auto loss = module->lookupSymbol<func::FuncOp>("loss");
  auto head = *loss.getOps<HeadLossOp>().begin();
  auto embedding = *loss.getOps<EmbeddingOp>().begin();
  EXPECT_EQ(head.getWeight(), embedding.getTable());
  EXPECT_DOUBLE_EQ(
      initOf<TruncatedNormalInitAttr>(*module, "tok_embeddings.weight").getStd().convertToDouble(),
      1.0 / std::sqrt(48.0));
}

TEST_F(Llama3Test, ValidationOfAnotherLengthHasItsOwnRopeTables) {
  JobConfig job = smallJob();
  job.validation.enable = true;
  job.validation.localBatchSize = 2;
  job.validation.seqLen = 24;
  OwningOpRef<ModuleOp> module = build(job);
  auto eval = module->lookupSymbol<func::FuncOp>("eval");
  ASSERT_TRUE(eval);
  EXPECT_EQ(cast<RankedTensorType>(eval.getArgumentTypes()[0]).getShape(),
            (ArrayRef<int64_t>{2, 24}));
  EXPECT_EQ(typeOf(*module, "rope.validation.cosine").getDimSize(0), 24);

  job.validation.seqLen = 40;
  OwningOpRef<ModuleOp> same = build(job);
  EXPECT_TRUE(same->lookupSymbol("eval"));
  EXPECT_FALSE(same->lookupSymbol("rope.validation.cosine"));
}

TEST_F(Llama3Test, OpsCarryTheirSourceNames) {
  OwningOpRef<ModuleOp> module = build(smallJob());
  llvm::StringSet<> seen;
  for (Operation &op : module->lookupSymbol<func::FuncOp>("loss").getOps())
    if (auto name = dyn_cast<NameLoc>(op.getLoc()))
      seen.insert(name.getName());
  for (const char *name : {"tok_embeddings", "layers.0.attention.wq", "layers.0.attention",
                           "layers.1.feed_forward.w2", "layers.1.ffn_norm", "norm", "output"})
    EXPECT_TRUE(seen.contains(name)) << name;
}

TEST_F(Llama3Test, EveryJobFileMakesAGraph) {
  int count = 0;
  for (const auto &entry : std::filesystem::directory_iterator(TITAN_JOBS)) {
    if (entry.path().extension() != ".toml")
      continue;
    auto job = loadJob(entry.path());
    ASSERT_TRUE(job.ok()) << job.status().message();
    auto model = findModel(job->config.model.name);
    ASSERT_TRUE(model.ok()) << model.status().message();
    EXPECT_TRUE(build(job->config)->lookupSymbol("loss")) << entry.path();
    ++count;
  }
  EXPECT_EQ(count, 8);
}

TEST(RegistryTest, KnowsItsModels) {
  auto model = findModel("llama3");
  ASSERT_TRUE(model.ok());
  EXPECT_EQ(*model, &kLlama3);
  auto unknown = findModel("llama2");
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.status().message(), "model.name = \"llama2\" is no model; there are llama3");
}

} // namespace
} // namespace titan
