#include "compiler/reference/Initializers.h"

#include "dialects/titan/TitanDialect.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

using namespace mlir;

namespace titan {
namespace {

class InitializersTest : public testing::Test {
protected:
  InitializersTest() { context.loadDialect<TitanDialect>(); }

  HostTensor fill(ArrayRef<int64_t> shape, Attribute initializer, uint64_t seed = 0) {
    HostTensor tensor(RankedTensorType::get(shape, Float32Type::get(&context)));
    EXPECT_TRUE(succeeded(initialize(tensor, initializer, CounterGenerator(seed, "name"),
                                     UnknownLoc::get(&context))));
    return tensor;
  }

  MLIRContext context;
};

double getMean(const HostTensor &tensor) {
  double sum = 0;
  for (double x : tensor.values)
    sum += x;
  return sum / static_cast<double>(tensor.size());
}

double getStd(const HostTensor &tensor) {
  const double mean = getMean(tensor);
  double sum = 0;
  for (double x : tensor.values)
    sum += (x - mean) * (x - mean);
  return std::sqrt(sum / static_cast<double>(tensor.size()));
}

TEST_F(InitializersTest, ConstantFillsEveryElement) {
  EXPECT_EQ(fill({2, 2}, ConstantInitAttr::get(&context, 1.5)).values, std::vector<double>(4, 1.5));
}

TEST_F(InitializersTest, NormalHasItsMoments) {
  const HostTensor tensor = fill({40000}, NormalInitAttr::get(&context, 2.0, 0.5));
  EXPECT_NEAR(getMean(tensor), 2.0, 0.01);
  EXPECT_NEAR(getStd(tensor), 0.5, 0.01);
}

TEST_F(InitializersTest, RandomValuesDependOnTheSeedAlone) {
  Attribute normal = NormalInitAttr::get(&context, 0.0, 1.0);
  EXPECT_EQ(fill({16}, normal, 7).values, fill({16}, normal, 7).values);
  EXPECT_NE(fill({16}, normal, 7).values, fill({16}, normal, 8).values);
}

TEST_F(InitializersTest, TruncatedNormalStaysWithinItsCuts) {
  const HostTensor tensor =
      fill({40000}, TruncatedNormalInitAttr::get(&context, 0.0, 1.0, -1.0, 1.0));
  EXPECT_GE(*std::min_element(tensor.values.begin(), tensor.values.end()), -1.0);
  EXPECT_LE(*std::max_element(tensor.values.begin(), tensor.values.end()), 1.0);
  EXPECT_NEAR(getMean(tensor), 0.0, 0.01);
  EXPECT_NEAR(getStd(tensor), 0.5396, 0.01); // of the normal distribution cut at one sigma
}

// Beyond 5 sigma almost no sample lies: there the distribution is nearly exponential.
TEST_F(InitializersTest, TruncatedNormalTakesUnlikelyCuts) {
  const HostTensor tensor =
      fill({10000}, TruncatedNormalInitAttr::get(&context, 0.0, 1.0, 5.0, 9.0));
  EXPECT_GE(*std::min_element(tensor.values.begin(), tensor.values.end()), 5.0);
  EXPECT_NEAR(getMean(tensor), 5.1865, 0.01);
}

// Llama 3.1's scaling in its three ranges of wavelengths, for theta 500000 and 64 pairs.
TEST_F(InitializersTest, RopeTableScalesLongWavelengths) {
  auto table = [&](RopeComponent component, double factor) {
    return fill({3, 64},
                RopeTableInitAttr::get(&context, component, 500000.0, factor, 1.0, 4.0, 8192.0));
  };
  const HostTensor plain = table(RopeComponent::sine, 1.0);
  const HostTensor scaled = table(RopeComponent::sine, 8.0);
  const HostTensor cosines = table(RopeComponent::cosine, 8.0);
  auto frequency = [](int64_t i) { return std::pow(500000.0, -static_cast<double>(i) / 64); };
  for (int64_t i = 0; i < 64; ++i) {
    EXPECT_EQ(scaled.values[i], 0);
    EXPECT_EQ(cosines.values[i], 1);
    EXPECT_NEAR(plain.values[2 * 64 + i], std::sin(2 * frequency(i)), 1e-15);
    const double wavelength = 2 * M_PI / frequency(i);
    const double angle = std::asin(scaled.values[64 + i]);
    if (wavelength < 8192.0 / 4)
      EXPECT_NEAR(angle, frequency(i), 1e-14) << i;
    else if (wavelength > 8192.0)
      EXPECT_NEAR(angle, frequency(i) / 8, 1e-14) << i;
    else {
      EXPECT_LT(angle, frequency(i)) << i;
      EXPECT_GT(angle, frequency(i) / 8) << i;
    }
  }
}

TEST_F(InitializersTest, RopeTableHasTwoDimensions) {
  HostTensor tensor(RankedTensorType::get({8}, Float32Type::get(&context)));
  std::string message;
  ScopedDiagnosticHandler handler(&context,
                                  [&](Diagnostic &diagnostic) { message = diagnostic.str(); });
  auto table =
      RopeTableInitAttr::get(&context, RopeComponent::sine, 500000.0, 1.0, 1.0, 4.0, 8192.0);
  EXPECT_TRUE(
      failed(initialize(tensor, table, CounterGenerator(0, ""), UnknownLoc::get(&context))));
  EXPECT_EQ(message, "a rope table has the shape [positions, pairs], found 'tensor<8xf32>'");
}

TEST_F(InitializersTest, UnknownInitializerIsAnError) {
  HostTensor tensor(RankedTensorType::get({2}, Float32Type::get(&context)));
  std::string message;
  ScopedDiagnosticHandler handler(&context,
                                  [&](Diagnostic &diagnostic) { message = diagnostic.str(); });
  EXPECT_TRUE(failed(initialize(tensor, UnitAttr::get(&context), CounterGenerator(0, ""),
                                UnknownLoc::get(&context))));
  EXPECT_EQ(message, "the interpreter knows no initializer unit");
}

} // namespace
} // namespace titan
