// Ops that can be replaced by programs of other ops compute the same as these.
#include "compiler/reference/Compare.h"
#include "test/unit/dialects/OpSamples.h"

#include "mlir/IR/Verifier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

using namespace mlir;

namespace titan {
namespace {

class ProgramTest : public testing::Test {
protected:
  void SetUp() override { ASSERT_TRUE(samples.getModule()); }

  /// Builds a program in the op's place and returns its results.
  using Replace = llvm::function_ref<SmallVector<Value>(Operation *op, OpBuilder &builder)>;

  /// The sample's results before and after its op was replaced.
  void check(func::FuncOp function, Replace replace) {
    SCOPED_TRACE(function.getSymName().str());
    SmallVector<HostTensor> arguments = samples.makeArguments(function);
    Interpreter interpreter(samples.getModule());
    auto expected = interpreter.call(function.getSymName(), arguments);
    ASSERT_TRUE(succeeded(expected));

    Operation *op = OpSamples::getOp(function);
    OpBuilder builder(op);
    const SmallVector<Value> results = replace(op, builder);
    ASSERT_EQ(results.size(), op->getNumResults());
    ASSERT_NE(builder.getInsertionBlock()->begin(), op->getIterator()) << "nothing was built";
    op->replaceAllUsesWith(results);
    op->erase();
    ASSERT_TRUE(succeeded(verify(function)));
    auto found = interpreter.call(function.getSymName(), arguments);
    ASSERT_TRUE(succeeded(found));
    for (auto [index, tensor] : llvm::enumerate(*found))
      EXPECT_LE(getDeviation(tensor, (*expected)[index]), 1e-12) << "result " << index;
  }

  template <typename Interface, typename Function> void checkEach(Function replace) {
    EXPECT_THAT(samples.findMissing<Interface>(), testing::IsEmpty());
    for (auto function : samples.getModule().getOps<func::FuncOp>())
      if (isa<Interface>(OpSamples::getOp(function)))
        check(function, [&](Operation *op, OpBuilder &builder) {
          return replace(cast<Interface>(op), builder);
        });
  }

  OpSamples samples;
};

TEST_F(ProgramTest, DecomposedOpsComputeTheSame) {
  checkEach<DecomposableOpInterface>(
      [](DecomposableOpInterface op, OpBuilder &builder) { return op.decompose(builder); });
}

TEST_F(ProgramTest, ChunkedOpsComputeTheSame) {
  checkEach<ChunkableOpInterface>([](ChunkableOpInterface op, OpBuilder &builder) {
    EXPECT_EQ(op.getNumTokens(), 6);
    return op.unrollChunks(builder, 2);
  });
}

// Six tokens in at most four chunks: three of two tokens.
TEST_F(ProgramTest, FewerChunksSuffice) {
  checkEach<ChunkableOpInterface>(
      [](ChunkableOpInterface op, OpBuilder &builder) { return op.unrollChunks(builder, 4); });
}

} // namespace
} // namespace titan
