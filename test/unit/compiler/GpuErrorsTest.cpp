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

TEST(GpuErrors, RowsInABatch) {
  EXPECT_EQ(compile(R"(
    func.func @f(%x: tensor<64x64xf32>) -> tensor<64xf32> {
      %b = titan.kernel (%p = %x) : (tensor<64x64xf32>) -> tensor<64xf32> {
        %k = titan.kernel (%a = %p) : (tensor<64x64xf32>) -> tensor<64xf32> {
          %s = titan.reduce sum %a [1] : tensor<64x64xf32> -> tensor<64xf32>
          titan.yield %s : tensor<64xf32>
        }
        titan.yield %k : tensor<64xf32>
      }
      return %b : tensor<64xf32>
    })"),
            "'titan.kernel' op walks rows, but the kernels of a batch are flat");
}
