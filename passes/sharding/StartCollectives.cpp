#include "passes/sharding/StartCollectives.h"

#include "passes/sharding/OpMotion.h"
#include "passes/sharding/TransferSchedule.h"

#include "llvm/ADT/MapVector.h"

using namespace mlir;

namespace titan {
namespace {

class CollectiveStarter {
public:
  CollectiveStarter(Block &block, int64_t prefetch) : block(block), prefetch(prefetch) {}

  void run();

private:
  /// One collective, and where its start and await go. Those that go to one place stand in the
  /// order: awaits of what is under way, starts, awaits of what starts there.
  struct Entry {
    CollectiveOpInterface op;
    TransferPlan plan;
    StartOp start;
  };

  void plan();
  Transfer describe(CollectiveOpInterface op);
  void emitStart(Entry &entry);
  void emitAwait(Entry &entry);

  Block &block;
  int64_t prefetch;
  std::vector<Operation *> ops; ///< by position; the terminator is the last
  llvm::DenseMap<Operation *, int64_t> positions;
  llvm::MapVector<std::pair<int, Attribute>, int64_t> keys;
  std::vector<Entry> entries;
};

/// Whether the all_reduce may work in its operand's memory: nothing else uses it, or what it is a
/// view of.
bool mayBeInPlace(Value operand) {
  while (operand.hasOneUse()) {
    Operation *definition = operand.getDefiningOp();
    if (!definition || isa<LoadOp, AwaitOp>(definition))
      return false;
    if (!isView(definition))
      return llvm::none_of(llvm::seq(0u, definition->getNumResults()), [&](unsigned i) {
        return getPlacement(definition->getResult(i)).kind == ResultPlacement::Kind::assembled;
      });
    operand = definition->getOperand(0);
  }
  return false;
}

} // namespace

Transfer CollectiveStarter::describe(CollectiveOpInterface op) {
  MLIRContext *context = op->getContext();
  const SmallVector<StringAttr> axes = op.getGroupAxes();
  const std::pair<int, Attribute> key{
      static_cast<int>(op.getKind()),
      ArrayAttr::get(context, SmallVector<Attribute>(axes.begin(), axes.end()))};
  Transfer transfer;
  transfer.key = keys.try_emplace(key, static_cast<int64_t>(keys.size())).first->second;
  transfer.position = positions.lookup(op);
  transfer.firstUse = positions.lookup(getFirstUse(op->getResults()));
  const bool gathers = op.getKind() == CollectiveKind::allGather;
  transfer.early = gathers && llvm::all_of(op->getOperands(), isThereAtEntry);
  transfer.late = !gathers && llvm::all_of(op->getResults(), mayWaitUntilEnd);
  return transfer;
}

void CollectiveStarter::plan() {
  std::vector<Transfer> transfers;
  for (Operation *op : ops)
    if (auto collective = dyn_cast<CollectiveOpInterface>(op); collective && !isa<StartOp>(op)) {
      entries.push_back({collective, {}, {}});
      transfers.push_back(describe(collective));
    }
  const auto end = static_cast<int64_t>(ops.size()) - 1;
  const std::vector<TransferPlan> plans = planTransfers(transfers, prefetch, end);
  for (auto [entry, plan] : llvm::zip_equal(entries, plans))
    entry.plan = plan;
}

void CollectiveStarter::emitStart(Entry &entry) {
  CollectiveOpInterface op = entry.op;
  OpBuilder builder(ops[entry.plan.start]);
  // Asked before the start is one more user.
  const bool inPlace =
      op.getKind() == CollectiveKind::allReduce && llvm::all_of(op->getOperands(), mayBeInPlace);
  entry.start = cast<StartOp>(op.buildStart(builder));
  entry.start.setInPlace(inPlace);
  hoistViews(entry.start);
}

/// What uses the results and stands earlier follows the await.
void CollectiveStarter::emitAwait(Entry &entry) {
  Operation *point = ops[entry.plan.await];
  const OpSet users = getUsersBefore(entry.op->getResults(), point);
  OpBuilder builder(point);
  auto await = AwaitOp::create(builder, entry.op.getLoc(), entry.op->getResultTypes(),
                               entry.start.getResults(),
                               entry.start.getInPlace() ? ValueRange() : entry.start.getInputs());
  moveBefore(users, point);
  entry.op->replaceAllUsesWith(await);
}

void CollectiveStarter::run() {
  for (Operation &op : block) {
    positions[&op] = static_cast<int64_t>(ops.size());
    ops.push_back(&op);
  }
  plan();
  std::vector<SmallVector<Entry *>> starts(ops.size()), awaits(ops.size());
  for (Entry &entry : entries) {
    starts[entry.plan.start].push_back(&entry);
    awaits[entry.plan.await].push_back(&entry);
  }
  for (size_t position = 0; position < ops.size(); ++position) {
    for (Entry *entry : awaits[position])
      if (entry->start)
        emitAwait(*entry);
    for (Entry *entry : starts[position])
      emitStart(*entry);
    for (Entry *entry : awaits[position])
      if (entry->plan.start == entry->plan.await)
        emitAwait(*entry);
  }
  for (Entry &entry : entries)
    entry.op->erase();
}

void startCollectives(Block &block, int64_t prefetch) { CollectiveStarter(block, prefetch).run(); }

} // namespace titan
