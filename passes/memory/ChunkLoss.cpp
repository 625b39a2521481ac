#include "dialects/titan/TitanDialect.h"
#include "passes/Passes.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace titan {

#define GEN_PASS_DEF_CHUNKLOSS
#include "passes/Passes.h.inc"

namespace {

struct ChunkLoss : impl::ChunkLossBase<ChunkLoss> {
  using ChunkLossBase::ChunkLossBase;

  void runOnOperation() override {
    if (chunks < 1) {
      getOperation().emitError("expects at least 1 chunk, found ") << static_cast<int64_t>(chunks);
      return signalPassFailure();
    }
    if (tokensPerChunk < 0) {
      getOperation().emitError(
          "expects chunks of at least 1 token, or 0 for a number of chunks, found ")
          << static_cast<int64_t>(tokensPerChunk);
      return signalPassFailure();
    }
    SmallVector<ChunkableOpInterface> ops;
    getOperation().walk([&](ChunkableOpInterface op) { ops.push_back(op); });
    for (ChunkableOpInterface op : ops) {
      OpBuilder builder(op);
      op->replaceAllUsesWith(op.unrollChunks(builder, countChunks(op.getNumTokens())));
      op->erase();
    }
  }

  int64_t countChunks(int64_t tokens) const {
    return tokensPerChunk > 0 ? llvm::divideCeil(tokens, static_cast<int64_t>(tokensPerChunk))
                              : std::min<int64_t>(chunks, tokens);
  }
};

} // namespace
} // namespace titan
