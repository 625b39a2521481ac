#include "passes/Passes.h"
#include "passes/sharding/CollectiveBuckets.h"
#include "passes/sharding/OpMotion.h"

#include "llvm/ADT/MapVector.h"

using namespace mlir;

namespace titan {

#define GEN_PASS_DEF_BUCKETCOLLECTIVES
#include "passes/Passes.h.inc"

namespace {

bool isGather(CollectiveOpInterface op) { return op.getKind() == CollectiveKind::allGather; }

/// The name of the variable whose value this is, or that it is added to; empty if there is none. A
/// gradient has its parameter's name.
StringRef findVariable(CollectiveOpInterface op) {
  Value value = op->getOperand(0);
  while (Operation *definition = value.getDefiningOp()) {
    if (auto load = dyn_cast<LoadOp>(definition))
      return load.getVariable();
    if (definition->getNumOperands() != 1 || (!isView(definition) && !isPointwise(definition)))
      break;
    value = definition->getOperand(0);
  }
  OpSet users(op->user_begin(), op->user_end());
  for (size_t i = 0; i < users.size() && users.size() <= kMaxTail; ++i) {
    if (auto store = dyn_cast<StoreOp>(users[i]))
      return store.getVariable();
    users.insert(users[i]->user_begin(), users[i]->user_end());
  }
  return {};
}

/// The layer that a collective belongs to: that of its variable or, for activations, of the first
/// name in its location.
StringRef getLayer(CollectiveOpInterface op) {
  if (StringRef variable = findVariable(op); !variable.empty())
    return getLayerOfName(variable);
  return getLayerOfLocation(op->getLoc()).value_or(StringRef());
}

/// One function's collectives. What is only reached from another collective through views (an
/// all_reduce of what was scattered) is grouped after that.
class FunctionBucketer {
public:
  FunctionBucketer(Block &block, int64_t limit) : block(block), limit(limit) {}

  void run() {
    for (unsigned level = 0; bucketLevel(level); ++level)
      ;
  }

private:
  bool bucketLevel(unsigned level);
  unsigned getLevel(Operation *op);
  BucketCandidate describe(CollectiveOpInterface op);
  int64_t getKey(CollectiveOpInterface op);
  void place(ArrayRef<CollectiveOpInterface> members);
  static std::optional<Operation *> getReadyPoint(ArrayRef<Value> operands);
  bool mayStandBefore(ArrayRef<CollectiveOpInterface> members, Operation *point,
                      const OpSet &users);

  Block &block;
  int64_t limit;
  llvm::DenseMap<Operation *, int64_t> positions;
  llvm::MapVector<std::pair<Attribute, std::pair<Type, StringRef>>, int64_t> keys;
};

} // namespace

unsigned FunctionBucketer::getLevel(Operation *op) {
  unsigned level = 0;
  for (Value operand : op->getOperands()) {
    Operation *definition = operand.getDefiningOp();
    if (!definition)
      continue;
    if (isa<CollectiveOpInterface>(definition))
      level = std::max(level, getLevel(definition) + 1);
    else if (isView(definition))
      level = std::max(level, getLevel(definition));
  }
  return level;
}

/// Equal for ops with the same attributes, on elements of one type.
int64_t FunctionBucketer::getKey(CollectiveOpInterface op) {
  const std::pair<Attribute, std::pair<Type, StringRef>> key{
      op->getAttrDictionary(),
      {tensorType(op->getOperand(0)).getElementType(), op->getName().getStringRef()}};
  return keys.try_emplace(key, static_cast<int64_t>(keys.size())).first->second;
}

BucketCandidate FunctionBucketer::describe(CollectiveOpInterface op) {
  BucketCandidate candidate;
  candidate.key = getKey(op);
  candidate.layer = getLayer(op).str();
  candidate.isGather = isGather(op);
  for (Value operand : op->getOperands())
    if (!isThereAtEntry(operand))
      candidate.ready = std::max(candidate.ready, positions.lookup(operand.getDefiningOp()));
  candidate.firstUse = positions.lookup(getFirstUse(op->getResults()));
  if (!candidate.isGather && llvm::all_of(op->getResults(), mayWaitUntilEnd))
    candidate.firstUse = BucketCandidate::kAtEnd;
  for (auto [operand, result] : llvm::zip(op->getOperandTypes(), op->getResultTypes()))
    candidate.bytes += std::max(getByteSize(operand), getByteSize(result));
  return candidate;
}

/// Whether the members' operands are computed before `point`, by none of what waits for them.
bool FunctionBucketer::mayStandBefore(ArrayRef<CollectiveOpInterface> members, Operation *point,
                                      const OpSet &users) {
  for (Operation *user : users)
    if (!isa<StoreOp>(user) && !isPure(user))
      return false;
  for (CollectiveOpInterface member : members)
    for (Value operand : member->getOperands())
      if (Operation *definition = operand.getDefiningOp();
          definition && !isThereAtEntry(operand) &&
          (users.contains(definition) || !definition->isBeforeInBlock(point)))
        return false;
  return true;
}

/// The op behind the one that computes the last of the operands; none if all are there at entry.
std::optional<Operation *> FunctionBucketer::getReadyPoint(ArrayRef<Value> operands) {
  Operation *last = nullptr;
  for (Value operand : operands)
    if (Operation *definition = operand.getDefiningOp();
        definition && !isThereAtEntry(operand) && (!last || last->isBeforeInBlock(definition)))
      last = definition;
  return last ? std::optional(last->getNextNode()) : std::nullopt;
}

/// Replaces the members by one op: before the first use, or where the last operand is ready. What
/// uses the results and stands earlier follows it.
void FunctionBucketer::place(ArrayRef<CollectiveOpInterface> members) {
  SmallVector<Value> operands, results;
  for (CollectiveOpInterface member : members) {
    llvm::append_range(operands, member->getOperands());
    llvm::append_range(results, member->getResults());
  }
  Operation *point = getFirstUse(results);
  if (!isGather(members.front()))
    point = getReadyPoint(operands).value_or(members.front());
  const OpSet users = getUsersBefore(results, point);
  if (!mayStandBefore(members, point, users))
    return;
  OpBuilder builder(point);
  CollectiveOpInterface first = members.front();
  Operation *group = first.buildGrouped(builder, operands);
  SmallVector<Location> locations;
  for (CollectiveOpInterface member : members)
    locations.push_back(member->getLoc());
  group->setLoc(FusedLoc::get(block.getParentOp()->getContext(), locations));
  moveBefore(users, point);
  hoistViews(group);
  for (auto [result, grouped] : llvm::zip_equal(results, group->getResults()))
    result.replaceAllUsesWith(grouped);
  for (CollectiveOpInterface member : members)
    member->erase();
}

/// Groups the collectives of one level; false if there are none.
bool FunctionBucketer::bucketLevel(unsigned level) {
  int64_t position = 0;
  for (Operation &op : block)
    positions[&op] = position++;
  SmallVector<CollectiveOpInterface> ops;
  std::vector<BucketCandidate> candidates;
  for (Operation &op : block) {
    auto collective = dyn_cast<CollectiveOpInterface>(op);
    if (!collective || !isPure(&op) || getLevel(&op) != level)
      continue;
    ops.push_back(collective);
    candidates.push_back(describe(collective));
  }
  for (const std::vector<size_t> &bucket : formBuckets(candidates, limit)) {
    SmallVector<CollectiveOpInterface> members;
    for (size_t index : bucket)
      members.push_back(ops[index]);
    if (members.size() > 1 || isGather(members.front()))
      place(members);
  }
  return !ops.empty();
}

namespace {
struct BucketCollectives : impl::BucketCollectivesBase<BucketCollectives> {
  using BucketCollectivesBase::BucketCollectivesBase;

  void runOnOperation() override {
    if (limit < 0) {
      getOperation().emitError() << "expects a limit of at least 0 bytes, found "
                                 << static_cast<int64_t>(limit);
      return signalPassFailure();
    }
    for (auto function : getOperation().getOps<func::FuncOp>())
      for (Block &body : function.getBody())
        FunctionBucketer(body, limit).run();
  }
};
} // namespace

} // namespace titan
