#include "test/unit/dialects/OpSamples.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

using namespace mlir;

namespace titan {
namespace {

class ShardingRuleTest : public testing::Test {
protected:
  void SetUp() override { ASSERT_TRUE(samples.getModule()); }

  ShardingRule getRule(StringRef function) {
    auto found = samples.getModule().lookupSymbol<func::FuncOp>(function);
    return cast<ShardingRuleOpInterface>(OpSamples::getOp(found)).getShardingRule();
  }

  /// Sizes of the factors of each dimension.
  static std::vector<std::vector<int64_t>> getSizes(const ShardingRule &rule,
                                                    const TensorFactors &tensor) {
    std::vector<std::vector<int64_t>> sizes;
    for (const DimensionFactors &dimension : tensor) {
      sizes.emplace_back();
      for (unsigned factor : dimension)
        sizes.back().push_back(rule.factors[factor].size);
    }
    return sizes;
  }

  /// Kinds of the factors that make up the dimensions in order.
  static std::vector<FactorKind> getKinds(const ShardingRule &rule, const TensorFactors &tensor) {
    std::vector<FactorKind> kinds;
    for (const DimensionFactors &dimension : tensor)
      for (unsigned factor : dimension)
        kinds.push_back(rule.factors[factor].kind);
    return kinds;
  }

  OpSamples samples;
};

using Sizes = std::vector<std::vector<int64_t>>;
using Kinds = std::vector<FactorKind>;

TEST_F(ShardingRuleTest, EveryOpHasASampleWithAValidRule) {
  EXPECT_THAT(samples.findMissing<ShardingRuleOpInterface>(), testing::IsEmpty());
  for (auto function : samples.getModule().getOps<func::FuncOp>()) {
    Operation *op = OpSamples::getOp(function);
    // Ops that say how data is laid out are no subject of it.
    if (isa<ReshardOp, AxisSliceOp, CollectiveOpInterface, ShardingConstraintOp>(op))
      continue;
    auto sharded = dyn_cast<ShardingRuleOpInterface>(op);
    ASSERT_TRUE(sharded) << function.getSymName().str();
    EXPECT_EQ(verifyShardingRule(op, sharded.getShardingRule()), "") << function.getSymName().str();
  }
}

// A factor that every result has is no reduction: nothing would be a partial sum.
TEST_F(ShardingRuleTest, ReductionsAreAbsentFromAResult) {
  for (auto function : samples.getModule().getOps<func::FuncOp>()) {
    auto sharded = dyn_cast<ShardingRuleOpInterface>(OpSamples::getOp(function));
    if (!sharded)
      continue;
    const ShardingRule rule = sharded.getShardingRule();
    for (auto [index, factor] : llvm::enumerate(rule.factors)) {
      if (factor.kind != FactorKind::reduction)
        continue;
      const bool inEveryResult = llvm::all_of(rule.results, [&](const TensorFactors &result) {
        return llvm::any_of(result, [&](const DimensionFactors &dimension) {
          return llvm::is_contained(dimension, index);
        });
      });
      EXPECT_FALSE(inEveryResult) << function.getSymName().str() << ", factor " << index;
    }
  }
}

TEST_F(ShardingRuleTest, EinsumReducesWhatTheResultLacks) {
  const ShardingRule rule = getRule("einsum");
  EXPECT_EQ(getKinds(rule, rule.operands[0]),
            (Kinds{FactorKind::passThrough, FactorKind::passThrough, FactorKind::reduction}));
  EXPECT_EQ(rule.operands[0][2], rule.operands[1][1]);
}

TEST_F(ShardingRuleTest, NoPartialSumIsAddedToAnAccumulator) {
  const ShardingRule rule = getRule("einsum_weight_gradient");
  EXPECT_EQ(
      getKinds(rule, rule.operands[0]),
      (Kinds{FactorKind::needReplication, FactorKind::needReplication, FactorKind::passThrough}));
  EXPECT_EQ(rule.operands[2], rule.results[0]);
  EXPECT_EQ(rule.operands[0][0], rule.operands[1][0]);
}

TEST_F(ShardingRuleTest, ReshapeFindsCommonFactors) {
  const ShardingRule split = getRule("reshape_split");
  EXPECT_EQ(getSizes(split, split.operands[0]), (Sizes{{2}, {3, 4}}));
  EXPECT_EQ(split.operands[0][1][0], split.results[0][1][0]);

  const ShardingRule merge = getRule("reshape_merge");
  EXPECT_EQ(getSizes(merge, merge.operands[0]), (Sizes{{2}, {}, {3}, {4}}));
  EXPECT_EQ(getSizes(merge, merge.results[0]), (Sizes{{2, 3}, {4}, {}}));

  const ShardingRule across = getRule("reshape_across");
  EXPECT_EQ(getSizes(across, across.operands[0]), (Sizes{{2, 3}, {8}}));
  EXPECT_EQ(getSizes(across, across.results[0]), (Sizes{{2}, {3, 8}}));
}

TEST_F(ShardingRuleTest, ReshapeReplicatesWhatHasNoCommonFactor) {
  const ShardingRule rule = getRule("reshape_mixed");
  EXPECT_EQ(
      getKinds(rule, rule.operands[0]),
      (Kinds{FactorKind::needReplication, FactorKind::needReplication, FactorKind::passThrough}));
  EXPECT_EQ(rule.operands[0][2], rule.results[0][2]);
}

TEST_F(ShardingRuleTest, AttentionSplitsBatchAndHeadGroups) {
  const ShardingRule rule = getRule("attention");
  const TensorFactors &query = rule.operands[0], &key = rule.operands[1];
  EXPECT_EQ(getSizes(rule, query), (Sizes{{2}, {5}, {2, 2}, {3}}));
  EXPECT_EQ(getSizes(rule, key), (Sizes{{2}, {5}, {2}, {3}}));
  EXPECT_EQ(query[2][0], key[2][0]); // the outer factor is the kv head's
  EXPECT_NE(query[1], key[1]);
  EXPECT_EQ(rule.factors[query[1][0]].kind, FactorKind::needReplication);
  EXPECT_EQ(rule.factors[query[3][0]].kind, FactorKind::needReplication);
  EXPECT_EQ(rule.factors[query[2][1]].kind, FactorKind::passThrough);

  const ShardingRule grad = getRule("attention_grad");
  EXPECT_EQ(grad.factors[grad.operands[0][2][1]].kind, FactorKind::reduction);
}

TEST_F(ShardingRuleTest, MaximaAreNoPartialSums) {
  const ShardingRule rule = getRule("reduce_max");
  EXPECT_EQ(getKinds(rule, rule.operands[0]),
            (Kinds{FactorKind::passThrough, FactorKind::passThrough, FactorKind::needReplication}));
}

TEST_F(ShardingRuleTest, NormGradientSumsOverRows) {
  const ShardingRule rule = getRule("rms_norm_grad");
  EXPECT_EQ(getKinds(rule, rule.results[0]),
            (Kinds{FactorKind::reduction, FactorKind::reduction, FactorKind::needReplication}));
  EXPECT_EQ(rule.results[1].front(), rule.results[0].back());
}

} // namespace
} // namespace titan
