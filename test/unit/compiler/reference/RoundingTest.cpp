#include "compiler/reference/Rounding.h"

#include "compiler/reference/Initializers.h"

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/ADT/APFloat.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

using namespace mlir;

namespace titan {
namespace {

double convert(double value, const llvm::fltSemantics &semantics) {
  llvm::APFloat number(value);
  bool lossy;
  number.convert(semantics, llvm::APFloat::rmNearestTiesToEven, &lossy);
  return number.convertToDouble();
}

double roundOne(double value, Type type) {
  roundToType(MutableArrayRef<double>(value), type);
  return value;
}

// LLVM's software floats are the oracle, over all magnitudes: subnormal results, overflow and ties
// included.
TEST(RoundingTest, EqualsSoftwareFloats) {
  MLIRContext context;
  const std::pair<Type, const llvm::fltSemantics &> formats[] = {
      {BFloat16Type::get(&context), llvm::APFloat::BFloat()},
      {Float16Type::get(&context), llvm::APFloat::IEEEhalf()},
      {Float32Type::get(&context), llvm::APFloat::IEEEsingle()}};
  const CounterGenerator generator(1, "rounding");
  for (auto [type, semantics] : formats)
    for (int exponent = -160; exponent <= 130; ++exponent)
      for (int i = 0; i < 40; ++i) {
        double value = std::ldexp(generator.normal(i), exponent);
        // Every other value has few bits: ties occur.
        if (i % 2)
          value = std::ldexp(std::nearbyint(generator.normal(i) * 512), exponent - 9);
        EXPECT_EQ(roundOne(value, type), convert(value, semantics)) << value;
      }
}

TEST(RoundingTest, KeepsWhatIsNotFinite) {
  MLIRContext context;
  const Type bf16 = BFloat16Type::get(&context);
  constexpr double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(roundOne(infinity, bf16), infinity);
  EXPECT_EQ(roundOne(-infinity, bf16), -infinity);
  EXPECT_TRUE(std::isnan(roundOne(std::nan(""), bf16)));
  EXPECT_TRUE(std::signbit(roundOne(-0.0, bf16)));
}

TEST(RoundingTest, KeepsDoubles) {
  MLIRContext context;
  EXPECT_EQ(roundOne(0.1, Float64Type::get(&context)), 0.1);
}

} // namespace
} // namespace titan
