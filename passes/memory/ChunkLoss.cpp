#include "dialects/titan/TitanDialect.h"
#include "passes/Passes.h"

#include "mlir/IR/BuiltinOps.h"

using namespace mlir;

namespace titan {

#define GEN_PASS_DEF_CHUNKLOSS
#include "passes/Passes.h.inc"

namespace {

struct ChunkLoss : impl::ChunkLossBase<ChunkLoss> {
  using ChunkLossBase::ChunkLossBase;

  void runOnOperation() override {
    if (chunks < 1) {
      getOperation().emitError() << "expects at least 1 chunk, found "
                                 << static_cast<int64_t>(chunks);
      return signalPassFailure();
    }
    SmallVector<ChunkableOpInterface> ops;
    getOperation().walk([&](ChunkableOpInterface op) { ops.push_back(op); });
    for (ChunkableOpInterface op : ops) {
      OpBuilder builder(op);
      op->replaceAllUsesWith(
          op.unrollChunks(builder, std::min<int64_t>(chunks, op.getNumTokens())));
      op->erase();
    }
  }
};

} // namespace
} // namespace titan
