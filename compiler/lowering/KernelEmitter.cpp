#include "compiler/lowering/KernelEmitter.h"

#include "compiler/lowering/BeyondCaches.h"
#include "compiler/lowering/ScalarStorage.h"
#include "compiler/lowering/StageBody.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;

namespace titan {

namespace {

/// What is prefetched per row fits in the first-level cache beside the row at hand.
constexpr int64_t kFirstLevelRowBytes = int64_t{12} << 10;
/// Columns computed between two portions of prefetches.
constexpr int64_t kPrefetchColumns = 128;
constexpr int64_t kLineBytes = 64;

/// Writes one stage. Three insertion points follow the three levels of evaluations: before the
/// loop over blocks, in a row before the current columns, and in the innermost loop.
class StageEmitter : StageBody {
public:
  StageEmitter(KernelOp kernel, const KernelTies &ties, const KernelSchedule &schedule,
               unsigned index)
      : StageBody(kernel, ties, schedule, index), values(stage.evaluations.size()) {}

  void emit(StringRef symbol, ModuleOp module, EmittedStage &emitted);

private:
  // Memory.
  void collectPointers(EmittedStage &emitted, llvm::SmallVectorImpl<Type> &types);
  MemRefType getMemory(Type tensor) const;
  MemRefType getPartials(const CrossReduction &reduction) const;
  Value memoryOf(unsigned argument) const { return memory.lookup(argument); }

  // Loops.
  void emitBlocks(Value begin, Value end);
  void emitRows(Value first, Value end);
  Values decodeRow(Value row);
  void emitPrefetches(llvm::ArrayRef<unsigned> operands, Value first, Value end);
  std::pair<Value, Value> emitPortions(const Nest &nest);
  void emitNest(const Nest &nest, Value first, Value end);
  void emitIdentities();
  void emitCombination(Value first, Value end);
  scf::ForOp loop(Value first, Value end, ValueRange carried = {});

  // Scalars.
  void emitEvaluations(const Nest &nest, OpBuilder::InsertPoint row);
  void emitEvaluation(unsigned index);
  void emitRoots(const Nest &nest, Values &carried);
  void accumulate(const CrossReduction &reduction, unsigned index, Value value, ValueRange place);
  Values memoryPlaces(AffineMap map);
  Value lookup(ScalarRef ref) const { return values[ref.evaluation][ref.output]; }

  OpBuilder::InsertPoint preamble;
  llvm::SmallVector<Values> values; // per evaluation, per output
  Value flatIndex;                  // of the element, in a flat stage
  Value block;
  Value row;                                // its number, in a stage that is not flat
  llvm::DenseMap<unsigned, Value> memory;   // by launch argument
  llvm::DenseMap<unsigned, Value> partials; // by cross reduction
  llvm::DenseMap<unsigned, Value> reduced;  // by row reduction
};

} // namespace

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

// A flat stage sees tensors as one row of elements.
MemRefType StageEmitter::getMemory(Type tensor) const {
  auto type = cast<RankedTensorType>(tensor);
  Type element = getStorageType(type.getElementType());
  if (stage.isFlat && type.getRank() != 0)
    return MemRefType::get({type.getNumElements()}, element);
  return MemRefType::get(type.getShape(), element);
}

MemRefType StageEmitter::getPartials(const CrossReduction &reduction) const {
  llvm::SmallVector<int64_t> shape{schedule.stages[0].blocks};
  if (isFirst)
    shape.append(reduction.shape.begin(), reduction.shape.end());
  else
    shape.push_back(product(reduction.shape));
  return MemRefType::get(shape, reduction.type);
}

// Only memory that the stage touches becomes a pointer.
void StageEmitter::collectPointers(EmittedStage &emitted, llvm::SmallVectorImpl<Type> &types) {
  llvm::SmallVector<std::pair<unsigned, Type>> arguments;
  auto add = [&](unsigned argument, Type type) {
    if (!llvm::is_contained(llvm::make_first_range(arguments), argument))
      arguments.push_back({argument, type});
  };
  for (const Evaluation &evaluation : stage.evaluations) {
    if (evaluation.kind == Evaluation::Kind::load)
      add(evaluation.index, kernel.getOperand(evaluation.index).getType());
    if (evaluation.kind == Evaluation::Kind::reload)
      add(resultArgument(evaluation.index), kernel.getResult(evaluation.index).getType());
  }
  for (const Nest &nest : stage.nests)
    for (const Root &root : nest.roots)
      if (root.kind == Root::Kind::store)
        add(resultArgument(root.index), kernel.getResult(root.index).getType());
  llvm::sort(arguments, llvm::less_first());
  for (auto [argument, type] : arguments) {
    emitted.pointers.push_back(
        {argument, 0,
         argument >= kernel.getNumOperands() &&
             isStreamed(kernel, schedule, argument - kernel.getNumOperands())});
    types.push_back(getMemory(type));
  }
  const unsigned scratch = kernel.getNumOperands() + kernel.getNumResults();
  for (auto [index, reduction] : llvm::enumerate(schedule.crossReductions)) {
    if (!isFirst && !llvm::is_contained(stage.combines, index))
      continue;
    emitted.pointers.push_back({scratch, reduction.scratchOffset});
    types.push_back(getPartials(reduction));
  }
}

void StageEmitter::emit(StringRef symbol, ModuleOp module, EmittedStage &emitted) {
  llvm::SmallVector<Type> types;
  collectPointers(emitted, types);
  const size_t numPointers = types.size();
  types.append(2, builder.getI64Type());
  builder.setInsertionPointToEnd(module.getBody());
  auto function = func::FuncOp::create(builder, loc, symbol, builder.getFunctionType(types, {}));
  emitted.function = symbol.str();
  emitted.blocks = stage.blocks;
  Block *body = function.addEntryBlock();
  unsigned nextPartial = 0;
  for (size_t index = 0; index < numPointers; ++index) {
    function.setArgAttr(index, LLVM::LLVMDialect::getNoAliasAttrName(), builder.getUnitAttr());
    const unsigned argument = emitted.pointers[index].argument;
    if (argument < kernel.getNumOperands() + kernel.getNumResults()) {
      memory[argument] = body->getArgument(index);
    } else {
      const unsigned reduction = isFirst ? nextPartial : stage.combines[nextPartial];
      partials[reduction] = body->getArgument(index);
      ++nextPartial;
    }
  }
  builder.setInsertionPointToEnd(body);
  auto toIndex = [&](Value value) -> Value {
    return arith::IndexCastOp::create(builder, loc, builder.getIndexType(), value);
  };
  Value begin = toIndex(body->getArgument(numPointers));
  Value end = toIndex(body->getArgument(numPointers + 1));
  emitBlocks(begin, end);
  builder.setInsertionPointToEnd(body);
  func::ReturnOp::create(builder, loc);
  relaxFloatingPoint(function);
}

//===----------------------------------------------------------------------===//
// Loops
//===----------------------------------------------------------------------===//

// Leaves the builder in the loop's body.
scf::ForOp StageEmitter::loop(Value first, Value end, ValueRange carried) {
  auto op = scf::ForOp::create(builder, loc, first, end, index(1), carried);
  if (carried.empty())
    builder.setInsertionPoint(op.getBody()->getTerminator());
  else
    builder.setInsertionPointToEnd(op.getBody());
  return op;
}

void StageEmitter::emitBlocks(Value begin, Value end) {
  // Stage-level scalars go here, before the loop.
  Operation *marker = index(0).getDefiningOp();
  preamble = OpBuilder::InsertPoint(marker->getBlock(), marker->getIterator());
  scf::ForOp blocks = loop(begin, end);
  block = blocks.getInductionVar();
  Value first = arith::MulIOp::create(builder, loc, block, index(stage.unitsPerBlock));
  Value last = arith::AddIOp::create(builder, loc, first, index(stage.unitsPerBlock));
  if (stage.blocks * stage.unitsPerBlock != stage.units)
    last = arith::MinSIOp::create(builder, loc, last, index(stage.units));
  if (isFirst)
    emitIdentities();
  else
    emitCombination(first, last);
  if (!stage.isFlat)
    return emitRows(first, last);
  emitNest(stage.nests[0], first, last);
}

Values StageEmitter::decodeRow(Value rest) {
  Values decoded(stage.rows.size());
  for (size_t dim = stage.rows.size(); dim-- > 1;) {
    Value bound = index(stage.rows[dim]);
    decoded[dim] = stage.rows[dim] == 1
                       ? index(0)
                       : arith::RemUIOp::create(builder, loc, rest, bound).getResult();
    if (stage.rows[dim] != 1)
      rest = arith::DivUIOp::create(builder, loc, rest, bound);
  }
  decoded[0] = rest;
  return decoded;
}

// Prefetches the columns [first, end) of the next row of large operands. Between the nests of a row
// the processor waits for the reduction and does not run ahead into the next row, nor does the
// hardware prefetch across pages.
void StageEmitter::emitPrefetches(llvm::ArrayRef<unsigned> operands, Value first, Value end) {
  OpBuilder::InsertionGuard guard(builder);
  int64_t rowBytes = 0;
  for (unsigned operand : operands)
    rowBytes += getStorageBytes(kernel.getOperand(operand).getType()) / stage.units;
  Value next = arith::AddIOp::create(builder, loc, row, index(1));
  next = arith::MinSIOp::create(builder, loc, next, index(stage.units - 1));
  const Values nextRow = decodeRow(next);
  for (unsigned operand : operands) {
    OpBuilder::InsertionGuard loopGuard(builder);
    Value memory = memoryOf(operand);
    const int64_t bits = cast<MemRefType>(memory.getType()).getElementTypeBitWidth();
    auto lines = scf::ForOp::create(builder, loc, first, end, index(kLineBytes * 8 / bits));
    builder.setInsertionPoint(lines.getBody()->getTerminator());
    Values place = nextRow;
    place.push_back(lines.getInductionVar());
    memref::PrefetchOp::create(builder, loc, memory, place, /*isWrite=*/false,
                               /*localityHint=*/rowBytes <= kFirstLevelRowBytes ? 3 : 2,
                               /*isDataCache=*/true);
  }
}

// Divides the last column loop of a row, where there were nests before it, into portions that begin
// with prefetches. Returns the bounds of a portion.
std::pair<Value, Value> StageEmitter::emitPortions(const Nest &nest) {
  const llvm::SmallVector<unsigned> operands = findPrefetched(kernel, stage);
  const int64_t columns = nest.columns[0];
  if (operands.empty())
    return {index(0), index(columns)};
  Value step = index(kPrefetchColumns);
  auto portions = scf::ForOp::create(builder, loc, index(0), index(columns), step);
  builder.setInsertionPoint(portions.getBody()->getTerminator());
  Value first = portions.getInductionVar();
  Value end = arith::AddIOp::create(builder, loc, first, step);
  if (columns % kPrefetchColumns != 0)
    end = arith::MinSIOp::create(builder, loc, end, index(columns));
  emitPrefetches(operands, first, end);
  return {first, end};
}

void StageEmitter::emitRows(Value first, Value end) {
  scf::ForOp rows = loop(first, end);
  row = rows.getInductionVar();
  const Values decoded = decodeRow(row);
  for (const Nest &nest : stage.nests) {
    coordinates = decoded;
    emitNest(nest, {}, {});
    builder.setInsertionPoint(rows.getBody()->getTerminator());
  }
}

// The partial results of a block start from the combiner's identity.
void StageEmitter::emitIdentities() {
  for (auto [number, reduction] : llvm::enumerate(schedule.crossReductions)) {
    OpBuilder::InsertionGuard guard(builder);
    Values place{block};
    Value value = identity(reduction.combiner, reduction.type);
    for (int64_t size : reduction.shape)
      place.push_back(loop(index(0), index(size)).getInductionVar());
    memref::StoreOp::create(builder, loc, value, partials[number], place);
  }
}

// Adds the partial results of all blocks of the first stage to those of block 0, in their order.
void StageEmitter::emitCombination(Value first, Value end) {
  for (unsigned number : stage.combines) {
    OpBuilder::InsertionGuard guard(builder);
    const CrossReduction &reduction = schedule.crossReductions[number];
    Value sums = partials[number];
    Value other = loop(index(1), index(schedule.stages[0].blocks)).getInductionVar();
    Value element = loop(first, end).getInductionVar();
    Value zero = index(0);
    Value sum = memref::LoadOp::create(builder, loc, sums, ValueRange{zero, element});
    Value part = memref::LoadOp::create(builder, loc, sums, ValueRange{other, element});
    sum = combine(reduction.combiner, sum, part);
    memref::StoreOp::create(builder, loc, sum, sums, ValueRange{zero, element});
  }
}

void StageEmitter::emitNest(const Nest &nest, Value first, Value end) {
  // Reductions over the columns are carried through the loops.
  Values carried;
  const bool hasLoops = stage.isFlat || !nest.columns.empty();
  llvm::SmallVector<const Root *> reductions;
  for (const Root &root : nest.roots) {
    const bool overColumns =
        root.kind == Root::Kind::rowReduction ||
        (root.kind == Root::Kind::crossReduction && root.place.getNumResults() == 0);
    if (!overColumns || !hasLoops)
      continue;
    reductions.push_back(&root);
    const bool isRow = root.kind == Root::Kind::rowReduction;
    Combiner combiner = isRow ? schedule.rowReductions[root.index].combiner
                              : schedule.crossReductions[root.index].combiner;
    Type type =
        isRow ? schedule.rowReductions[root.index].type : schedule.crossReductions[root.index].type;
    carried.push_back(identity(combiner, type));
  }
  llvm::SmallVector<scf::ForOp> loops;
  // Row-level scalars go before the loops.
  Operation *marker = index(0).getDefiningOp();
  OpBuilder::InsertPoint row(marker->getBlock(), marker->getIterator());
  auto addLoop = [&](Value from, Value to) {
    loops.push_back(loop(from, to, carried));
    carried.assign(loops.back().getRegionIterArgs().begin(),
                   loops.back().getRegionIterArgs().end());
    return loops.back().getInductionVar();
  };
  if (stage.isFlat) {
    flatIndex = addLoop(first, end);
    Value rest = flatIndex;
    coordinates.assign(nest.columns.size(), {});
    for (size_t dim = nest.columns.size(); dim-- > 0;) {
      Value bound = index(nest.columns[dim]);
      coordinates[dim] =
          dim == 0 ? rest : arith::RemUIOp::create(builder, loc, rest, bound).getResult();
      rest = arith::DivUIOp::create(builder, loc, rest, bound);
    }
  } else {
    const bool isLastOfSeveral = stage.nests.size() > 1 && &nest == &stage.nests.back();
    std::pair<Value, Value> bounds;
    if (isLastOfSeveral && nest.columns.size() == 1 && carried.empty())
      bounds = emitPortions(nest);
    for (int64_t columns : nest.columns)
      coordinates.push_back(bounds.first ? addLoop(bounds.first, bounds.second)
                                         : addLoop(index(0), index(columns)));
  }
  emitEvaluations(nest, row);
  emitRoots(nest, carried);
  for (scf::ForOp op : llvm::reverse(loops)) {
    if (!carried.empty()) {
      scf::YieldOp::create(builder, loc, carried);
      carried.assign(op.getResults().begin(), op.getResults().end());
    }
    builder.setInsertionPointAfter(op);
  }
  for (auto [root, value] : llvm::zip(reductions, carried)) {
    if (root->kind == Root::Kind::rowReduction)
      reduced[root->index] = value;
    else
      accumulate(schedule.crossReductions[root->index], root->index, value, {});
  }
}

//===----------------------------------------------------------------------===//
// Scalars
//===----------------------------------------------------------------------===//

void StageEmitter::emitEvaluations(const Nest &nest, OpBuilder::InsertPoint row) {
  auto innermost = builder.saveInsertionPoint();
  const bool isRowLevel = !stage.isFlat && nest.columns.empty();
  for (unsigned number : nest.evaluations) {
    switch (stage.evaluations[number].level) {
    case Level::stage:
      builder.restoreInsertionPoint(preamble);
      break;
    case Level::row:
      builder.restoreInsertionPoint(isRowLevel ? innermost : row);
      break;
    case Level::element:
      builder.restoreInsertionPoint(innermost);
      break;
    }
    emitEvaluation(number);
  }
  builder.restoreInsertionPoint(innermost);
}

void StageEmitter::emitEvaluation(unsigned number) {
  const Evaluation &evaluation = stage.evaluations[number];
  switch (evaluation.kind) {
  case Evaluation::Kind::load:
  case Evaluation::Kind::reload: {
    auto [type, argument] = source(evaluation);
    Value stored =
        memref::LoadOp::create(builder, loc, memoryOf(argument), memoryPlaces(evaluation.place));
    values[number] = {widenFromStorage(builder, loc, stored, type.getElementType())};
    return;
  }
  case Evaluation::Kind::reduced:
    values[number] = {reduced.lookup(evaluation.index)};
    return;
  case Evaluation::Kind::combined:
    values[number] = {memref::LoadOp::create(builder, loc, partials[evaluation.index],
                                             ValueRange{index(0), flatIndex})};
    return;
  case Evaluation::Kind::compute:
    break;
  }
  Values inputs;
  for (ScalarRef input : evaluation.inputs)
    inputs.push_back(lookup(input));
  values[number] = emitCompute(evaluation, inputs);
}

void StageEmitter::emitRoots(const Nest &nest, Values &carried) {
  unsigned next = 0;
  for (const Root &root : nest.roots) {
    Value value = lookup(root.value);
    switch (root.kind) {
    case Root::Kind::store: {
      Type type = kernel.getResult(root.index).getType();
      Type element = cast<RankedTensorType>(type).getElementType();
      value = narrowToStorage(builder, loc, value, element);
      memref::StoreOp::create(builder, loc, value, memoryOf(resultArgument(root.index)),
                              memoryPlaces(root.place));
      break;
    }
    case Root::Kind::rowReduction:
      carried[next] = combine(schedule.rowReductions[root.index].combiner, carried[next], value);
      ++next;
      break;
    case Root::Kind::crossReduction: {
      const CrossReduction &reduction = schedule.crossReductions[root.index];
      const bool hasLoops = stage.isFlat || !nest.columns.empty();
      if (root.place.getNumResults() == 0 && hasLoops) {
        carried[next] = combine(reduction.combiner, carried[next], value);
        ++next;
      } else {
        accumulate(reduction, root.index, value, places(root.place));
      }
      break;
    }
    }
  }
}

// Into the block's own partial results.
void StageEmitter::accumulate(const CrossReduction &reduction, unsigned number, Value value,
                              ValueRange place) {
  Values at{block};
  at.append(place.begin(), place.end());
  Value sum = memref::LoadOp::create(builder, loc, partials[number], at);
  sum = combine(reduction.combiner, sum, value);
  memref::StoreOp::create(builder, loc, sum, partials[number], at);
}

Values StageEmitter::memoryPlaces(AffineMap map) {
  if (stage.isFlat && map.getNumResults() != 0)
    return {flatIndex};
  return places(map);
}

llvm::FailureOr<std::vector<EmittedStage>> emitKernel(KernelOp kernel, const KernelTies &ties,
                                                      StringRef symbol, ModuleOp module) {
  auto schedule = scheduleKernel(kernel);
  if (failed(schedule))
    return failure();
  std::vector<EmittedStage> stages(schedule->stages.size());
  for (auto [index, stage] : llvm::enumerate(stages)) {
    const std::string name = (symbol + "." + llvm::Twine(index)).str();
    StageEmitter(kernel, ties, *schedule, index).emit(name, module, stage);
  }
  return stages;
}

} // namespace titan
