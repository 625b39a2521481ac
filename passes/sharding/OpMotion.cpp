#include "passes/sharding/OpMotion.h"

using namespace mlir;

namespace titan {

bool isView(Operation *op) {
  return op->getNumResults() && llvm::all_of(op->getResults(), [](OpResult result) {
           return getPlacement(result).kind == ResultPlacement::Kind::view;
         });
}

bool isPointwise(Operation *op) {
  if (auto kernel = dyn_cast<KernelOp>(op))
    return llvm::all_of(kernel.getBody().front().without_terminator(),
                        [](Operation &inner) { return isPointwise(&inner); });
  auto fusible = dyn_cast<FusibleOpInterface>(op);
  return fusible && fusible.getIterationSpace().combiner == Combiner::none;
}

LoadOp getStored(Value value) {
  Operation *op = value.getDefiningOp();
  if (!op || isa<LoadOp>(op))
    return cast_if_present<LoadOp>(op);
  return op->getNumOperands() == 1 && isPointwise(op) ? getStored(op->getOperand(0)) : LoadOp();
}

Value cloneWithOperands(OpBuilder &builder, Value value, IRMapping &mapping) {
  if (Value known = mapping.lookupOrNull(value))
    return known;
  Operation *op = value.getDefiningOp();
  for (Value operand : op->getOperands())
    cloneWithOperands(builder, operand, mapping);
  Operation *copy = builder.clone(*op, mapping);
  mapping.map(op->getResults(), copy->getResults());
  return mapping.lookup(value);
}

bool isThereAtEntry(Value value) {
  Operation *op = value.getDefiningOp();
  return !op || isa<LoadOp>(op) ||
         ((isView(op) || isPointwise(op)) && llvm::all_of(op->getOperands(), isThereAtEntry));
}

bool mayWaitUntilEnd(Value value) {
  OpSet users(value.user_begin(), value.user_end());
  for (size_t i = 0; i < users.size(); ++i) {
    Operation *user = users[i];
    if (users.size() > kMaxTail || (!isa<StoreOp>(user) && !isPure(user)) ||
        user->hasTrait<OpTrait::IsTerminator>())
      return false;
    users.insert(user->user_begin(), user->user_end());
  }
  return true;
}

Operation *getFirstUse(ValueRange values) {
  Operation *first = nullptr;
  SmallVector<Value> pending(values);
  while (!pending.empty()) {
    for (Operation *user : pending.pop_back_val().getUsers()) {
      if (isView(user) && !isa<AwaitOp>(user))
        llvm::append_range(pending, user->getResults());
      else if (!first || user->isBeforeInBlock(first))
        first = user;
    }
  }
  return first ? first : values.front().getParentBlock()->getTerminator();
}

OpSet getUsersBefore(ValueRange values, Operation *limit) {
  OpSet users;
  auto add = [&](Value value) {
    for (Operation *user : value.getUsers())
      if (user->isBeforeInBlock(limit))
        users.insert(user);
  };
  llvm::for_each(values, add);
  for (size_t i = 0; i < users.size(); ++i)
    llvm::for_each(users[i]->getResults(), add);
  SmallVector<Operation *> sorted = users.takeVector();
  llvm::sort(sorted, [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
  return OpSet(sorted.begin(), sorted.end());
}

void moveBefore(const OpSet &ops, Operation *point) {
  for (Operation *op : ops)
    op->moveBefore(point);
}

void hoistViews(Operation *op) {
  for (Value operand : op->getOperands()) {
    Operation *definition = operand.getDefiningOp();
    if (!definition || definition->isBeforeInBlock(op))
      continue;
    definition->moveBefore(op);
    hoistViews(definition);
  }
}

} // namespace titan
