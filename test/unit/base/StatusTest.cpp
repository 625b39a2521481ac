#include "runtime/base/Status.h"
#include "runtime/base/DType.h"

#include <gtest/gtest.h>

#include <cmath>

using namespace titan;

static StatusOr<int> half(int value) {
  if (value % 2)
    return invalidArgument("value " + std::to_string(value) + " is odd");
  return value / 2;
}

static StatusOr<int> quarter(int value) {
  TITAN_ASSIGN_OR_RETURN(int first, half(value));
  TITAN_ASSIGN_OR_RETURN(int second, half(first));
  return second;
}

TEST(Status, PropagatesTheFirstFailure) {
  EXPECT_EQ(*quarter(8), 2);
  auto failed = quarter(6);
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.status().code(), StatusCode::invalidArgument);
  EXPECT_EQ(failed.status().withContext("here").message(), "here: value 3 is odd");
}

TEST(DType, NamesRoundTrip) {
  for (int i = 0; i < kNumDTypes; ++i) {
    auto type = static_cast<DType>(i);
    EXPECT_EQ(parseDType(toString(type)), type);
    EXPECT_GE(byteSize(type), 1);
  }
  EXPECT_FALSE(parseDType("f31"));
}

TEST(DType, BFloat16RoundsToNearestEven) {
  EXPECT_EQ(toBFloat16(1.0f), 0x3f80);
  EXPECT_EQ(toBFloat16(1.00390625f), 0x3f80); // halfway, even below
  EXPECT_EQ(toBFloat16(1.01171875f), 0x3f82); // halfway, even above
  EXPECT_EQ(toBFloat16(INFINITY), 0x7f80);
  EXPECT_TRUE(std::isnan(fromBFloat16(toBFloat16(NAN))));
}
