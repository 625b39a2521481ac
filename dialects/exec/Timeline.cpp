// Verifiers of timelines.
#include "dialects/exec/Exec.h"

#include "llvm/ADT/DenseMap.h"

using namespace mlir;
using namespace titan::exec;

LogicalResult ActionOp::verify() {
  if (getStage() < 0 || getMicrobatch() < 0)
    return emitOpError("stage and microbatch are at least 0, found ")
           << getStage() << " and " << getMicrobatch();
  llvm::SmallPtrSet<Attribute, 4> seen;
  for (auto slot : getSlots().getAsRange<SlotAttr>())
    if (!seen.insert(slot.getResidualClass()).second)
      return emitOpError("binds residual class '")
             << slot.getResidualClass().getValue() << "' twice";
  return success();
}

// The first buffer of each segment and residual class that a function uses: a timeline has many
// entries, and a function many buffers.
static SmallVector<BufferOp> findBases(FuncOp function) {
  llvm::SmallPtrSet<Attribute, 8> seen;
  SmallVector<BufferOp> first;
  for (auto buffer : function.getBody()->getOps<BufferOp>())
    if (seen.insert(buffer.getBaseAttr()).second)
      first.push_back(buffer);
  return first;
}

// The residual classes that a function's buffers live in must all be bound.
static LogicalResult verifyBound(ActionOp op, FuncOp function, ArrayRef<BufferOp> bases,
                                 SymbolTableCollection &symbols) {
  llvm::SmallPtrSet<Attribute, 4> bound;
  for (auto slot : op.getSlots().getAsRange<SlotAttr>())
    bound.insert(slot.getResidualClass());
  for (BufferOp buffer : bases) {
    if (bound.contains(buffer.getBaseAttr()) ||
        !symbols.lookupNearestSymbolFrom<ResidualClassOp>(op, buffer.getBaseAttr()))
      continue;
    auto error = op.emitOpError("binds no slot of residual class '")
                 << buffer.getBase() << "', which '" << function.getSymName() << "' uses";
    error.attachNote(buffer.getLoc()) << "used here";
    return error;
  }
  return success();
}

// A rank's timeline uses memory that the rank has.
static LogicalResult verifyMemory(ActionOp op, TimelineOp timeline, FuncOp function,
                                  ArrayRef<BufferOp> bases, SymbolTableCollection &symbols) {
  for (BufferOp buffer : bases) {
    FlatSymbolRefAttr base = buffer.getBaseAttr();
    if (auto residualClass = symbols.lookupNearestSymbolFrom<ResidualClassOp>(timeline, base))
      base = residualClass.getSegmentAttr();
    auto segment = symbols.lookupNearestSymbolFrom<SegmentOp>(timeline, base);
    if (!segment || segment.isOnRank(timeline.getPipelineRank()))
      continue;
    auto error = op.emitOpError("runs '")
                 << function.getSymName() << "', which uses segment '" << segment.getSymName()
                 << "' of rank " << *segment.getPipelineRank();
    if (timeline.getPipelineRank())
      error << ", in a timeline of rank " << *timeline.getPipelineRank();
    else
      error << ", in a timeline of all ranks";
    error.attachNote(buffer.getLoc()) << "used here";
    return error;
  }
  return success();
}

LogicalResult ActionOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto timeline = (*this)->getParentOfType<TimelineOp>();
  auto function = symbols.lookupNearestSymbolFrom<FuncOp>(timeline, getFunctionAttr());
  if (!function)
    return emitOpError("'") << getFunction() << "' is no function";
  if (function.getAsync() != (getMode() != Mode::Run))
    return emitOpError() << (function.getAsync() ? "starts or awaits" : "runs") << " function '"
                         << getFunction() << "', which is " << (function.getAsync() ? "" : "not ")
                         << "async, found " << stringifyMode(getMode());
  for (auto slot : getSlots().getAsRange<SlotAttr>()) {
    auto residualClass =
        symbols.lookupNearestSymbolFrom<ResidualClassOp>(timeline, slot.getResidualClass());
    if (!residualClass)
      return emitOpError("'") << slot.getResidualClass().getValue() << "' is no residual class";
    if (slot.getIndex() < 0 || slot.getIndex() >= residualClass.getSlots())
      return emitOpError("slot ") << slot.getIndex() << " of residual class '"
                                  << slot.getResidualClass().getValue()
                                  << "' does not exist: it has " << residualClass.getSlots();
  }
  const SmallVector<BufferOp> bases = findBases(function);
  if (failed(verifyMemory(*this, timeline, function, bases, symbols)))
    return failure();
  return verifyBound(*this, function, bases, symbols);
}

void TimelineOp::build(OpBuilder &builder, OperationState &state, StringRef name) {
  state.getOrAddProperties<Properties>().sym_name = builder.getStringAttr(name);
  for (int i = 0; i < 3; ++i)
    state.addRegion()->emplaceBlock();
}

namespace {
/// One microbatch on one stage.
using Work = std::pair<int64_t, int64_t>;

/// Checks one section of a timeline.
class SectionVerifier {
public:
  explicit SectionVerifier(bool isBody) : isBody(isBody) {}

  LogicalResult verify(Block &section);

private:
  LogicalResult verifyLetter(ActionOp action);
  LogicalResult verifyOrder(ActionOp action, Work work);
  LogicalResult verifyMode(ActionOp action);
  void findLastUses(Block &section);
  LogicalResult verifySlots(ActionOp action);

  bool isBody;
  /// Letters that have run, by work.
  llvm::DenseMap<Work, llvm::SmallDenseSet<int>> done;
  llvm::DenseMap<std::tuple<int, Attribute, int64_t, int64_t>, ActionOp> started;
  /// Slot to the microbatch that owns it, and a microbatch's last entry that binds its slot.
  llvm::DenseMap<std::pair<Attribute, int64_t>, int64_t> owners;
  llvm::DenseMap<std::pair<Attribute, int64_t>, Operation *> lastUses;
  /// Slots that a receive under way fills.
  llvm::DenseMap<std::pair<Attribute, int64_t>, ActionOp> receiving;
};
} // namespace

static Work workOf(ActionOp action) { return {action.getStage(), action.getMicrobatch()}; }

LogicalResult SectionVerifier::verifyLetter(ActionOp action) {
  const Action letter = action.getLetter();
  const bool inBody = letter == Action::Forward || letter == Action::Backward ||
                      letter == Action::InputBackward || letter == Action::WeightBackward ||
                      letter == Action::Send || letter == Action::Receive;
  const bool outside = letter == Action::Prologue || letter == Action::Update;
  if ((isBody && outside) || (!isBody && inBody))
    return action.emitOpError() << stringifyAction(letter) << " stands "
                                << (outside ? "in the prologue or epilogue" : "in the body");
  return success();
}

LogicalResult SectionVerifier::verifyOrder(ActionOp action, Work work) {
  if (action.getMode() == Mode::Await)
    return success();
  const Action letter = action.getLetter();
  auto &before = done[work];
  auto needs = [&](Action other) -> LogicalResult {
    if (before.contains(static_cast<int>(other)))
      return success();
    return action.emitOpError() << stringifyAction(letter) << " of stage " << work.first
                                << " microbatch " << work.second << " needs an earlier "
                                << stringifyAction(other);
  };
  if ((letter == Action::Backward || letter == Action::InputBackward) &&
      failed(needs(Action::Forward)))
    return failure();
  if (letter == Action::WeightBackward && failed(needs(Action::InputBackward)))
    return failure();
  const bool once = letter == Action::Forward || letter == Action::Backward ||
                    letter == Action::InputBackward || letter == Action::WeightBackward;
  if (!before.insert(static_cast<int>(letter)).second && once)
    return action.emitOpError() << stringifyAction(letter) << " of stage " << work.first
                                << " microbatch " << work.second << " stands twice";
  return success();
}

LogicalResult SectionVerifier::verifyMode(ActionOp action) {
  const auto key =
      std::make_tuple(static_cast<int>(action.getLetter()), Attribute(action.getFunctionAttr()),
                      workOf(action).first, workOf(action).second);
  if (action.getMode() == Mode::Start) {
    if (!started.try_emplace(key, action).second)
      return action.emitOpError("starts again before it is awaited");
  } else if (action.getMode() == Mode::Await) {
    auto start = started.find(key);
    if (start == started.end())
      return action.emitOpError("awaits what was not started in this section");
    if (start->second.getSlots() != action.getSlots())
      return action.emitOpError("binds other slots than its start");
    started.erase(start);
  }
  return success();
}

void SectionVerifier::findLastUses(Block &section) {
  for (auto action : section.getOps<ActionOp>())
    for (auto slot : action.getSlots().getAsRange<SlotAttr>())
      lastUses[{slot.getResidualClass(), action.getMicrobatch()}] = action;
}

LogicalResult SectionVerifier::verifySlots(ActionOp action) {
  const int64_t microbatch = action.getMicrobatch();
  for (auto slot : action.getSlots().getAsRange<SlotAttr>()) {
    const std::pair<Attribute, int64_t> key{slot.getResidualClass(), slot.getIndex()};
    const auto [owner, isNew] = owners.try_emplace(key, microbatch);
    if (!isNew && owner->second != microbatch)
      return action.emitOpError("slot ")
             << slot.getIndex() << " of residual class '" << slot.getResidualClass().getValue()
             << "' still belongs to microbatch " << owner->second;
    const bool receives = action.getLetter() == Action::Receive;
    if (receives && action.getMode() == Mode::Await)
      receiving.erase(key);
    else if (auto start = receiving.find(key); start != receiving.end()) {
      auto error = action.emitOpError("uses slot ")
                   << slot.getIndex() << " of residual class '"
                   << slot.getResidualClass().getValue() << "', which a receive fills";
      error.attachNote(start->second.getLoc()) << "started here";
      return error;
    } else if (receives && action.getMode() == Mode::Start)
      receiving[key] = action;
    if (lastUses[{slot.getResidualClass(), microbatch}] == action)
      owners.erase(key);
  }
  return success();
}

LogicalResult SectionVerifier::verify(Block &section) {
  findLastUses(section);
  for (Operation &op : section) {
    auto action = dyn_cast<ActionOp>(op);
    if (!action)
      return op.emitOpError("is no action: a timeline holds exec.action only");
    const Work work = workOf(action);
    if (failed(verifyLetter(action)) || failed(verifyOrder(action, work)) ||
        failed(verifyMode(action)) || failed(verifySlots(action)))
      return failure();
  }
  for (auto &[key, action] : started)
    return action.emitOpError("is never awaited in its section");
  return success();
}

LogicalResult TimelineOp::verifyRegions() {
  if (failed(verifyPipelineRank(*this, getPipelineRank())))
    return failure();
  for (Region *region : {&getPrologue(), &getBodyRegion(), &getEpilogue()})
    if (failed(SectionVerifier(region == &getBodyRegion()).verify(region->front())))
      return failure();
  return success();
}
