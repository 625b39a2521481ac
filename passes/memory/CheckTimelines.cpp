#include "passes/memory/CheckTimelines.h"

#include "dialects/exec/Accesses.h"
#include "dialects/interfaces/Cost.h"
#include "passes/memory/SlotHistory.h"

#include <limits>

using namespace mlir;

namespace titan {
namespace {

using BytePair = std::pair<int64_t, int64_t>; ///< begin, end

/// The first of disjoint ranges in order that ends at the byte or later.
template <typename List> auto *findEnd(List &list, int64_t byte) {
  return llvm::lower_bound(list, byte,
                           [](const BytePair &range, int64_t at) { return range.second < at; });
}

/// Bytes of residual classes from the start of a slot: disjoint ranges in order.
class ClassBytes {
public:
  using Range = BytePair;

  void add(StringAttr residualClass, Range range) {
    SmallVector<Range> &list = ranges[residualClass];
    auto *first = findEnd(list, range.first), *last = first;
    for (; last != list.end() && last->first <= range.second; ++last)
      range = {std::min(range.first, last->first), std::max(range.second, last->second)};
    list.insert(list.erase(first, last), range);
  }

  /// The parts of the range that are not there.
  void forEachGap(StringAttr residualClass, Range range,
                  llvm::function_ref<void(Range)> apply) const {
    const ArrayRef<Range> list = get(residualClass);
    int64_t at = range.first;
    for (const auto *it = findEnd(list, at); it != list.end() && it->first < range.second; ++it) {
      if (at < it->first)
        apply({at, it->first});
      at = std::max(at, it->second);
    }
    if (at < range.second)
      apply({at, range.second});
  }

  ArrayRef<Range> get(StringAttr residualClass) const {
    const auto found = ranges.find(residualClass);
    return found == ranges.end() ? ArrayRef<Range>() : ArrayRef(found->second);
  }

private:
  llvm::DenseMap<StringAttr, SmallVector<Range>> ranges;
};

/// What a function reads in slots before it writes it there, and what it writes.
struct FunctionBytes {
  ClassBytes reads, writes;
};

class TimelineChecker {
public:
  explicit TimelineChecker(ModuleOp module) : module(module) {
    for (auto residualClass : module.getOps<exec::ResidualClassOp>())
      classes[residualClass.getSymNameAttr()] = residualClass;
  }

  LogicalResult check(exec::TimelineOp timeline) {
    for (Region &section : timeline->getRegions())
      if (failed(checkSection(section)))
        return failure();
    return success();
  }

private:
  FunctionBytes &getBytes(exec::FuncOp function);
  void addAccesses(exec::FuncOp function, FunctionBytes &bytes);
  std::vector<SlotInput> getInputs();
  LogicalResult checkSection(Region &section);
  SlotEntry makeEntry(exec::ActionOp action);
  LogicalResult fail(const SlotConflict &conflict, ArrayRef<exec::ActionOp> actions);
  ByteRange getRange(exec::ResidualClassOp residualClass, int64_t slot, int64_t begin,
                     int64_t end) {
    const int64_t offset = residualClass.getOffset() + slot * residualClass.getBytes();
    return {reinterpret_cast<uintptr_t>(residualClass.getSegmentAttr().getAsOpaquePointer()),
            offset + begin, offset + end};
  }

  ModuleOp module;
  SymbolTableCollection symbols;
  llvm::DenseMap<StringAttr, exec::ResidualClassOp> classes;
  llvm::DenseMap<Operation *, FunctionBytes> functions;
};

} // namespace

void TimelineChecker::addAccesses(exec::FuncOp function, FunctionBytes &bytes) {
  auto forEach = [&](ArrayRef<Value> buffers,
                     llvm::function_ref<void(StringAttr, ClassBytes::Range)> apply) {
    for (Value value : buffers) {
      auto buffer = value.getDefiningOp<exec::BufferOp>();
      const StringAttr base = buffer.getBaseAttr().getAttr();
      if (classes.contains(base))
        exec::forEachStretch(buffer.getOffset(), cast<MemRefType>(value.getType()),
                             std::numeric_limits<int64_t>::max(),
                             [&](int64_t begin, int64_t end) { apply(base, {begin, end}); });
    }
  };
  for (Operation &op : *function.getBody()) {
    if (isa<exec::BufferOp, exec::AwaitOp>(op))
      continue;
    const exec::Accesses accesses = exec::getAccesses(&op, symbols);
    const auto read = [&](StringAttr base, ClassBytes::Range range) {
      bytes.writes.forEachGap(base, range,
                              [&](ClassBytes::Range gap) { bytes.reads.add(base, gap); });
    };
    const auto write = [&](StringAttr base, ClassBytes::Range range) {
      bytes.writes.add(base, range);
    };
    forEach(accesses.reads, read);
    forEach(accesses.updates, read);
    forEach(accesses.writes, write);
    forEach(accesses.updates, write);
  }
}

FunctionBytes &TimelineChecker::getBytes(exec::FuncOp function) {
  auto [known, isNew] = functions.try_emplace(function);
  if (isNew)
    addAccesses(function, known->second);
  return known->second;
}

std::vector<SlotInput> TimelineChecker::getInputs() {
  std::vector<SlotInput> inputs;
  for (auto variable : module.getOps<exec::VariableOp>()) {
    const auto found = classes.find(variable.getBaseAttr().getAttr());
    if (variable.getRole() != exec::Role::Input || found == classes.end())
      continue;
    const int64_t bytes = getByteSize(variable.getType());
    for (int64_t slot = 0; slot < static_cast<int64_t>(found->second.getSlots()); ++slot)
      inputs.push_back(
          {getRange(found->second, slot, variable.getOffset(), variable.getOffset() + bytes),
           slot});
  }
  return inputs;
}

SlotEntry TimelineChecker::makeEntry(exec::ActionOp action) {
  SlotEntry entry;
  entry.microbatch = action.getMicrobatch();
  entry.kind = action.getMode() == exec::Mode::Run     ? SlotEntry::Kind::run
               : action.getMode() == exec::Mode::Start ? SlotEntry::Kind::start
                                                       : SlotEntry::Kind::await;
  if (entry.kind == SlotEntry::Kind::await)
    return entry;
  FunctionBytes &bytes =
      getBytes(symbols.lookupNearestSymbolFrom<exec::FuncOp>(module, action.getFunctionAttr()));
  for (auto slot : action.getSlots().getAsRange<exec::SlotAttr>()) {
    const StringAttr name = slot.getResidualClass().getAttr();
    auto append = [&](const ClassBytes &from, std::vector<ByteRange> &to) {
      for (auto [begin, end] : from.get(name))
        to.push_back(getRange(classes.at(name), slot.getIndex(), begin, end));
    };
    append(bytes.reads, entry.reads);
    append(bytes.writes, entry.writes);
  }
  return entry;
}

LogicalResult TimelineChecker::checkSection(Region &section) {
  SmallVector<exec::ActionOp> actions(section.getOps<exec::ActionOp>());
  std::vector<SlotEntry> entries;
  // The latest start of a function for a microbatch of a stage, which its await ends.
  using Transfer = std::tuple<int, Attribute, int64_t, int64_t>;
  llvm::DenseMap<Transfer, size_t> started;
  for (exec::ActionOp action : actions) {
    SlotEntry &entry = entries.emplace_back(makeEntry(action));
    const Transfer key{static_cast<int>(action.getLetter()), action.getFunctionAttr(),
                       action.getStage(), action.getMicrobatch()};
    if (entry.kind == SlotEntry::Kind::start)
      started[key] = entries.size() - 1;
    else if (entry.kind == SlotEntry::Kind::await)
      entry.started = started.at(key);
  }
  const auto conflict = findSlotConflict(entries, getInputs());
  return conflict ? fail(*conflict, actions) : success();
}

LogicalResult TimelineChecker::fail(const SlotConflict &conflict,
                                    ArrayRef<exec::ActionOp> actions) {
  using Kind = SlotConflict::Kind;
  exec::ActionOp action = actions[conflict.entry];
  auto error = action.emitOpError("of stage ")
               << action.getStage() << " microbatch " << action.getMicrobatch()
               << (conflict.kind == Kind::underWay ? " disturbs" : " reads") << " bytes "
               << conflict.range.begin << " to " << conflict.range.end << " of residuals, which ";
  switch (conflict.kind) {
  case Kind::unwritten:
    return error << "nothing has written";
  case Kind::foreign:
    error << "hold microbatch " << conflict.microbatch;
    break;
  case Kind::overwritten:
    error << "have been overwritten for the same microbatch";
    break;
  case Kind::underWay:
    error << "a transfer under way uses";
    break;
  }
  if (conflict.other)
    error.attachNote(actions[*conflict.other]->getLoc())
        << (conflict.kind == Kind::underWay ? "started here" : "written here");
  return error;
}

LogicalResult checkTimelines(ModuleOp module) {
  TimelineChecker checker(module);
  for (auto timeline : module.getOps<exec::TimelineOp>())
    if (failed(checker.check(timeline)))
      return failure();
  return success();
}

} // namespace titan
