#include "passes/Functions.h"
#include "passes/Passes.h"
#include "passes/pipeline/ScheduleAttribute.h"
#include "passes/sharding/StartCollectives.h"

using namespace mlir;

namespace titan {

#define GEN_PASS_DEF_SCHEDULEINSTRUCTIONS
#include "passes/Passes.h.inc"

namespace {

/// Orders one block. An op that sinks is attached to the op that it will stand before, its
/// *anchor*, which itself stays; ops with one anchor keep their original order. So an op always
/// comes before its users: a user has a later anchor, or the same one and a later position.
class BlockScheduler {
public:
  explicit BlockScheduler(Block &block) : block(block) {
    int64_t position = 0;
    for (Operation &op : block)
      anchorPositions[&op] = position++;
    for (Operation &op : block)
      byPosition.push_back(&op);
  }

  void run() {
    std::vector<SmallVector<Operation *>> sunk(byPosition.size());
    for (Operation *op : llvm::reverse(byPosition)) {
      const std::optional<int64_t> anchor = getFirstUser(op);
      if (!anchor || !isWorthSinking(op, *anchor))
        continue;
      anchorPositions[op] = *anchor;
      sunk[*anchor].push_back(op);
    }
    for (auto [position, ops] : llvm::enumerate(sunk))
      for (Operation *op : llvm::reverse(ops))
        op->moveBefore(byPosition[position]);
    for (auto store : llvm::make_early_inc_range(block.getOps<StoreOp>()))
      if (Operation *definition = store.getValue().getDefiningOp())
        store->moveAfter(definition);
  }

private:
  /// The position of the anchor that the first user stands at.
  std::optional<int64_t> getFirstUser(Operation *op) {
    std::optional<int64_t> first;
    for (Operation *user : op->getUsers())
      first = std::min(first.value_or(INT64_MAX), anchorPositions[user]);
    return first;
  }

  /// Sinking keeps the operands alive longer and the results shorter.
  bool isWorthSinking(Operation *op, int64_t anchor) {
    if (!isPure(op) || op->hasTrait<OpTrait::IsTerminator>())
      return false;
    int64_t prolonged = 0, shortened = 0;
    for (Value operand : llvm::SmallPtrSet<Value, 4>(op->operand_begin(), op->operand_end()))
      if (!isa<BlockArgument>(operand) && !isa_and_present<LoadOp>(operand.getDefiningOp()) &&
          llvm::all_of(operand.getUsers(), [&](Operation *other) {
            return other == op || anchorPositions[other] < anchor;
          }))
        prolonged += getByteSize(operand.getType());
    for (OpResult result : op->getResults())
      if (takesMemory(result))
        shortened += getByteSize(result.getType());
    return prolonged < shortened;
  }

  /// Views and accumulators live in their operand's memory.
  static bool takesMemory(OpResult result) {
    const auto kind = getPlacement(result).kind;
    return kind != ResultPlacement::Kind::inPlace && kind != ResultPlacement::Kind::view;
  }

  Block &block;
  std::vector<Operation *> byPosition;
  /// Where an op will stand: its own position, or its anchor's.
  llvm::DenseMap<Operation *, int64_t> anchorPositions;
};

struct ScheduleInstructions : impl::ScheduleInstructionsBase<ScheduleInstructions> {
  using ScheduleInstructionsBase::ScheduleInstructionsBase;

  void runOnOperation() override {
    if (prefetch < 0) {
      getOperation().emitError() << "expects a prefetch distance of at least 0, found "
                                 << static_cast<int64_t>(prefetch);
      return signalPassFailure();
    }
    for (auto function : getOperation().getOps<func::FuncOp>())
      for (Block &block : function.getBody()) {
        BlockScheduler(block).run();
        startCollectives(block, prefetch);
      }
  }
};

} // namespace
} // namespace titan
