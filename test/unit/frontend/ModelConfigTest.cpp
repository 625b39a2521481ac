#include "frontend/ModelConfig.h"

#include <gtest/gtest.h>

namespace titan {
namespace {

ModelConfig smallModel() {
  return {.dim = 48,
          .numLayers = 2,
          .numHeads = 6,
          .numKvHeads = 2,
          .ffnHiddenDim = 128,
          .vocabSize = 257};
}

TEST(ModelConfigTest, AcceptsGroupedQueries) {
  EXPECT_TRUE(checkModel(smallModel()).ok());
  EXPECT_EQ(smallModel().headDim(), 8);
}

TEST(ModelConfigTest, KeepsTheFlavorWhereNothingIsSet) {
  EXPECT_EQ(overrideModel(smallModel(), ModelSection()), smallModel());
}

TEST(ModelConfigTest, OverridesEachDimension) {
  ModelSection section;
  section.dim = 64;
  section.nLayers = 3;
  section.nHeads = 4;
  section.nKvHeads = 1;
  section.ffnHiddenDim = 160;
  section.vocabSize = 192;
  section.tiedEmbeddings = true;
  section.normEps = 1e-6;
  section.ropeTheta = 10000.0;
  const ModelConfig expected = {.dim = 64,
                                .numLayers = 3,
                                .numHeads = 4,
                                .numKvHeads = 1,
                                .ffnHiddenDim = 160,
                                .vocabSize = 192,
                                .tiedEmbeddings = true,
                                .normEpsilon = 1e-6,
                                .ropeTheta = 10000.0};
  EXPECT_EQ(overrideModel(smallModel(), section), expected);
}

/// One value of a good model changed, and the message that names it.
struct BadModel {
  void (*change)(ModelConfig &config);
  const char *message;
};

class BadModelTest : public testing::TestWithParam<BadModel> {};

TEST_P(BadModelTest, IsRefused) {
  ModelConfig config = smallModel();
  GetParam().change(config);
  const Status status = checkModel(config);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.message(), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    ModelConfigTest, BadModelTest,
    testing::Values(
        BadModel{[](ModelConfig &c) { c.numHeads = 7; },
                 "model.n_heads = 7 must divide model.dim = 48, such as 6"},
        BadModel{[](ModelConfig &c) { c.numHeads = 16, c.numKvHeads = 16; },
                 "model.dim = 48 over model.n_heads = 16 gives heads of dimension 3, which must be "
                 "even, since rotary positions turn pairs; with these heads model.dim = 64 would "
                 "do"},
        BadModel{[](ModelConfig &c) { c.numKvHeads = 4; },
                 "model.n_kv_heads = 4 must divide model.n_heads = 6, such as 3"},
        BadModel{[](ModelConfig &c) { c.numLayers = 0; },
                 "model.n_layers = 0 must be from 1 to 4096, such as 32"},
        BadModel{[](ModelConfig &c) { c.vocabSize = int64_t(1) << 40; },
                 "model.vocab_size = 1099511627776 must be from 1 to 536870912"},
        BadModel{[](ModelConfig &c) { c.ffnHiddenDim = -3; },
                 "model.ffn_hidden_dim = -3 must be from 1 to 536870912"},
        BadModel{[](ModelConfig &c) { c.normEpsilon = 0; },
                 "model.norm_eps = 0 must be a number above 0, such as 1e-5"},
        BadModel{[](ModelConfig &c) { c.ropeTheta = -1; },
                 "model.rope_theta = -1 must be a number above 0, such as 500000.0"}));

} // namespace
} // namespace titan
