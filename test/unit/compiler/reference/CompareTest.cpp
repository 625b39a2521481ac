#include "compiler/reference/Compare.h"

#include "compiler/reference/TrainingStep.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

using namespace mlir;

namespace titan {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

class CompareTest : public testing::Test {
protected:
  HostTensor make(std::vector<double> values) {
    const int64_t shape[] = {static_cast<int64_t>(values.size())};
    HostTensor tensor(RankedTensorType::get(shape, Float32Type::get(&context)));
    tensor.values = std::move(values);
    return tensor;
  }

  MLIRContext context;
};

TEST_F(CompareTest, DeviationIsRelativeToTheLargestMagnitude) {
  EXPECT_EQ(getDeviation(make({1, 2.5}), make({1, -2.5})), 2.0);
  EXPECT_EQ(getDeviation(make({1, 2}), make({1, 2})), 0.0);
  EXPECT_EQ(getDeviation(make({0, 0}), make({0, 0})), 0.0);
  EXPECT_EQ(getDeviation(make({1}), make({0})), kInfinity);
}

TEST_F(CompareTest, WhatIsNearlyZeroIsComparedWithTheSmallestScale) {
  EXPECT_EQ(getDeviation(make({1e-20}), make({0}), 1e-8), 1e-12);
  EXPECT_EQ(getDeviation(make({3}), make({2}), 1e-8), 0.5);
  EXPECT_EQ(getDeviation(make({std::nan("")}), make({0}), 1e-8), kInfinity);
}

TEST_F(CompareTest, WhatIsNotFiniteMustBeEqual) {
  const double nan = std::nan("");
  EXPECT_EQ(getDeviation(make({nan, kInfinity, 1}), make({nan, kInfinity, 1})), 0.0);
  EXPECT_EQ(getDeviation(make({nan, 1}), make({1, 1})), kInfinity);
  EXPECT_EQ(getDeviation(make({1, 1}), make({nan, 1})), kInfinity);
  EXPECT_EQ(getDeviation(make({kInfinity}), make({-kInfinity})), kInfinity);
  EXPECT_EQ(getDeviation(make({1, 1}), make({1})), kInfinity);
}

TEST_F(CompareTest, RelativeL2IsOverAllElements) {
  EXPECT_DOUBLE_EQ(getRelativeL2(make({3, 5}), make({3, 4})), 0.2);
  EXPECT_EQ(getRelativeL2(make({0}), make({0})), 0.0);
}

TEST_F(CompareTest, LargestDeviationKeepsItsName) {
  Deviation deviation;
  deviation.add(0, "first");
  EXPECT_EQ(deviation.name, "first");
  deviation.add(2, "second");
  deviation.add(1, "third");
  EXPECT_EQ(deviation.name, "second");
  deviation.add(std::nan(""), "fourth");
  EXPECT_EQ(deviation.name, "fourth");
}

TEST_F(CompareTest, RandomIntegersStayBelowTheLimit) {
  HostTensor tensor =
      makeRandomTensor(RankedTensorType::get({1000}, IntegerType::get(&context, 32)), "name", 3, 7);
  for (double value : tensor.values) {
    EXPECT_GE(value, 0);
    EXPECT_LT(value, 7);
    EXPECT_EQ(value, std::floor(value));
  }
}

TEST_F(CompareTest, CentralDifferencesAreOfFourthOrder) {
  auto derivative = differentiate([](double x) -> FailureOr<double> { return std::sin(1 + x); });
  ASSERT_TRUE(succeeded(derivative));
  EXPECT_NEAR(*derivative, std::cos(1.0), 1e-12);
  EXPECT_TRUE(failed(differentiate([](double) -> FailureOr<double> { return failure(); })));
}

} // namespace
} // namespace titan
