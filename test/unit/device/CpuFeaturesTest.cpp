#include "runtime/device/cpu/CpuFeatures.h"

#include <gtest/gtest.h>

using namespace titan::cpu;

TEST(CpuFeatures, BestIsaAgreesWithTheFeatures) {
  CpuFeatures features = cpuFeatures();
  EXPECT_EQ(features.isa(), bestIsa());
  EXPECT_TRUE(features.avx2 || !features.avx512) << "avx512 includes avx2";
  EXPECT_EQ(features.describe().rfind(toString(features.isa()), 0), 0u) << features.describe();
}

TEST(CpuFeatures, IsaFollowsTheBestFeature) {
  CpuFeatures features;
  features.model = "Model X";
  EXPECT_EQ(features.describe(), "portable (Model X)");
  features.avx2 = true;
  EXPECT_EQ(features.isa(), Isa::avx2);
  features.avx512 = true;
  EXPECT_EQ(features.describe(), "avx512 (Model X)");
}
