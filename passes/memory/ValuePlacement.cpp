#include "passes/memory/ValuePlacement.h"

#include "passes/kernels/KernelAnalysis.h"
#include "passes/memory/ArenaPacking.h"

using namespace mlir;

namespace titan {

using Kind = ResultPlacement::Kind;

LogicalResult ValuePlacement::run() {
  numberOps();
  computeLastUses();
  Block &block = function.getBody().front();
  for (auto [argument, range] : llvm::zip_equal(block.getArguments(), layout.arguments))
    assign(argument, {getFixedStorage(range, getByteSize(argument.getType())), 0});
  for (Operation &op : block)
    if (auto load = dyn_cast<LoadOp>(op))
      placeLoad(load);
  computeHints();
  for (Operation &op : block.without_terminator())
    if (failed(placeOp(&op)))
      return failure();
  placeReturn(block.getTerminator());
  orderExitCopies();
  packArenaStorages();
  return success();
}

std::optional<Place> ValuePlacement::getScratch(Operation *op) const {
  auto found = scratch.find(op);
  return found == scratch.end() ? std::nullopt : std::optional<Place>({found->second, 0});
}

//===----------------------------------------------------------------------===//
// Lifetimes
//===----------------------------------------------------------------------===//

void ValuePlacement::numberOps() {
  int64_t next = 0;
  for (Operation &op : function.getBody().front())
    positions[&op] = next++;
}

Value ValuePlacement::getGroup(Value value) const {
  auto leader = groups.findLeader(value);
  return leader == groups.member_end() ? value : *leader;
}

/// How many operands share the memory of `operand`, itself included.
unsigned ValuePlacement::countOperandsSharing(Operation *op, Value operand) const {
  return llvm::count_if(op->getOperands(),
                        [&](Value other) { return getGroup(other) == getGroup(operand); });
}

/// Whether an op reads the rank's part of the value, or of a view of it: only what is itself whole
/// on every rank has one.
static bool hasPartRead(Value value) {
  for (Operation *user : value.getUsers())
    for (OpResult result : user->getResults()) {
      const Kind kind = getPlacement(result).kind;
      if (kind == Kind::part || (kind == Kind::view && hasPartRead(result)))
        return true;
    }
  return false;
}

/// Whether a result may be the rank's part of its operand's memory. What leaves the function is
/// copied out instead, so that it does not keep all of that memory.
static bool mayBePart(OpResult result, const ResultPlacement &placement) {
  return placement.kind == Kind::part && placement.rankPart.count &&
         llvm::none_of(result.getUsers(),
                       [](Operation *user) {
                         return isa<StoreOp>(user) || user->hasTrait<OpTrait::IsTerminator>();
                       }) &&
         !hasPartRead(result);
}

/// Whether an operand may be computed in the middle of the op's result: nothing else uses it but
/// what takes the results, and it has memory of its own.
static bool mayBeInside(Operation *op, const ResultPlacement &placement) {
  if (placement.kind != Kind::around)
    return false;
  Value operand = op->getOperand(placement.operands[0]);
  if (llvm::any_of(operand.getUsers(), [&](Operation *user) {
        return user != op && llvm::none_of(user->getOperands(), [&](Value other) {
                 return other.getDefiningOp() == op;
               });
      }))
    return false;
  for (auto result = dyn_cast<OpResult>(operand); result;) {
    const ResultPlacement how = getPlacement(result);
    if (how.kind != Kind::view)
      return how.kind != Kind::assembled && how.kind != Kind::part &&
             !isa<LoadOp>(result.getOwner());
    operand = result.getOwner()->getOperand(how.operands[0]);
    if (!operand.hasOneUse() || getByteSize(operand.getType()) != getByteSize(result.getType()))
      return false;
    result = dyn_cast<OpResult>(operand);
  }
  return false;
}

/// Memory is used as long as any of the values that share it. A store takes effect at the exit.
void ValuePlacement::computeLastUses() {
  Block &block = function.getBody().front();
  for (Operation &op : block)
    for (OpResult result : op.getResults()) {
      ResultPlacement placement = getPlacement(result);
      if (placement.kind == Kind::view || mayBePart(result, placement) ||
          mayBeInside(&op, placement))
        groups.unionSets(op.getOperand(placement.operands[0]), result);
      if (placement.kind == Kind::assembled)
        for (Value operand : op.getOperands())
          groups.unionSets(operand, result);
    }
  const int64_t exit = position(block.getTerminator());
  auto use = [&](Value value, int64_t at) {
    int64_t &last = lastUses.try_emplace(getGroup(value), -1).first->second;
    last = std::max(last, at);
  };
  for (Operation &op : block) {
    for (Value operand : op.getOperands())
      use(operand, isa<StoreOp>(op) ? exit : position(&op));
    for (Value result : op.getResults())
      use(result, position(&op));
  }
}

//===----------------------------------------------------------------------===//
// Hints: where a value will have to be in the end
//===----------------------------------------------------------------------===//

/// The tensor whose front a value is, if that is not much larger; else the value.
static Value getWhole(Value value) {
  const int64_t bytes = getByteSize(value.getType());
  Value whole = value;
  while (auto result = dyn_cast<OpResult>(whole)) {
    const ResultPlacement placement = getPlacement(result);
    if (placement.kind != Kind::view || placement.byteOffset != 0)
      break;
    whole = result.getOwner()->getOperand(placement.operands[0]);
  }
  // What lies elsewhere is copied in any case.
  if (isa<BlockArgument>(whole) || whole.getDefiningOp<LoadOp>())
    return value;
  constexpr int64_t kFewBytes = int64_t{64} << 10;
  const int64_t more = getByteSize(whole.getType()) - bytes;
  return more <= std::max(bytes / 8, kFewBytes) ? whole : value;
}

int64_t getRoom(Value value) { return getByteSize(getWhole(value).getType()); }

void ValuePlacement::computeHints() {
  for (Operation &op : llvm::reverse(function.getBody().front()))
    hintOperands(&op);
}

void ValuePlacement::hintOperands(Operation *op) {
  auto hint = [&](Value value, Place place) {
    if (!isa<BlockArgument>(value) && !value.getDefiningOp<LoadOp>())
      hints.try_emplace(value, place);
  };
  auto hintFixed = [&](Value value, const FixedRange &range) {
    const int64_t bytes = std::max(range.room, getByteSize(value.getType()));
    const Place place = {getFixedStorage(range, bytes), 0};
    hint(value, place);
    if (getRoom(value) <= storages[place.storage].bytes)
      hint(getWhole(value), place);
  };
  if (op->hasTrait<OpTrait::IsTerminator>()) {
    for (auto [value, range] : llvm::zip_equal(op->getOperands(), layout.results))
      hintFixed(value, range);
    return;
  }
  if (auto store = dyn_cast<StoreOp>(op)) {
    hintFixed(store.getValue(), layout.variables->find(store.getVariable())->second);
    return;
  }
  for (OpResult result : op->getResults()) {
    ResultPlacement placement = getPlacement(result);
    auto known = hints.find(result);
    if (placement.kind == Kind::assembled) {
      const Place whole = known != hints.end()
                              ? known->second
                              : Place{addStorage(getByteSize(result.getType())), 0};
      hints[result] = whole;
      for (auto [operand, offset] : llvm::zip_equal(op->getOperands(), placement.offsets))
        hint(operand, whole.shifted(offset));
      continue;
    }
    if (mayBeInside(op, placement)) {
      if (known == hints.end())
        known =
            hints.try_emplace(result, Place{addStorage(getByteSize(result.getType())), 0}).first;
      // Of a part of a part there is no view.
      if (const Place whole = known->second; whole.rankPart.count == 1)
        hint(op->getOperand(placement.operands[0]), whole.withPart(placement.rankPart));
      continue;
    }
    if (known == hints.end())
      continue;
    const Place place = known->second;
    if (placement.kind == Kind::inPlace) {
      Value operand = op->getOperand(placement.operands[0]);
      if (lastUse(operand) == position(op) && countOperandsSharing(op, operand) == 1)
        hint(operand, place);
    }
    if (placement.kind == Kind::view) {
      Value operand = op->getOperand(placement.operands[0]);
      if (getByteSize(operand.getType()) == getByteSize(result.getType()))
        hint(operand, place);
    }
  }
}

//===----------------------------------------------------------------------===//
// Placement
//===----------------------------------------------------------------------===//

unsigned ValuePlacement::addStorage(int64_t bytes, FixedRange fixed) {
  Storage storage;
  storage.bytes = bytes;
  storage.fixed = fixed;
  storages.push_back(storage);
  return storages.size() - 1;
}

unsigned ValuePlacement::getFixedStorage(const FixedRange &range, int64_t bytes) {
  auto [known, isNew] = fixedStorages.try_emplace({range.base, range.offset}, 0);
  if (isNew)
    known->second = addStorage(bytes, range);
  return known->second;
}

void ValuePlacement::assign(Value value, Place place) {
  places[value] = place;
  Storage &storage = storages[place.storage];
  Operation *op = value.getDefiningOp();
  const int64_t begin = op ? position(op) : 0;
  storage.begin = storage.begin < 0 ? begin : std::min(storage.begin, begin);
  storage.end = std::max(storage.end, lastUse(value));
}

void ValuePlacement::placeLoad(LoadOp load) {
  const FixedRange &range = layout.variables->find(load.getVariable())->second;
  const unsigned storage = getFixedStorage(range, getByteSize(load.getType()));
  loads[storage].push_back(load);
  assign(load, {storage, 0});
}

LogicalResult ValuePlacement::placeOp(Operation *op) {
  if (isa<LoadOp>(op))
    return success();
  if (auto store = dyn_cast<StoreOp>(op)) {
    placeStore(store);
    return success();
  }
  if (auto kernel = dyn_cast<KernelOp>(op))
    return placeKernel(kernel);
  if (!isa<BufferingOpInterface>(op))
    return op->emitOpError("has no place in memory: it is no BufferingOpInterface");
  for (OpResult result : op->getResults()) {
    ResultPlacement placement = getPlacement(result);
    switch (placement.kind) {
    case Kind::fresh:
    case Kind::around:
      placeByHint(op, result, {});
      break;
    case Kind::inPlace:
      placeInPlace(op, result.getResultNumber(), placement.operands[0]);
      break;
    case Kind::view:
      placeView(result, op->getOperand(placement.operands[0]), placement.byteOffset);
      break;
    case Kind::assembled:
      placeAssembled(op, placement.offsets);
      break;
    case Kind::part:
      placePart(result, placement);
      break;
    }
  }
  placeScratch(op, cast<BufferingOpInterface>(op).getScratchBytes(layout.computeCapability));
  return success();
}

void ValuePlacement::placeScratch(Operation *op, int64_t bytes) {
  if (bytes == 0)
    return;
  const unsigned storage = addStorage(bytes);
  storages[storage].begin = storages[storage].end = position(op);
  scratch[op] = storage;
}

void ValuePlacement::placeView(Value result, Value operand, int64_t byteOffset) {
  assign(result, getPlace(operand).shifted(byteOffset));
}

void ValuePlacement::placePart(OpResult result, const ResultPlacement &placement) {
  Operation *op = result.getOwner();
  if (mayBePart(result, placement) && !hints.contains(result))
    assign(result, getPlace(op->getOperand(placement.operands[0])).withPart(placement.rankPart));
  else
    placeByHint(op, result, {});
}

/// Whether `op` may write its result to `place` in a variable's memory: the old value is not used
/// later, and if `op` itself reads it, then only through one operand, at that very place, that it
/// may overwrite, or that is the rank's part of what is written.
bool ValuePlacement::mayOverwriteVariable(Operation *op, Place place,
                                          ArrayRef<unsigned> mayOverwrite) {
  for (Value old : loads.lookup(place.storage))
    if (lastUse(old) > position(op))
      return false;
  unsigned overwritten = 0;
  auto isInside = [&](OpResult result, unsigned operand) {
    const ResultPlacement placement = getPlacement(result);
    return mayBeInside(op, placement) && placement.operands[0] == operand &&
           getPlace(op->getOperand(operand)) == place.withPart(placement.rankPart);
  };
  for (auto [i, operand] : llvm::enumerate(op->getOperands())) {
    if (getPlace(operand).storage != place.storage ||
        llvm::any_of(op->getResults(), [&](OpResult result) { return isInside(result, i); }))
      continue;
    if (getPlace(operand) != place || !llvm::is_contained(mayOverwrite, i))
      return false;
    ++overwritten;
  }
  return overwritten <= 1;
}

void ValuePlacement::placeByHint(Operation *op, Value result, ArrayRef<unsigned> mayOverwrite) {
  auto hint = hints.find(result);
  if (hint != hints.end()) {
    const Place place = hint->second;
    if (storages[place.storage].inArena() || mayOverwriteVariable(op, place, mayOverwrite))
      return assign(result, place);
  }
  assign(result, {addStorage(getByteSize(result.getType())), 0});
}

void ValuePlacement::placeInPlace(Operation *op, unsigned resultIndex, unsigned operandIndex) {
  Value result = op->getResult(resultIndex), operand = op->getOperand(operandIndex);
  const Place old = getPlace(operand);
  const Storage &storage = storages[old.storage];
  auto hint = hints.find(result);
  const bool dies = lastUse(operand) == position(op) && countOperandsSharing(op, operand) == 1;
  const bool wanted = hint == hints.end() || hint->second == old;
  const bool writable =
      storage.inArena() || storage.fixed.reusable || (hint != hints.end() && hint->second == old);
  if (dies && wanted && writable) {
    assign(result, old);
    return;
  }
  placeByHint(op, result, {operandIndex});
  if (getPlace(result) != old)
    copies.push_back({op, operand, getPlace(result)});
}

void ValuePlacement::placeAssembled(Operation *op, ArrayRef<int64_t> offsets) {
  Value result = op->getResult(0);
  Place whole = hints.find(result)->second;
  // A part that was not computed in place is copied here, which must not hurt the old value.
  if (!storages[whole.storage].inArena() && !mayAssembleInVariable(op, whole))
    whole = {addStorage(getByteSize(result.getType())), 0};
  assign(result, whole);
  for (auto [operand, offset] : llvm::zip_equal(op->getOperands(), offsets)) {
    const Place part = whole.shifted(offset);
    if (getPlace(operand) != part)
      copies.push_back({op, operand, part});
  }
}

/// Whether no load of the variable is used by or after the op that assembles its new value.
bool ValuePlacement::mayAssembleInVariable(Operation *op, Place whole) {
  for (Value old : loads.lookup(whole.storage))
    if (lastUse(old) >= position(op))
      return false;
  return true;
}

/// Takes over the memory of a dying operand; returns its index, or -1 and leaves the result where
/// it is.
int ValuePlacement::reuseOperand(Operation *op, Value result, ArrayRef<unsigned> operands) {
  for (unsigned index : operands) {
    Value operand = op->getOperand(index);
    const Place place = getPlace(operand);
    const Storage &storage = storages[place.storage];
    const bool whole = place.offset == 0 && storage.bytes == getByteSize(result.getType());
    const bool writable = storage.inArena() || storage.fixed.reusable;
    const bool alone = llvm::count_if(op->getOperands(), [&](Value other) {
                         return getPlace(other).storage == place.storage;
                       }) == 1;
    const bool taken = llvm::any_of(op->getResults(), [&](Value other) {
      return other != result && places.contains(other) && getPlace(other).storage == place.storage;
    });
    if (whole && writable && alone && !taken && storage.end <= position(op)) {
      assign(result, place);
      return index;
    }
  }
  return -1;
}

LogicalResult ValuePlacement::placeKernel(KernelOp kernel) {
  FailureOr<KernelPlan> plan = analyzeKernel(kernel, layout.scheduleOptions);
  if (failed(plan))
    return failure();
  SmallVector<int> &tie = ties[kernel];
  tie.assign(kernel.getNumResults(), -1);
  for (OpResult result : kernel.getResults()) {
    ArrayRef<unsigned> reusable = plan->reusable[result.getResultNumber()];
    int &tied = tie[result.getResultNumber()];
    // A hint into the memory of an operand that the kernel may not overwrite in this result is
    // refused inside, so an operand at the result's place is one of `reusable`.
    if (hints.contains(result)) {
      placeByHint(kernel, result, reusable);
      for (unsigned index : reusable)
        if (getPlace(kernel->getOperand(index)) == getPlace(result))
          tied = index;
    } else {
      places[result] = {~0u, 0};
    }
  }
  for (OpResult result : kernel.getResults()) {
    if (getPlace(result).storage != ~0u)
      continue;
    places.erase(result);
    int &tied = tie[result.getResultNumber()];
    tied = reuseOperand(kernel, result, plan->reusable[result.getResultNumber()]);
    if (tied < 0)
      assign(result, {addStorage(getByteSize(result.getType())), 0});
  }
  placeScratch(kernel, plan->scratchBytes);
  return success();
}

void ValuePlacement::placeStore(StoreOp store) {
  const FixedRange &range = layout.variables->find(store.getVariable())->second;
  const Place target{getFixedStorage(range, getByteSize(store.getValue().getType())), 0};
  if (getPlace(store.getValue()) == target)
    return;
  // Stores take effect at the exit: no earlier load may see the copy.
  copies.push_back({function.getBody().front().getTerminator(), store.getValue(), target});
}

void ValuePlacement::placeReturn(Operation *end) {
  for (auto [value, range] : llvm::zip_equal(end->getOperands(), layout.results)) {
    const Place target{getFixedStorage(range, getByteSize(value.getType())), 0};
    if (getPlace(value) != target)
      copies.push_back({end, value, target});
  }
}

/// Puts the copies at the exit into an order in which each source is read before it is overwritten.
/// Values that change places in a circle have none; the plan's check refuses them.
void ValuePlacement::orderExitCopies() {
  Operation *end = function.getBody().front().getTerminator();
  SmallVector<PlacedCopy> pending;
  llvm::copy_if(copies, std::back_inserter(pending),
                [&](const PlacedCopy &copy) { return copy.before == end; });
  llvm::erase_if(copies, [&](const PlacedCopy &copy) { return copy.before == end; });
  while (!pending.empty()) {
    auto isSafe = [&](const PlacedCopy &copy) {
      return llvm::none_of(pending, [&](const PlacedCopy &other) {
        return &other != &copy && getPlace(other.value).storage == copy.to.storage;
      });
    };
    auto next = llvm::find_if(pending, isSafe);
    if (next == pending.end())
      next = pending.begin();
    copies.push_back(*next);
    pending.erase(next);
  }
}

void ValuePlacement::packArenaStorages() {
  std::vector<BufferLifetime> lifetimes;
  std::vector<Storage *> packed;
  for (Storage &storage : storages)
    if (storage.inArena() && storage.begin >= 0) {
      lifetimes.push_back({storage.bytes, storage.begin, storage.end});
      packed.push_back(&storage);
    }
  ArenaPacking packing = packArena(lifetimes);
  for (auto [storage, offset] : llvm::zip_equal(packed, packing.offsets))
    storage->arenaOffset = offset;
  arenaBytes = packing.bytes;
}

} // namespace titan
