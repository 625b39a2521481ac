#include "test/unit/dialects/OpSamples.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

using namespace mlir;

namespace titan {
namespace {

class CostTest : public testing::Test {
protected:
  void SetUp() override { ASSERT_TRUE(samples.getModule()); }

  CostOpInterface get(StringRef function) {
    auto found = samples.getModule().lookupSymbol<func::FuncOp>(function);
    return cast<CostOpInterface>(OpSamples::getOp(found));
  }

  OpSamples samples;
};

TEST_F(CostTest, ContractionsCountMultiplyAdds) {
  EXPECT_EQ(get("einsum").getFlops(), 2 * (2 * 5) * 3 * 4);
  EXPECT_EQ(get("einsum_weight_gradient").getFlops(), 2 * 3 * 4 * (2 * 5));
  EXPECT_EQ(get("einsum_batch").getFlops(), 2 * (2 * 3) * 5 * 6 * 4);
}

TEST_F(CostTest, AttentionCountsPairsThatSeeEachOther) {
  constexpr int64_t causalPairs = 1 + 2 + 3 + 4 + 5;
  EXPECT_EQ(get("attention").getFlops(), 4 * 2 * 4 * 3 * causalPairs);
  EXPECT_EQ(get("attention_full").getFlops(), 4 * 2 * 4 * 3 * 5 * 7);
  // Positions are values: every pair may count.
  EXPECT_EQ(get("attention_positions").getFlops(), 4 * 2 * 2 * 3 * 5 * 7);
  // Two and a half times the forward on the same shapes.
  EXPECT_EQ(get("attention_grad").getFlops(), 10 * 2 * 4 * 3 * 5 * 7);
}

TEST_F(CostTest, HeadLossIsItsProductsAndItsCrossEntropy) {
  constexpr int64_t product = 2 * 6 * 8 * 4;
  EXPECT_EQ(get("head_loss").getFlops() - product, get("cross_entropy").getFlops());
  EXPECT_EQ(get("head_loss_grad").getFlops() - 3 * product, get("cross_entropy_grad").getFlops());
}

TEST_F(CostTest, BytesAreThoseOfTheTensors) {
  EXPECT_EQ(get("cast").getBytesRead(), 2 * 3 * 4);
  EXPECT_EQ(get("cast").getBytesWritten(), 2 * 3 * 2);
  EXPECT_EQ(get("full").getBytesRead(), 0);
}

TEST_F(CostTest, EveryOpHasACost) {
  EXPECT_THAT(samples.findMissing<CostOpInterface>(), testing::IsEmpty());
  for (auto function : samples.getModule().getOps<func::FuncOp>())
    EXPECT_GE(cast<CostOpInterface>(OpSamples::getOp(function)).getFlops(), 0);
}

} // namespace
} // namespace titan
