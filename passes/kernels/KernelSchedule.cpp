#include "passes/kernels/KernelSchedule.h"

#include "passes/kernels/KernelBatch.h"

#include "dialects/interfaces/Cost.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MathExtras.h"

#include <numeric>

using namespace mlir;

namespace titan {

LoopKind classify(const IterationSpace &space) {
  llvm::ArrayRef<bool> reduces = space.isReduction;
  if (!llvm::is_contained(reduces, true))
    return LoopKind::pointwise;
  if (!llvm::is_contained(reduces, false))
    return LoopKind::fullReduction;
  const bool leading = llvm::is_sorted(reduces, std::greater<bool>());
  return leading ? LoopKind::columnSum : LoopKind::rowReduction;
}

// A block is enough work to hide handing it out; there are enough of them to feed many threads.
static constexpr int64_t kBytesPerBlock = 32 * 1024;
static constexpr int64_t kMaxBlocks = 256;
static constexpr int64_t kMaxCombiningBlocks = 64;
// Flat blocks begin on a cache line.
static constexpr int64_t kFlatGranule = 64;

static int64_t product(llvm::ArrayRef<int64_t> sizes) {
  return std::accumulate(sizes.begin(), sizes.end(), int64_t{1}, std::multiplies<int64_t>());
}

namespace {

struct OpInfo {
  FusibleOpInterface op;
  IterationSpace space;
  LoopKind kind;
  unsigned reduction = 0; // into the schedule's row or cross reductions
  bool isLate = false;    // depends on a cross reduction, so it waits for a later stage
  bool isYielded = false;
  int after = -1; // the last phase with a row reduction that this op needs; -1 if none
};

/// A root before its nest is known.
struct PendingRoot {
  unsigned op;
  int phase;
  bool storesReduction = false; // stores the row reduction instead of being it
  llvm::SmallVector<int64_t> columns;
};

class Scheduler {
public:
  Scheduler(KernelOp kernel, const ScheduleOptions &options)
      : kernel(kernel), context(kernel.getContext()), options(options) {}
  llvm::FailureOr<KernelSchedule> run();

private:
  LogicalResult collect();
  LogicalResult findRequiredRows();
  std::optional<llvm::SmallVector<int64_t>> chooseRows() const;
  LogicalResult scheduleRows(llvm::ArrayRef<int64_t> rows);
  LogicalResult scheduleLate();
  void divideIntoBlocks();

  bool canBeFlat() const;
  static bool isFlat(const Stage &stage);
  llvm::SmallVector<PendingRoot> collectRoots(unsigned numRows);
  LogicalResult addRoot(const PendingRoot &root);
  LogicalResult addStores(OpInfo &info, AffineMap loops, std::optional<unsigned> evaluation);
  void beginStage();

  std::optional<unsigned> evaluateOp(OpInfo &info, AffineMap loops);
  std::optional<ScalarRef> evaluate(Value value, AffineMap place, Operation *user);
  std::optional<ScalarRef> evaluateReduction(OpInfo &info, AffineMap place, Operation *user);
  unsigned append(Evaluation evaluation);
  Level levelOf(AffineMap map) const;
  AffineMap rootLoops(const OpInfo &info) const;
  AffineMap dims(llvm::ArrayRef<unsigned> positions) const;
  AffineMap identity(unsigned rank) const { return dims(llvm::to_vector(llvm::seq(0u, rank))); }

  KernelOp kernel;
  MLIRContext *context;
  ScheduleOptions options;
  KernelSchedule schedule;
  std::vector<OpInfo> ops;
  llvm::DenseMap<Operation *, unsigned> numbers;
  llvm::DenseMap<Value, llvm::SmallVector<unsigned, 1>> resultsOf;
  unsigned numDims = 0;
  std::optional<llvm::SmallVector<int64_t>> requiredRows;

  // Of the stage being built.
  Stage *stage = nullptr;
  unsigned nest = 0;
  struct Known {
    unsigned evaluation;
    unsigned nest;
  };
  llvm::DenseMap<std::pair<const void *, const void *>, Known> known;
  llvm::DenseMap<unsigned, std::pair<unsigned, AffineMap>> stored; // result -> nest, place
};

} // namespace

AffineMap Scheduler::dims(llvm::ArrayRef<unsigned> positions) const {
  llvm::SmallVector<AffineExpr> places;
  for (unsigned position : positions)
    places.push_back(getAffineDimExpr(position, context));
  return AffineMap::get(numDims, 0, places, context);
}

LogicalResult Scheduler::collect() {
  Operation *yield = kernel.getBody().front().getTerminator();
  for (auto [index, value] : llvm::enumerate(yield->getOperands())) {
    if (isa<BlockArgument>(value))
      return kernel.emitOpError() << "yields its operand as result " << index;
    resultsOf[value].push_back(index);
  }
  for (Operation &op : kernel.getBody().front().without_terminator()) {
    auto fusible = cast<FusibleOpInterface>(op);
    OpInfo info{fusible, fusible.getIterationSpace(), LoopKind::pointwise};
    info.kind = classify(info.space);
    for (Value result : op.getResults())
      info.isYielded |= resultsOf.contains(result);
    for (Value operand : op.getOperands()) {
      auto producer = numbers.find(operand.getDefiningOp());
      if (producer == numbers.end())
        continue;
      const OpInfo &from = ops[producer->second];
      info.isLate |=
          from.isLate || from.kind == LoopKind::columnSum || from.kind == LoopKind::fullReduction;
      const bool reduces = from.kind == LoopKind::rowReduction;
      info.after = std::max(info.after, reduces ? from.after + 1 : from.after);
    }
    if (info.isLate && info.kind != LoopKind::pointwise)
      return op.emitOpError("reduces the result of a reduction over rows in one kernel");
    Type type = getComputeType(cast<RankedTensorType>(op.getResult(0).getType()).getElementType());
    if (info.kind == LoopKind::rowReduction) {
      info.reduction = schedule.rowReductions.size();
      schedule.rowReductions.push_back({info.space.combiner, type});
    } else if (info.kind != LoopKind::pointwise) {
      info.reduction = schedule.crossReductions.size();
      auto shape = cast<RankedTensorType>(op.getResult(0).getType()).getShape();
      schedule.crossReductions.push_back({info.space.combiner, type, llvm::to_vector(shape), 0});
    }
    numDims = std::max<unsigned>(numDims, info.space.bounds.size());
    numbers[&op] = ops.size();
    ops.push_back(std::move(info));
  }
  return success();
}

// Row reductions and column sums say what the rows are; they must agree.
LogicalResult Scheduler::findRequiredRows() {
  for (OpInfo &info : ops) {
    if (info.kind != LoopKind::rowReduction && info.kind != LoopKind::columnSum)
      continue;
    llvm::SmallVector<int64_t> rows;
    for (auto [bound, reduces] : llvm::zip(info.space.bounds, info.space.isReduction))
      if (reduces == (info.kind == LoopKind::columnSum))
        rows.push_back(bound);
    if (requiredRows && *requiredRows != rows)
      return info.op->emitOpError("reduces over other rows than the rest of its kernel");
    requiredRows = rows;
  }
  return success();
}

bool Scheduler::canBeFlat() const {
  if (requiredRows)
    return false;
  const OpInfo *first = nullptr;
  for (const OpInfo &info : ops) {
    if (info.isLate || (!info.isYielded && info.kind == LoopKind::pointwise))
      continue;
    if (first && first->space.bounds != info.space.bounds)
      return false;
    first = &info;
  }
  return true;
}

bool Scheduler::isFlat(const Stage &stage) {
  if (stage.nests.size() != 1)
    return false;
  const size_t rank = stage.nests[0].columns.size();
  auto walksLinearly = [&](AffineMap place) {
    if (place.getNumResults() == 0)
      return true;
    if (place.getNumResults() != rank)
      return false;
    for (auto [index, expression] : llvm::enumerate(place.getResults())) {
      auto dim = dyn_cast<AffineDimExpr>(expression);
      if (!dim || dim.getPosition() != index)
        return false;
    }
    return true;
  };
  for (const Evaluation &evaluation : stage.evaluations) {
    const bool isCompute = evaluation.kind == Evaluation::Kind::compute;
    if (!isCompute && !walksLinearly(evaluation.place))
      return false;
    // Neighbors in memory are not neighbors in a row.
    if (FusibleOpInterface op = evaluation.op; isCompute && op.readsIndices() && rank > 1)
      return false;
  }
  return llvm::all_of(stage.nests[0].roots, [&](const Root &root) {
    return root.kind != Root::Kind::rowReduction && walksLinearly(root.place);
  });
}

// Without reductions that decide, the most rows that leave enough columns to each.
std::optional<llvm::SmallVector<int64_t>> Scheduler::chooseRows() const {
  if (requiredRows)
    return requiredRows;
  llvm::ArrayRef<int64_t> longest;
  size_t common = ~size_t{0};
  for (const OpInfo &info : ops) {
    if (info.isLate || (!info.isYielded && info.kind == LoopKind::pointwise))
      continue;
    llvm::ArrayRef<int64_t> bounds = info.space.bounds;
    if (longest.empty())
      longest = bounds;
    auto [here, there] =
        std::mismatch(bounds.begin(), bounds.end(), longest.begin(), longest.end());
    common = std::min<size_t>(common, here - bounds.begin());
    if (bounds.size() > longest.size())
      longest = bounds;
  }
  if (longest.empty() || common == 0)
    return std::nullopt;
  size_t numRows = common;
  while (numRows > 1 && product(longest.drop_front(numRows)) < options.minColumns)
    --numRows;
  return llvm::to_vector(longest.take_front(numRows));
}

llvm::SmallVector<PendingRoot> Scheduler::collectRoots(unsigned numRows) {
  llvm::SmallVector<PendingRoot> roots;
  for (auto [index, info] : llvm::enumerate(ops)) {
    if (info.isLate || (!info.isYielded && info.kind == LoopKind::pointwise))
      continue;
    PendingRoot root{static_cast<unsigned>(index), info.after + 1, false, {}};
    if (info.kind == LoopKind::rowReduction || info.kind == LoopKind::columnSum) {
      for (auto [bound, reduces] : llvm::zip(info.space.bounds, info.space.isReduction))
        if (reduces == (info.kind == LoopKind::rowReduction))
          root.columns.push_back(bound);
    } else if (info.space.bounds.size() > numRows) {
      llvm::ArrayRef<int64_t> bounds = info.space.bounds;
      root.columns = llvm::to_vector(bounds.drop_front(numRows));
    }
    // A root of the row level may follow the columns that it needs.
    if (root.columns.empty())
      root.phase = std::max(info.after, 0);
    roots.push_back(root);
    if (info.kind == LoopKind::rowReduction && info.isYielded)
      roots.push_back({root.op, root.phase, /*storesReduction=*/true, {}});
  }
  // Within a phase columns come before the row level; else the order of the ops stays.
  auto key = [](const PendingRoot &root) {
    return std::tuple(root.phase, root.columns.empty(), root.op, root.storesReduction);
  };
  llvm::sort(roots, [&](const PendingRoot &a, const PendingRoot &b) { return key(a) < key(b); });
  return roots;
}

AffineMap Scheduler::rootLoops(const OpInfo &info) const {
  const auto rank = static_cast<unsigned>(info.space.bounds.size());
  if (info.kind != LoopKind::rowReduction)
    return identity(rank);
  // Parallel loops are rows, wherever they stand.
  const auto numRows = static_cast<unsigned>(stage->rows.size());
  llvm::SmallVector<unsigned> positions;
  unsigned row = 0, column = numRows;
  for (bool reduces : info.space.isReduction)
    positions.push_back(reduces ? column++ : row++);
  return dims(positions);
}

void Scheduler::beginStage() {
  schedule.stages.emplace_back();
  stage = &schedule.stages.back();
  nest = 0;
  known.clear();
  stored.clear();
}

LogicalResult Scheduler::scheduleRows(llvm::ArrayRef<int64_t> rows) {
  schedule.stages.clear();
  beginStage();
  stage->rows = llvm::to_vector(rows);
  llvm::SmallVector<PendingRoot> roots = collectRoots(rows.size());
  // Nests in order; roots of one phase with the same columns share one.
  llvm::SmallVector<llvm::SmallVector<PendingRoot *>> members;
  llvm::SmallVector<std::pair<int, llvm::ArrayRef<int64_t>>> keys;
  for (PendingRoot &root : roots) {
    std::pair<int, llvm::ArrayRef<int64_t>> key(root.phase, root.columns);
    auto found = llvm::find(keys, key);
    if (found == keys.end()) {
      keys.push_back(key);
      members.push_back({&root});
    } else {
      members[found - keys.begin()].push_back(&root);
    }
  }
  for (auto [index, key] : llvm::enumerate(keys)) {
    nest = index;
    stage->nests.push_back({llvm::to_vector(key.second), {}, {}});
    for (PendingRoot *root : members[index])
      if (failed(addRoot(*root)))
        return failure();
  }
  return success();
}

LogicalResult Scheduler::addRoot(const PendingRoot &pending) {
  OpInfo &info = ops[pending.op];
  llvm::ArrayRef<int64_t> rows = stage->rows;
  const auto numRows = static_cast<unsigned>(rows.size());
  if (pending.storesReduction) {
    AffineMap place = identity(numRows);
    auto value = evaluateReduction(info, place, info.op);
    if (!value)
      return failure();
    for (unsigned result : resultsOf.lookup(info.op->getResult(0)))
      stage->nests[nest].roots.push_back({Root::Kind::store, *value, result, place});
    return success();
  }
  llvm::ArrayRef<int64_t> bounds = info.space.bounds;
  if (info.kind != LoopKind::rowReduction &&
      (bounds.size() < numRows || bounds.take_front(numRows) != rows))
    return info.op->emitOpError("has other leading loops than the rows of its kernel");
  AffineMap loops = rootLoops(info);
  auto evaluation = evaluateOp(info, loops);
  if (!evaluation)
    return failure();
  if (info.kind == LoopKind::pointwise)
    return addStores(info, loops, evaluation);
  const bool isRow = info.kind == LoopKind::rowReduction;
  stage->nests[nest].roots.push_back({isRow ? Root::Kind::rowReduction : Root::Kind::crossReduction,
                                      {*evaluation, 0},
                                      info.reduction,
                                      info.space.outputs[0].map.compose(loops)});
  return success();
}

LogicalResult Scheduler::addStores(OpInfo &info, AffineMap loops,
                                   std::optional<unsigned> evaluation) {
  for (auto [output, access] : llvm::enumerate(info.space.outputs)) {
    AffineMap place = access.map.compose(loops);
    for (unsigned result : resultsOf.lookup(info.op->getResult(access.index))) {
      stage->nests[nest].roots.push_back(
          {Root::Kind::store, {*evaluation, static_cast<unsigned>(output)}, result, place});
      stored.try_emplace(result, nest, place);
    }
  }
  return success();
}

Level Scheduler::levelOf(AffineMap map) const {
  const auto numRows = static_cast<unsigned>(stage->rows.size());
  Level level = Level::stage;
  for (unsigned dim = 0; dim < numDims; ++dim)
    if (map.isFunctionOfDim(dim))
      level = std::max(level, dim < numRows ? Level::row : Level::element);
  return level;
}

unsigned Scheduler::append(Evaluation evaluation) {
  stage->evaluations.push_back(std::move(evaluation));
  const auto index = static_cast<unsigned>(stage->evaluations.size() - 1);
  stage->nests[nest].evaluations.push_back(index);
  return index;
}

std::optional<unsigned> Scheduler::evaluateOp(OpInfo &info, AffineMap loops) {
  std::pair<const void *, const void *> key(info.op.getOperation(), loops.getAsOpaquePointer());
  if (auto found = known.find(key); found != known.end())
    if (stage->evaluations[found->second.evaluation].level != Level::element ||
        found->second.nest == nest)
      return found->second.evaluation;
  Evaluation evaluation{Evaluation::Kind::compute, levelOf(loops), loops, 0, info.op, {}};
  for (const Access &access : info.space.inputs) {
    auto input = evaluate(info.op->getOperand(access.index), access.map.compose(loops), info.op);
    if (!input)
      return std::nullopt;
    evaluation.inputs.push_back(*input);
    evaluation.level = std::max(evaluation.level, stage->evaluations[input->evaluation].level);
  }
  const unsigned index = append(std::move(evaluation));
  known[key] = {index, nest};
  return index;
}

std::optional<ScalarRef> Scheduler::evaluate(Value value, AffineMap place, Operation *user) {
  if (Operation *producer = value.getDefiningOp()) {
    OpInfo &info = ops[numbers.lookup(producer)];
    if (info.kind != LoopKind::pointwise)
      return evaluateReduction(info, place, user);
    bool isReloaded = false;
    if (auto results = resultsOf.find(value); results != resultsOf.end())
      if (auto at = stored.find(results->second.front()); at != stored.end())
        isReloaded = at->second.first < nest && at->second.second == place &&
                     levelOf(place) == Level::element;
    if (!isReloaded) {
      const unsigned output = cast<OpResult>(value).getResultNumber();
      if (info.space.outputs.size() != producer->getNumResults() ||
          !info.space.outputs[output].map.isIdentity()) {
        user->emitOpError("reads, in one kernel, the result of an op whose iterations write more "
                          "than one element");
        return std::nullopt;
      }
      auto evaluation = evaluateOp(info, place);
      if (!evaluation)
        return std::nullopt;
      return ScalarRef{*evaluation, output};
    }
  }
  std::pair<const void *, const void *> key(value.getAsOpaquePointer(), place.getAsOpaquePointer());
  if (auto found = known.find(key); found != known.end())
    if (stage->evaluations[found->second.evaluation].level != Level::element ||
        found->second.nest == nest)
      return ScalarRef{found->second.evaluation};
  Evaluation evaluation{Evaluation::Kind::load, levelOf(place), place, 0, {}, {}};
  if (auto argument = dyn_cast<BlockArgument>(value)) {
    evaluation.index = argument.getArgNumber();
  } else {
    evaluation.kind = Evaluation::Kind::reload;
    evaluation.index = resultsOf.find(value)->second.front();
  }
  const unsigned index = append(std::move(evaluation));
  known[key] = {index, nest};
  return ScalarRef{index};
}

std::optional<ScalarRef> Scheduler::evaluateReduction(OpInfo &info, AffineMap place,
                                                      Operation *user) {
  Evaluation evaluation{Evaluation::Kind::reduced, Level::row, place, info.reduction, {}, {}};
  if (info.kind == LoopKind::rowReduction) {
    if (stage != &schedule.stages[0] || place != identity(stage->rows.size())) {
      user->emitOpError("reads, in one kernel, what another row reduces");
      return std::nullopt;
    }
  } else {
    const auto &reduction = schedule.crossReductions[info.reduction];
    evaluation.kind = Evaluation::Kind::combined;
    evaluation.level = Level::element; // its stage first combines, then reads
    if (place != identity(reduction.shape.size()) ||
        !llvm::is_contained(stage->combines, info.reduction)) {
      user->emitOpError("reads another element of a reduction over rows than its own");
      return std::nullopt;
    }
  }
  std::pair<const void *, const void *> key(info.op.getOperation(), place.getAsOpaquePointer());
  if (auto found = known.find(key); found != known.end())
    return ScalarRef{found->second.evaluation};
  const unsigned index = append(std::move(evaluation));
  known[key] = {index, nest};
  return ScalarRef{index};
}

// One flat stage for each shape of reductions over rows: it combines them and computes what
// follows from them.
LogicalResult Scheduler::scheduleLate() {
  llvm::SmallVector<llvm::SmallVector<int64_t>> shapes;
  for (const CrossReduction &reduction : schedule.crossReductions)
    if (!llvm::is_contained(shapes, reduction.shape))
      shapes.push_back(reduction.shape);
  for (OpInfo &info : ops)
    if (info.isLate && info.isYielded && !llvm::is_contained(shapes, info.space.bounds))
      return info.op->emitOpError("has other loops than the reductions over rows that it follows");
  for (llvm::ArrayRef<int64_t> shape : shapes) {
    beginStage();
    stage->isFlat = true;
    stage->units = product(shape);
    stage->nests.push_back({llvm::to_vector(shape), {}, {}});
    for (auto [index, reduction] : llvm::enumerate(schedule.crossReductions))
      if (llvm::ArrayRef<int64_t>(reduction.shape) == shape)
        stage->combines.push_back(index);
    AffineMap place = identity(shape.size());
    for (OpInfo &info : ops) {
      if (!info.isYielded)
        continue;
      const bool combines =
          info.kind == LoopKind::columnSum || info.kind == LoopKind::fullReduction;
      if (combines && llvm::is_contained(stage->combines, info.reduction)) {
        auto value = evaluateReduction(info, place, info.op);
        if (!value)
          return failure();
        for (unsigned result : resultsOf.lookup(info.op->getResult(0)))
          stage->nests[0].roots.push_back({Root::Kind::store, *value, result, place});
      } else if (info.isLate && llvm::ArrayRef<int64_t>(info.space.bounds) == shape) {
        auto evaluation = evaluateOp(info, place);
        if (!evaluation || failed(addStores(info, place, evaluation)))
          return failure();
      }
    }
    if (!isFlat(*stage))
      return kernel.emitOpError("reads operands in another order than the sums over its rows");
  }
  return success();
}

void Scheduler::divideIntoBlocks() {
  Stage &first = schedule.stages[0];
  const bool reduces = !schedule.crossReductions.empty();
  int64_t bytes = 0;
  for (Type type : llvm::concat<const Type>(llvm::to_vector(kernel.getOperandTypes()),
                                            llvm::to_vector(kernel.getResultTypes())))
    bytes += getByteSize(type);
  auto divide = [](Stage &stage, int64_t fitting, int64_t limit) {
    const int64_t wanted = std::clamp<int64_t>(fitting, 1, std::min(limit, stage.units));
    stage.unitsPerBlock = llvm::divideCeil(stage.units, wanted);
    if (stage.isFlat && stage.unitsPerBlock < stage.units)
      stage.unitsPerBlock = llvm::alignTo(stage.unitsPerBlock, kFlatGranule);
    stage.blocks = llvm::divideCeil(stage.units, stage.unitsPerBlock);
  };
  if (reduces)
    divide(first, bytes / options.bytesPerReducingBlock, options.maxReducingBlocks);
  else
    divide(first, bytes / kBytesPerBlock, kMaxBlocks);
  for (CrossReduction &reduction : schedule.crossReductions) {
    reduction.scratchOffset = schedule.scratchBytes;
    const int64_t size = product(reduction.shape) * reduction.type.getIntOrFloatBitWidth() / 8;
    schedule.scratchBytes += llvm::alignTo(size * first.blocks, 64);
  }
  for (Stage &stage : llvm::drop_begin(schedule.stages))
    divide(stage,
           first.blocks * stage.units * 4 * static_cast<int64_t>(stage.combines.size()) /
               kBytesPerBlock,
           kMaxCombiningBlocks);
}

llvm::FailureOr<KernelSchedule> Scheduler::run() {
  if (failed(collect()) || failed(findRequiredRows()))
    return failure();
  bool flat = false;
  if (canBeFlat()) {
    if (failed(scheduleRows({})))
      return failure();
    flat = isFlat(schedule.stages[0]);
  }
  if (!flat) {
    auto rows = chooseRows();
    if (!rows)
      return kernel.emitOpError("has roots without a common leading loop");
    if (failed(scheduleRows(*rows)))
      return failure();
  }
  Stage &first = schedule.stages[0];
  first.isFlat = flat;
  first.units = flat ? product(first.nests[0].columns) : product(first.rows);
  if (failed(scheduleLate()))
    return failure();
  divideIntoBlocks();
  return std::move(schedule);
}

llvm::FailureOr<KernelSchedule> scheduleKernel(KernelOp kernel, const ScheduleOptions &options) {
  if (!getBatch(kernel).empty())
    return kernel.emitOpError("is a batch of kernels, which only GPUs run");
  return Scheduler(kernel, options).run();
}

} // namespace titan
