// What no GPU kernel can be written for is an error at the kernel.
#include "test/unit/compiler/KernelRunner.h"

#include <gtest/gtest.h>

using namespace titan;
using namespace titan::testing;

static std::string compile(const char *source) {
  RunOptions options;
  options.gpu = true;
  return KernelRunner(source, options).failure();
}

TEST(GpuErrors, ElementsThatNoKernelLoads) {
  EXPECT_EQ(compile(R"(
    func.func @f(%x: tensor<8xf64>) -> tensor<8xf64> {
      %y = titan.add %x, %x : tensor<8xf64>
      return %y : tensor<8xf64>
    })"),
            "'titan.kernel' op has an operand or result of type 'tensor<8xf64>', but GPU kernels "
            "take f32, bf16, f16 and i32");
}
