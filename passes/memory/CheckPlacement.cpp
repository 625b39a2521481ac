#include "passes/memory/CheckPlacement.h"

#include "passes/memory/MemoryHistory.h"

using namespace mlir;

namespace titan {
namespace {

using Kind = ResultPlacement::Kind;

class PlacementChecker {
public:
  PlacementChecker(func::FuncOp function, const FunctionLayout &layout,
                   const ValuePlacement &placement)
      : function(function), layout(layout), placement(placement) {
    for (const PlacedCopy &copy : placement.getCopies())
      copies[copy.before].push_back(&copy);
  }

  LogicalResult run();

private:
  ByteRange getRange(Place place, int64_t bytes);
  ByteRange getRange(Value value) {
    return getRange(placement.getPlace(value), getByteSize(value.getType()));
  }
  ByteRange getRange(const FixedRange &fixed, Type type) {
    return {getSpace(fixed.base), fixed.offset, fixed.offset + getByteSize(type)};
  }
  uint64_t getSpace(StringAttr base) {
    return spaces.try_emplace(base, spaces.size()).first->second;
  }

  static uint64_t id(Value value) { return reinterpret_cast<uint64_t>(value.getAsOpaquePointer()); }
  static uint64_t id(Operation *op) { return reinterpret_cast<uint64_t>(op); }
  /// A copy is a value of its own.
  static uint64_t id(const PlacedCopy *copy) { return reinterpret_cast<uint64_t>(copy); }

  LogicalResult checkIntact(Operation *op, uint64_t value, const llvm::Twine &what);
  LogicalResult checkFree(Operation *op, const ByteRange &range, bool writes);
  LogicalResult checkAccesses(Operation *op);
  void startTransfer(StartOp start);
  void endTransfer(AwaitOp await);
  LogicalResult applyCopies(Operation *op);
  LogicalResult checkAt(Operation *op, Value value, const ByteRange &range,
                        const llvm::Twine &what);
  LogicalResult checkOverlaps(Operation *op);
  LogicalResult checkResult(OpResult result, ResultPlacement how);
  LogicalResult checkOp(Operation *op);
  LogicalResult checkEnd(Operation *end);
  bool mayShare(Operation *op, unsigned result, unsigned operand);
  bool isPart(Value part, Value whole, const RankPart &rankPart);
  bool isNoCopy(OpResult result);

  func::FuncOp function;
  const FunctionLayout &layout;
  const ValuePlacement &placement;
  MemoryHistory history;
  llvm::DenseMap<StringAttr, uint64_t> spaces; ///< null stands for the arena
  llvm::DenseMap<Operation *, SmallVector<const PlacedCopy *>> copies;
};

bool isEqual(const ByteRange &a, const ByteRange &b) {
  return a.space == b.space && a.begin == b.begin && a.end == b.end;
}

} // namespace

/// What depends on the rank counts as all that it may be: then the plan is proved for every rank.
ByteRange PlacementChecker::getRange(Place place, int64_t bytes) {
  const Storage &storage = placement.getStorage(place);
  const int64_t base = storage.inArena() ? storage.arenaOffset : storage.fixed.offset;
  return {getSpace(storage.fixed.base), base + place.offset,
          base + place.offset + place.spread() + bytes};
}

bool PlacementChecker::isPart(Value part, Value whole, const RankPart &rankPart) {
  const Place place = placement.getPlace(whole);
  return place.rankPart.count == 1 && placement.getPlace(part) == place.withPart(rankPart);
}

/// Whether the result's memory holds it already.
bool PlacementChecker::isNoCopy(OpResult result) {
  const ResultPlacement how = getPlacement(result);
  return how.kind == Kind::view || how.kind == Kind::assembled ||
         (how.kind == Kind::part &&
          isPart(result, result.getOwner()->getOperand(how.operands[0]), how.rankPart));
}

LogicalResult PlacementChecker::checkIntact(Operation *op, uint64_t value,
                                            const llvm::Twine &what) {
  auto conflict = history.check(value);
  if (!conflict)
    return success();
  auto error = op->emitOpError("reads ")
               << what << ", but its bytes " << conflict->range.begin << " to "
               << conflict->range.end << " have been overwritten";
  if (conflict->writer)
    error.attachNote(reinterpret_cast<Operation *>(conflict->writer)->getLoc())
        << "overwritten here";
  return error;
}

/// Checks that an access of `range` disturbs no collective under way.
LogicalResult PlacementChecker::checkFree(Operation *op, const ByteRange &range, bool writes) {
  auto conflict = history.findHold(range, writes);
  if (!conflict)
    return success();
  auto error = op->emitOpError(writes ? "writes" : "reads")
               << " bytes " << conflict->range.begin << " to " << conflict->range.end
               << " of a collective that is under way";
  error.attachNote(reinterpret_cast<Operation *>(conflict->writer)->getLoc()) << "started here";
  return error;
}

LogicalResult PlacementChecker::applyCopies(Operation *op) {
  for (const PlacedCopy *copy : copies.lookup(op)) {
    if (failed(checkIntact(op, id(copy->value), "a value to copy")))
      return failure();
    const ByteRange to = getRange(copy->to, getByteSize(copy->value.getType()));
    if (failed(checkFree(op, getRange(copy->value), false)) || failed(checkFree(op, to, true)))
      return failure();
    history.write(id(copy), to, id(op));
  }
  return success();
}

/// Checks that `range` holds the value: it lives there, or was copied there for `op`.
LogicalResult PlacementChecker::checkAt(Operation *op, Value value, const ByteRange &range,
                                        const llvm::Twine &what) {
  if (isEqual(getRange(value), range))
    return checkIntact(op, id(value), what);
  for (const PlacedCopy *copy : copies.lookup(op))
    if (copy->value == value && isEqual(getRange(copy->to, getByteSize(value.getType())), range))
      return checkIntact(op, id(copy), what);
  return op->emitOpError("expects ") << what << " at another place than it has";
}

/// Whether a result may stand in the memory of an operand that the op reads.
bool PlacementChecker::mayShare(Operation *op, unsigned result, unsigned operand) {
  if (isa<KernelOp>(op))
    return placement.getTies(op)[result] == static_cast<int>(operand);
  const ResultPlacement how = getPlacement(op->getResult(result));
  if (how.kind == Kind::around && how.operands[0] == operand)
    return isPart(op->getOperand(operand), op->getResult(result), how.rankPart);
  return how.kind == Kind::inPlace && how.operands[0] == operand;
}

LogicalResult PlacementChecker::checkOverlaps(Operation *op) {
  SmallVector<ByteRange> written;
  for (Value result : op->getResults())
    written.push_back(getRange(result));
  if (auto scratch = placement.getScratch(op))
    written.push_back(getRange(*scratch, placement.getStorage(*scratch).bytes));
  for (auto [i, range] : llvm::enumerate(written)) {
    for (auto [j, operand] : llvm::enumerate(op->getOperands())) {
      const bool shares = i < op->getNumResults() && mayShare(op, i, j);
      if (range.overlaps(getRange(operand)) && !(shares && isEqual(range, getRange(operand))))
        return op->emitOpError("writes #") << i << " over operand #" << j << ", which it reads";
    }
    for (size_t j = 0; j < i; ++j)
      if (range.overlaps(written[j]))
        return op->emitOpError("writes #") << i << " over what it writes as #" << j;
  }
  if (auto scratch = placement.getScratch(op))
    history.write(id(op), written.back(), id(op));
  return success();
}

LogicalResult PlacementChecker::checkResult(OpResult result, ResultPlacement how) {
  Operation *op = result.getOwner();
  const ByteRange range = getRange(result);
  if (how.kind == Kind::part && isNoCopy(result)) {
    history.adopt(id(result), range);
  } else if (how.kind == Kind::view) {
    ByteRange part = getRange(op->getOperand(how.operands[0]));
    part.begin += how.byteOffset;
    if (part.space != range.space || part.begin != range.begin || range.end > part.end)
      return op->emitOpError("is a view at another place than its operand");
    history.adopt(id(result), range);
  } else if (how.kind == Kind::assembled) {
    int64_t covered = 0;
    for (auto [operand, offset] : llvm::zip_equal(op->getOperands(), how.offsets)) {
      const int64_t size = getByteSize(operand.getType());
      const ByteRange part = getRange(placement.getPlace(result).shifted(offset), size);
      if (failed(checkAt(op, operand, part, "a part")))
        return failure();
      covered += size;
    }
    if (const int64_t bytes = getByteSize(result.getType()); covered != bytes)
      return op->emitOpError("is assembled from ") << covered << " of " << bytes << " bytes";
    history.adopt(id(result), range);
  } else {
    if (how.kind == Kind::inPlace &&
        failed(checkAt(op, op->getOperand(how.operands[0]), range, "its accumulator")))
      return failure();
    history.write(id(result), range, id(op));
  }
  return success();
}

/// Checks what an op that computes reads and writes against collectives under way.
LogicalResult PlacementChecker::checkAccesses(Operation *op) {
  for (Value operand : op->getOperands())
    if (failed(checkFree(op, getRange(operand), false)))
      return failure();
  for (Value result : op->getResults())
    if (failed(checkFree(op, getRange(result), true)))
      return failure();
  if (auto scratch = placement.getScratch(op))
    return checkFree(op, getRange(*scratch, placement.getStorage(*scratch).bytes), true);
  return success();
}

/// From here to the await the operands are read and the results written at any time. What is
/// updated in place is a result.
void PlacementChecker::startTransfer(StartOp start) {
  std::vector<ByteRange> sources, destinations;
  if (!start.getInPlace())
    for (Value input : start.getInputs())
      sources.push_back(getRange(input));
  for (Value result : start.getResults())
    destinations.push_back(getRange(result));
  history.hold(id(start), std::move(sources), std::move(destinations));
}

void PlacementChecker::endTransfer(AwaitOp await) {
  std::vector<MemoryHistory::Value> values;
  for (Value result : await.getUnderWay())
    values.push_back(id(result));
  StartOp start = await.getStart();
  history.release(id(start), values);
  // What stood in the middle of a result still does.
  for (Value result : start.getResults())
    if (const ResultPlacement how = getPlacement(cast<OpResult>(result)); how.kind == Kind::around)
      if (Value part = start->getOperand(how.operands[0]); isPart(part, result, how.rankPart))
        history.adopt(id(part), getRange(part));
}

LogicalResult PlacementChecker::checkOp(Operation *op) {
  if (isa<LoadOp, StoreOp>(op))
    return success();
  if (auto await = dyn_cast<AwaitOp>(op))
    endTransfer(await);
  for (Value operand : op->getOperands())
    if (failed(checkIntact(op, id(operand), "an operand")))
      return failure();
  if (failed(applyCopies(op)))
    return failure();
  const bool computes =
      llvm::none_of(op->getResults(), [&](OpResult result) { return isNoCopy(result); });
  if (computes && (failed(checkAccesses(op)) || failed(checkOverlaps(op))))
    return failure();
  for (OpResult result : op->getResults())
    if (failed(checkResult(result, getPlacement(result))))
      return failure();
  if (auto start = dyn_cast<StartOp>(op))
    startTransfer(start);
  return success();
}

LogicalResult PlacementChecker::checkEnd(Operation *end) {
  if (failed(applyCopies(end)))
    return failure();
  for (auto [value, fixed] : llvm::zip_equal(end->getOperands(), layout.results))
    if (failed(checkAt(end, value, getRange(fixed, value.getType()), "a result")))
      return failure();
  for (auto store : function.getOps<StoreOp>()) {
    const FixedRange &fixed = layout.variables->find(store.getVariable())->second;
    if (failed(checkAt(end, store.getValue(), getRange(fixed, store.getValue().getType()),
                       "a stored value")))
      return failure();
  }
  return success();
}

LogicalResult PlacementChecker::run() {
  Block &block = function.getBody().front();
  // Arguments and variables are what is in memory at entry.
  for (Value argument : block.getArguments())
    history.adopt(id(argument), getRange(argument));
  for (auto load : block.getOps<LoadOp>())
    history.adopt(id(load.getResult()), getRange(load.getResult()));
  for (Operation &op : block.without_terminator())
    if (failed(checkOp(&op)))
      return failure();
  return checkEnd(block.getTerminator());
}

LogicalResult checkPlacement(func::FuncOp function, const FunctionLayout &layout,
                             const ValuePlacement &placement) {
  return PlacementChecker(function, layout, placement).run();
}

} // namespace titan
