#include "passes/kernels/KernelAnalysis.h"
#include "passes/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"

#include <gtest/gtest.h>

using namespace mlir;
using namespace titan;

namespace {

class KernelAnalysis : public ::testing::Test {
protected:
  KernelAnalysis() { context.loadDialect<TitanDialect, func::FuncDialect>(); }

  llvm::SmallVector<KernelOp> form(llvm::StringRef source) {
    module = parseSourceString<ModuleOp>(source, &context);
    llvm::SmallVector<KernelOp> kernels;
    if (!module)
      return kernels;
    PassManager passes(&context);
    passes.addNestedPass<func::FuncOp>(createFormKernels());
    if (succeeded(passes.run(*module)))
      module->walk([&](KernelOp kernel) { kernels.push_back(kernel); });
    return kernels;
  }

  MLIRContext context;
  OwningOpRef<ModuleOp> module;
};

using Operands = llvm::SmallVector<unsigned>;

} // namespace

TEST_F(KernelAnalysis, NormMayOverwriteWhatItsLaterPhaseReadsAtTheSamePlace) {
  auto kernels = form(R"(
    func.func @f(%x: tensor<64x64xf32>, %w: tensor<64xf32>)
        -> (tensor<64x64xf32>, tensor<64xf32>) {
      %y, %r = titan.rms_norm %x, %w epsilon 1.0e-5
          : tensor<64x64xf32>, tensor<64xf32> -> tensor<64x64xf32>, tensor<64xf32>
      return %y, %r : tensor<64x64xf32>, tensor<64xf32>
    })");
  ASSERT_EQ(kernels.size(), 1u);
  auto plan = analyzeKernel(kernels[0]);
  ASSERT_TRUE(succeeded(plan));
  ASSERT_EQ(plan->reusable.size(), 2u);
  // Results in the order of their ops: rstd, then the rows. The weight has rstd's type, but every
  // row reads all of it.
  EXPECT_EQ(plan->reusable[0], Operands{});
  EXPECT_EQ(plan->reusable[1], Operands{0});
  EXPECT_EQ(plan->scratchBytes, 0);
  EXPECT_EQ(plan->blocks.size(), 1u);
  EXPECT_EQ(plan->bytesRead, 64 * 64 * 4 + 64 * 4);
  EXPECT_EQ(plan->bytesWritten, 64 * 64 * 4 + 64 * 4);
}

TEST_F(KernelAnalysis, EarlyResultMayNotOverwriteWhatALaterPhaseReads) {
  auto kernels = form(R"(
    func.func @f(%x: tensor<64x64xf32>, %z: tensor<64x64xf32>)
        -> (tensor<64x64xf32>, tensor<64x64xf32>) {
      %h = titan.exp %x : tensor<64x64xf32>
      %s = titan.reduce sum %h [1] : tensor<64x64xf32> -> tensor<64xf32>
      %b = titan.broadcast %s [0] : tensor<64xf32> -> tensor<64x64xf32>
      %d = titan.sub %x, %b : tensor<64x64xf32>
      %e = titan.mul %d, %z : tensor<64x64xf32>
      return %h, %e : tensor<64x64xf32>, tensor<64x64xf32>
    })");
  ASSERT_EQ(kernels.size(), 1u);
  auto plan = analyzeKernel(kernels[0]);
  ASSERT_TRUE(succeeded(plan));
  EXPECT_EQ(plan->reusable[0], Operands{}); // x and z are read after h is stored
  EXPECT_EQ(plan->reusable[1], (Operands{0, 1}));
}

TEST_F(KernelAnalysis, TransposedReadsForbidReuse) {
  auto kernels = form(R"(
    func.func @f(%x: tensor<64x64xf32>, %z: tensor<64x64xf32>) -> tensor<64x64xf32> {
      %t = titan.transpose %x [1, 0] : tensor<64x64xf32> -> tensor<64x64xf32>
      %r = titan.add %t, %z : tensor<64x64xf32>
      return %r : tensor<64x64xf32>
    })");
  ASSERT_EQ(kernels.size(), 1u);
  auto plan = analyzeKernel(kernels[0]);
  ASSERT_TRUE(succeeded(plan));
  EXPECT_EQ(plan->reusable[0], Operands{1});
}

TEST_F(KernelAnalysis, RopeTurnsInPlace) {
  auto kernels = form(R"(
    func.func @f(%x: tensor<2x8x4x16xf32>, %c: tensor<8x8xf32>, %s: tensor<8x8xf32>)
        -> tensor<2x8x4x16xf32> {
      %r = titan.rope %x, %c, %s : tensor<2x8x4x16xf32>, tensor<8x8xf32>, tensor<8x8xf32>
          -> tensor<2x8x4x16xf32>
      return %r : tensor<2x8x4x16xf32>
    })");
  ASSERT_EQ(kernels.size(), 1u);
  auto plan = analyzeKernel(kernels[0]);
  ASSERT_TRUE(succeeded(plan));
  EXPECT_EQ(plan->reusable[0], Operands{0});
}

TEST_F(KernelAnalysis, SumsOverRowsHaveTwoStagesAndScratch) {
  auto kernels = form(R"(
    func.func @f(%x: tensor<4096x256xf32>, %acc: tensor<256xf32>) -> tensor<256xf32> {
      %s = titan.reduce sum %x [0] : tensor<4096x256xf32> -> tensor<256xf32>
      %r = titan.add %acc, %s : tensor<256xf32>
      return %r : tensor<256xf32>
    })");
  ASSERT_EQ(kernels.size(), 1u);
  auto plan = analyzeKernel(kernels[0]);
  ASSERT_TRUE(succeeded(plan));
  ASSERT_EQ(plan->blocks.size(), 2u);
  EXPECT_GT(plan->blocks[0], 8);
  EXPECT_EQ(plan->scratchBytes, plan->blocks[0] * 256 * 4);
  EXPECT_EQ(plan->reusable[0], Operands{1});
}

TEST_F(KernelAnalysis, EqualKernelsAreFoundByStructure) {
  auto kernels = form(R"(
    func.func @a(%x: tensor<8x8xf32>, %y: tensor<8x8xf32>) -> tensor<8x8xf32> {
      %s = titan.silu %x : tensor<8x8xf32>
      %r = titan.mul %s, %y : tensor<8x8xf32>
      return %r : tensor<8x8xf32>
    }
    func.func @b(%u: tensor<8x8xf32>, %v: tensor<8x8xf32>) -> tensor<8x8xf32> {
      %s = titan.silu %v : tensor<8x8xf32>
      %r = titan.mul %s, %u : tensor<8x8xf32>
      return %r : tensor<8x8xf32>
    }
    func.func @c(%x: tensor<8x8xf32>, %y: tensor<8x8xf32>) -> tensor<8x8xf32> {
      %s = titan.silu %x : tensor<8x8xf32>
      %r = titan.add %s, %y : tensor<8x8xf32>
      return %r : tensor<8x8xf32>
    }
    func.func @d(%x: tensor<64xf32>, %y: tensor<64xf32>) -> tensor<64xf32> {
      %s = titan.silu %x : tensor<64xf32>
      %r = titan.mul %s, %y : tensor<64xf32>
      return %r : tensor<64xf32>
    })");
  ASSERT_EQ(kernels.size(), 4u);
  EXPECT_TRUE(kernelsEqual(kernels[0], kernels[1]));
  EXPECT_EQ(hashKernel(kernels[0]), hashKernel(kernels[1]));
  EXPECT_FALSE(kernelsEqual(kernels[0], kernels[2]));
  EXPECT_FALSE(kernelsEqual(kernels[0], kernels[3]));
}

// Layers of a residual network: as many kernels for each layer, however many there are.
TEST_F(KernelAnalysis, KernelsOfManyLayersAreEqual) {
  std::string source = "func.func @f(%h0: tensor<64x32xf32>, %w: tensor<32xf32>, %m: "
                       "tensor<32x32xf32>) -> tensor<64x32xf32> {\n";
  const int layers = 200;
  for (int layer = 0; layer < layers; ++layer) {
    const std::string i = std::to_string(layer), next = std::to_string(layer + 1);
    source += "  %n" + i + ", %r" + i + " = titan.rms_norm %h" + i +
              ", %w epsilon 1.0e-5 : tensor<64x32xf32>, tensor<32xf32> -> tensor<64x32xf32>, "
              "tensor<64xf32>\n  %e" +
              i + " = titan.einsum \"mk,kn->mn\" %n" + i +
              ", %m : tensor<64x32xf32>, tensor<32x32xf32> -> tensor<64x32xf32>\n  %h" + next +
              " = titan.add %h" + i + ", %e" + i + " : tensor<64x32xf32>\n";
  }
  source += "  return %h" + std::to_string(layers) + " : tensor<64x32xf32>\n}\n";
  auto kernels = form(source);
  ASSERT_EQ(kernels.size(), layers + 1u); // the first norm, sum and norm, the last sum
  for (size_t index = 2; index + 1 < kernels.size(); ++index)
    EXPECT_TRUE(kernelsEqual(kernels[1], kernels[index])) << index;
}
