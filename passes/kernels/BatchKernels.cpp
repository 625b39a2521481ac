// titan-batch-kernels: see Passes.td.
#include "passes/Passes.h"
#include "passes/kernels/KernelBatch.h"
#include "passes/kernels/KernelSchedule.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

namespace titan {
#define GEN_PASS_DEF_BATCHKERNELS
#include "passes/Passes.h.inc"

namespace {

/// Batches the kernels of one block, in its order.
class Batcher {
public:
  explicit Batcher(Block &block) : block(block) {}

  void run() {
    for (Operation &op : llvm::make_early_inc_range(block.without_terminator()))
      visit(&op);
    flush();
  }

private:
  static bool isScalar(Value value) { return tensorType(value).getRank() == 0; }

  /// Whether memory is the same wherever the op stands: what it makes are scalars and variables.
  static bool takesNoMemory(Operation *op) {
    return llvm::all_of(op->getResults(), [](OpResult result) {
      return isScalar(result) || llvm::all_of(result.getUsers(), llvm::IsaPred<StoreOp>);
    });
  }

  static bool canBeBatched(Operation *op) {
    auto kernel = dyn_cast<KernelOp>(op);
    if (!kernel || !takesNoMemory(op) || !getBatch(kernel).empty())
      return false;
    auto schedule = scheduleKernel(kernel, ScheduleOptions::forGpu());
    return succeeded(schedule) && schedule->stages[0].isFlat;
  }

  bool isDependent(Operation *op) const {
    return llvm::any_of(op->getOperands(), [&](Value it) { return dependent.contains(it); });
  }

  /// Whether the kernel reads a variable that a member's result goes to, or its result goes to one
  /// that a member reads: as one launch, neither may be computed in place.
  bool isInTheWay(Operation *op) const {
    return llvm::any_of(op->getOperands(),
                        [&](Value it) { return written.contains(getLoaded(it)); }) ||
           llvm::any_of(getStored(op), [&](StringRef it) { return read.contains(it); });
  }

  static StringRef getLoaded(Value value) {
    auto load = value.getDefiningOp<LoadOp>();
    return load ? load.getVariable() : StringRef();
  }

  static SmallVector<StringRef> getStored(Operation *op) {
    SmallVector<StringRef> variables;
    for (Operation *user : op->getUsers())
      if (auto store = dyn_cast<StoreOp>(user))
        variables.push_back(store.getVariable());
    return variables;
  }

  void visit(Operation *op) {
    if (canBeBatched(op)) {
      if (isDependent(op) || isInTheWay(op) || countBuffers(op) > kMaxLaunchBuffers)
        flush();
      for (Value operand : op->getOperands())
        if (const StringRef variable = getLoaded(operand); !variable.empty())
          read.insert(variable);
      for (const StringRef variable : getStored(op))
        written.insert(variable);
      numWaiting = waiting.size();
      members.push_back(cast<KernelOp>(op));
      operands.insert(op->operand_begin(), op->operand_end());
      numResults += op->getNumResults();
      dependent.insert(op->result_begin(), op->result_end());
      return;
    }
    // Others may stand in between if they can wait for the batch, or it for them.
    const bool isPassed = isa<LoadOp, StoreOp>(op) || (isPure(op) && takesNoMemory(op));
    if (!isPassed)
      return flush();
    if (isDependent(op)) {
      waiting.push_back(op);
      dependent.insert(op->result_begin(), op->result_end());
    }
  }

  /// Makes the batch, at the place of its last kernel.
  void flush() {
    if (members.size() > 1)
      build();
    members.clear();
    waiting.clear();
    dependent.clear();
    read.clear();
    written.clear();
    numWaiting = 0;
    operands.clear();
    numResults = 0;
  }

  /// Of the batch with this kernel, and its workspace.
  size_t countBuffers(Operation *op) const {
    const auto added =
        llvm::count_if(op->getOperands(), [&](Value it) { return !operands.contains(it); });
    return operands.size() + static_cast<size_t>(added) + numResults + op->getNumResults() + 1;
  }

  void build() {
    SmallVector<Value> results;
    SmallVector<Location> locations;
    for (KernelOp kernel : members) {
      results.append(kernel->result_begin(), kernel->result_end());
      locations.push_back(kernel.getLoc());
    }
    OpBuilder builder(members.back());
    auto loc = FusedLoc::get(builder.getContext(), locations);
    auto batch = KernelOp::create(builder, loc, TypeRange(ValueRange(results)),
                                  ValueRange(operands.getArrayRef()));
    Block &body = batch.getBody().emplaceBlock();
    IRMapping inside;
    for (Value operand : operands)
      inside.map(operand, body.addArgument(operand.getType(), operand.getLoc()));
    for (Operation *op : llvm::reverse(ArrayRef(waiting).take_front(numWaiting)))
      op->moveAfter(batch);
    auto inner = OpBuilder::atBlockEnd(&body);
    SmallVector<Value> yielded;
    for (KernelOp kernel : members) {
      Operation *moved = inner.clone(*kernel, inside);
      yielded.append(moved->result_begin(), moved->result_end());
    }
    YieldOp::create(inner, loc, yielded);
    for (auto [result, replacement] : llvm::zip_equal(results, batch.getResults()))
      result.replaceAllUsesWith(replacement);
    for (KernelOp kernel : members)
      kernel.erase();
  }

  Block &block;
  SmallVector<KernelOp> members;
  SmallVector<Operation *> waiting;        ///< they depend on members, or on one that does
  size_t numWaiting = 0;                   ///< of these, before the last member
  llvm::DenseSet<Value> dependent;         ///< results of members and of those
  llvm::DenseSet<StringRef> read, written; ///< variables, by members
  llvm::SetVector<Value> operands;         ///< of members
  size_t numResults = 0;                   ///< of members
};

struct BatchKernels : impl::BatchKernelsBase<BatchKernels> {
  void runOnOperation() override {
    for (Block &block : getOperation().getBody())
      Batcher(block).run();
  }
};

} // namespace
} // namespace titan
