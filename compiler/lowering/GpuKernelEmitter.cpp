#include "compiler/lowering/GpuStageEmitter.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;

namespace titan {

/// What a block may keep of its columns' sums in shared memory, beside the room that reductions
/// need; what is more goes through global memory.
static constexpr int64_t kSharedBytes = 40 * 1024;
static constexpr int64_t kAlignment = 16;
static constexpr int32_t kWholeWarp = -1;

//===----------------------------------------------------------------------===//
// The function
//===----------------------------------------------------------------------===//

LogicalResult GpuStageEmitter::checkTypes() {
  auto isKnown = [](Type type) {
    Type element = cast<RankedTensorType>(type).getElementType();
    return element.isF32() || element.isBF16() || element.isF16() || element.isInteger(32);
  };
  for (Type type : llvm::concat<const Type>(llvm::to_vector(kernel->getOperandTypes()),
                                            llvm::to_vector(kernel->getResultTypes())))
    if (!isKnown(type))
      return kernel.emitOpError() << "has an operand or result of type " << type
                                  << ", but GPU kernels take f32, bf16, f16 and i32";
  [[maybe_unused]] auto isFloat = [](const auto &reduction) { return reduction.type.isF32(); };
  assert(llvm::all_of(schedule.rowReductions, isFloat) &&
         llvm::all_of(schedule.crossReductions, isFloat) && "16-bit floats are added up in f32");
  return success();
}

bool GpuStageEmitter::stores(unsigned argument) const {
  return llvm::any_of(stage.nests, [&](const Nest &nest) {
    return llvm::any_of(nest.roots, [&](const Root &root) {
      return root.kind == Root::Kind::store && resultArgument(root.index) == argument;
    });
  });
}

llvm::SmallVector<Type> getBufferTypes(KernelOp kernel, int64_t scratchBytes) {
  // LLVM does not find out by itself where a pointer leads that was chosen among many.
  auto space = gpu::AddressSpaceAttr::get(kernel.getContext(), gpu::AddressSpace::Global);
  llvm::SmallVector<Type> types;
  auto add = [&](int64_t elements, Type element) {
    types.push_back(MemRefType::get({elements}, element, MemRefLayoutAttrInterface(), space));
  };
  for (Type type : llvm::concat<const Type>(llvm::to_vector(kernel->getOperandTypes()),
                                            llvm::to_vector(kernel->getResultTypes()))) {
    auto tensor = cast<RankedTensorType>(type);
    add(tensor.getNumElements(), tensor.getElementType());
  }
  if (scratchBytes != 0)
    add(scratchBytes / 4, Float32Type::get(kernel.getContext()));
  return types;
}

GpuFrame createGpuFunction(Location loc, StringRef symbol, gpu::GPUModuleOp module,
                           llvm::ArrayRef<Type> buffers, int64_t threads,
                           llvm::function_ref<bool(unsigned)> isWritten) {
  auto builder = OpBuilder::atBlockEnd(module.getBody());
  auto function =
      gpu::GPUFuncOp::create(builder, loc, symbol, builder.getFunctionType(buffers, {}));
  function->setAttr(gpu::GPUDialect::getKernelFuncAttrName(), builder.getUnitAttr());
  function.setKnownBlockSizeAttr(
      builder.getDenseI32ArrayAttr({static_cast<int32_t>(threads), 1, 1}));
  for (unsigned index = 0; index < buffers.size(); ++index) {
    function.setArgAttr(index, LLVM::LLVMDialect::getNoAliasAttrName(), builder.getUnitAttr());
    function.setArgAttr(index, LLVM::LLVMDialect::getAlignAttrName(),
                        builder.getI64IntegerAttr(kAlignment));
    if (!isWritten(index))
      function.setArgAttr(index, LLVM::LLVMDialect::getReadonlyAttrName(), builder.getUnitAttr());
  }
  Block &body = function.getBody().front();
  builder.setInsertionPointToEnd(&body);
  Value thread = gpu::ThreadIdOp::create(builder, loc, gpu::Dimension::x);
  Value block = gpu::BlockIdOp::create(builder, loc, gpu::Dimension::x);
  return {function,
          builder.saveInsertionPoint(),
          Values(body.args_begin(), body.args_end()),
          thread,
          block,
          {}};
}

void finishGpuFunction(gpu::GPUFuncOp function) {
  auto builder = OpBuilder::atBlockEnd(&function.getBody().front());
  gpu::ReturnOp::create(builder, function.getLoc());
  relaxFloatingPoint(function);
}

const GpuMapping &GpuStageEmitter::mapThreads(int64_t threads) {
  if (!isFirst) {
    mapping.threads = kCombiningWarps * kWarp;
    mapping.blocks = llvm::divideCeil(stage.units, kWarp);
    mapping.widths = {1};
    return mapping;
  }
  const bool reduces = !schedule.crossReductions.empty();
  mapping =
      stage.isFlat ? mapFlat(kernel, stage, reduces, threads) : mapRows(kernel, stage, reduces);
  return mapping;
}

Value GpuStageEmitter::allocateShared(int64_t elements) {
  auto space = gpu::AddressSpaceAttr::get(builder.getContext(), gpu::AddressSpace::Workgroup);
  auto type = MemRefType::get({elements}, builder.getF32Type(), MemRefLayoutAttrInterface(), space);
  gpu::GPUFuncOp function = frame.function;
  // A block runs one kernel of a batch: these share what each has allocated.
  if (numShared < function.getNumWorkgroupAttributions()) {
    BlockArgument memory = function.getWorkgroupAttributions()[numShared++];
    if (cast<MemRefType>(memory.getType()).getNumElements() < elements)
      memory.setType(type);
    return memory;
  }
  ++numShared;
  Value memory = function.addWorkgroupAttribution(type, loc);
  function.setWorkgroupAttributionAttr(function.getNumWorkgroupAttributions() - 1,
                                       LLVM::LLVMDialect::getAlignAttrName(),
                                       builder.getI64IntegerAttr(kAlignment));
  return memory;
}

LogicalResult GpuStageEmitter::emit(const GpuFrame &into) {
  frame = into;
  builder.restoreInsertionPoint(frame.point);
  reduction.emplace(builder, loc, frame.thread,
                    [this](int64_t elements) { return allocateShared(elements); });
  // Stage-level scalars go here.
  Operation *marker = index(0).getDefiningOp();
  preamble = OpBuilder::InsertPoint(marker->getBlock(), marker->getIterator());
  if (!isFirst)
    emitCombination();
  else if (stage.isFlat)
    emitFlat();
  else
    return emitRows();
  return success();
}

//===----------------------------------------------------------------------===//
// Loops
//===----------------------------------------------------------------------===//

// Leaves the builder in the loop's body.
scf::ForOp GpuStageEmitter::loop(Value first, Value end, Value step, ValueRange carried) {
  auto op = scf::ForOp::create(builder, loc, first, end, step, carried);
  if (carried.empty())
    builder.setInsertionPoint(op.getBody()->getTerminator());
  else
    builder.setInsertionPointToEnd(op.getBody());
  return op;
}

Values GpuStageEmitter::decode(Value rest, llvm::ArrayRef<int64_t> sizes) {
  Values decoded(sizes.size());
  for (size_t dim = sizes.size(); dim-- > 0;) {
    if (dim == 0) {
      decoded[dim] = rest;
    } else if (sizes[dim] == 1) {
      decoded[dim] = index(0);
    } else {
      Value bound = index(sizes[dim]);
      decoded[dim] = arith::RemUIOp::create(builder, loc, rest, bound);
      rest = arith::DivUIOp::create(builder, loc, rest, bound);
    }
  }
  return decoded;
}

void GpuStageEmitter::emitFlat() {
  const Nest &nest = stage.nests[0];
  width = mapping.widths[0];
  const bool reduces = !schedule.crossReductions.empty();
  Value own = arith::MulIOp::create(builder, loc, frame.thread, index(width));
  Value first, end = index(stage.units);
  int64_t step = mapping.threads * width;
  if (reduces) {
    Value begin = arith::MulIOp::create(builder, loc, frame.block, index(stage.unitsPerBlock));
    first = arith::AddIOp::create(builder, loc, begin, own);
    Value last = arith::AddIOp::create(builder, loc, begin, index(stage.unitsPerBlock));
    end = arith::MinSIOp::create(builder, loc, last, end);
  } else {
    Value begin = arith::MulIOp::create(builder, loc, frame.block, index(step));
    first = arith::AddIOp::create(builder, loc, begin, own);
    step *= mapping.blocks;
  }
  Values carried;
  for (const Root &root : nest.roots)
    if (root.kind == Root::Kind::crossReduction) {
      carried.push_back(identity(combinerOf(root), builder.getF32Type()));
      blockSums.push_back({&root, {}});
    }
  if (nest.columns.empty())
    synchronizeBeforeStores(nest);
  scf::ForOp op = loop(first, end, index(step), carried);
  carried.assign(op.getRegionIterArgs().begin(), op.getRegionIterArgs().end());
  flatIndex = op.getInductionVar();
  emitElements(nest, flatIndex, width, carried);
  if (!carried.empty())
    scf::YieldOp::create(builder, loc, carried);
  builder.setInsertionPointAfter(op);
  for (auto [sum, value] : llvm::zip_equal(blockSums, op.getResults()))
    sum.value = value;
  storeBlockSums();
}

// A stage that combines: each warp adds up its share of an element's partial results, and the
// shares are added up in the order of the warps.
void GpuStageEmitter::emitCombination() {
  const Nest &nest = stage.nests[0];
  width = 1;
  Value place = arith::RemUIOp::create(builder, loc, frame.thread, index(kWarp));
  Value warp = arith::DivUIOp::create(builder, loc, frame.thread, index(kWarp));
  Value first = arith::MulIOp::create(builder, loc, frame.block, index(kWarp));
  Value element = arith::AddIOp::create(builder, loc, first, place);
  // Lanes beyond the end repeat the last element and store nothing.
  flatIndex = arith::MinSIOp::create(builder, loc, element, index(stage.units - 1));
  const auto shares = static_cast<int64_t>(stage.combines.size()) * kCombiningWarps;
  Value shared = allocateShared(shares * kWarp);
  auto shareOf = [&](int64_t number, Value warp) -> Value {
    Value at = arith::AddIOp::create(builder, loc, warp, index(number * kCombiningWarps));
    at = arith::MulIOp::create(builder, loc, at, index(kWarp));
    return arith::AddIOp::create(builder, loc, at, place);
  };
  for (auto [number, crossIndex] : llvm::enumerate(stage.combines)) {
    const CrossReduction &cross = schedule.crossReductions[crossIndex];
    Value start = identity(cross.combiner, cross.type);
    scf::ForOp op =
        loop(warp, index(schedule.stages[0].blocks), index(kCombiningWarps), ValueRange{start});
    Value at = partialOffset(cross, op.getInductionVar(), flatIndex);
    Value part = memref::LoadOp::create(builder, loc, scratch(), at);
    Value sum = combine(cross.combiner, op.getRegionIterArg(0), part);
    scf::YieldOp::create(builder, loc, sum);
    builder.setInsertionPointAfter(op);
    memref::StoreOp::create(builder, loc, op.getResult(0), shared, shareOf(number, warp));
  }
  gpu::BarrierOp::create(builder, loc);
  for (auto [number, crossIndex] : llvm::enumerate(stage.combines)) {
    const CrossReduction &cross = schedule.crossReductions[crossIndex];
    Value sum;
    for (int64_t share = 0; share < kCombiningWarps; ++share) {
      Value part = memref::LoadOp::create(builder, loc, shared, shareOf(number, index(share)));
      sum = sum ? combine(cross.combiner, sum, part) : part;
    }
    combined[crossIndex] = sum;
  }
  Value isFirstWarp = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, warp, index(0));
  Value isInside =
      arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, element, index(stage.units));
  auto branch = scf::IfOp::create(
      builder, loc, arith::AndIOp::create(builder, loc, isFirstWarp, isInside).getResult());
  builder.setInsertionPoint(branch.thenYield());
  // Scalars are loaded where they are used: sums of hundreds of them would fill the registers.
  Operation *marker = index(0).getDefiningOp();
  preamble = OpBuilder::InsertPoint(marker->getBlock(), marker->getIterator());
  Values none;
  emitElements(nest, flatIndex, 1, none);
}

LogicalResult GpuStageEmitter::emitRows() {
  const int64_t groups = mapping.groups();
  Value group = index(0);
  lane = frame.thread;
  if (groups > 1) {
    lane = arith::RemUIOp::create(builder, loc, frame.thread, index(mapping.group));
    group = arith::DivUIOp::create(builder, loc, frame.thread, index(mapping.group));
  }
  for (const Nest &nest : stage.nests)
    for (const Root &root : nest.roots)
      if (root.kind == Root::Kind::crossReduction && root.place.getNumResults() == 0)
        blockSums.push_back({&root, identity(combinerOf(root), builder.getF32Type())});
  if (failed(prepareColumnSums()))
    return failure();
  Value first = arith::MulIOp::create(builder, loc, frame.block, index(mapping.rowsPerBlock));
  const bool isSingle = mapping.rowsPerBlock == groups && stage.units % groups == 0;
  scf::ForOp rows;
  Value row = arith::AddIOp::create(builder, loc, first, group);
  if (!isSingle) {
    Value end = arith::AddIOp::create(builder, loc, first, index(mapping.rowsPerBlock));
    end = arith::MinSIOp::create(builder, loc, end, index(stage.units));
    Values carried;
    for (const BlockSum &sum : blockSums)
      carried.push_back(sum.value);
    rows = loop(row, end, index(groups), carried);
    for (auto [sum, argument] : llvm::zip_equal(blockSums, rows.getRegionIterArgs()))
      sum.value = argument;
    row = rows.getInductionVar();
  }
  emitRow(row);
  if (!isSingle) {
    // The next row's reductions go through the same shared memory.
    if (mapping.group > kWarp && reduction->usesSharedMemory())
      gpu::BarrierOp::create(builder, loc);
    Values carried;
    for (const BlockSum &sum : blockSums)
      carried.push_back(sum.value);
    if (!carried.empty())
      scf::YieldOp::create(builder, loc, carried);
    builder.setInsertionPointAfter(rows);
    for (auto [sum, result] : llvm::zip_equal(blockSums, rows.getResults()))
      sum.value = result;
  }
  storeColumnSums();
  storeBlockSums();
  return success();
}

void GpuStageEmitter::emitRow(Value row) {
  const Values decoded = decode(row, stage.rows);
  for (auto [number, nest] : llvm::enumerate(stage.nests)) {
    if (number > 0 && mapping.separateNests)
      gpu::BarrierOp::create(builder, loc);
    coordinates = decoded;
    emitNest(nest, mapping.widths[number]);
  }
}

void GpuStageEmitter::emitNest(const Nest &nest, int64_t nestWidth) {
  width = nestWidth;
  if (nest.columns.empty())
    emitRowLevelNest(nest);
  else
    emitColumnLoop(nest, nestWidth);
}

// Tied scalars are read by all threads that share them, and written by one.
void GpuStageEmitter::synchronizeBeforeStores(const Nest &nest) {
  const bool hasTies = llvm::any_of(nest.roots, [&](const Root &root) {
    return root.kind == Root::Kind::store && isTied(root.index);
  });
  if (!hasTies)
    return;
  if (mapping.group > kWarp || stage.isFlat)
    gpu::BarrierOp::create(builder, loc);
  else if (mapping.group > 1)
    NVVM::SyncWarpOp::create(
        builder, loc,
        arith::ConstantOp::create(builder, loc, builder.getI32IntegerAttr(kWholeWarp)));
}

// All threads of a row compute its scalars; the first one stores them.
void GpuStageEmitter::emitRowLevelNest(const Nest &nest) {
  interleaved.clear();
  laneCoordinates = {coordinates};
  // Row-level scalars may be used by later nests: they stand outside the branch.
  emitEvaluations(nest, builder.saveInsertionPoint());
  synchronizeBeforeStores(nest);
  Value isFirstLane = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, lane, index(0));
  scf::IfOp branch;
  for (const Root &root : nest.roots) {
    if (root.kind == Root::Kind::crossReduction) {
      Combiner combiner = combinerOf(root);
      BlockSum &sum =
          *llvm::find_if(blockSums, [&](const BlockSum &it) { return it.root == &root; });
      Value own = arith::SelectOp::create(builder, loc, isFirstLane, lookup(root.value, 0),
                                          identity(combiner, builder.getF32Type()));
      sum.value = combine(combiner, sum.value, own);
      continue;
    }
    if (!branch)
      branch = scf::IfOp::create(builder, loc, isFirstLane);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPoint(branch.thenYield());
    emitStore(nest, root);
  }
}

// The threads of a row take its vectors in turn.
void GpuStageEmitter::emitColumnLoop(const Nest &nest, int64_t nestWidth) {
  const int64_t columns = product(nest.columns);
  Values carried;
  llvm::SmallVector<const Root *> rowRoots;
  llvm::SmallVector<BlockSum *> sums;
  for (const Root &root : nest.roots) {
    if (root.kind == Root::Kind::rowReduction) {
      rowRoots.push_back(&root);
      sums.push_back(nullptr);
      carried.push_back(identity(combinerOf(root), builder.getF32Type()));
    } else if (root.kind == Root::Kind::crossReduction && root.place.getNumResults() == 0) {
      for (BlockSum &sum : blockSums)
        if (sum.root == &root)
          sums.push_back(&sum);
      carried.push_back(sums.back()->value);
    }
  }
  // A number of turns that all threads share, where there is one, lets LLVM unroll the loop.
  const int64_t perTurn = mapping.group * nestWidth;
  Value own = arith::MulIOp::create(builder, loc, lane, index(nestWidth));
  const bool isEven = columns % perTurn == 0;
  Operation *marker = index(0).getDefiningOp();
  OpBuilder::InsertPoint row(marker->getBlock(), marker->getIterator());
  scf::ForOp op = isEven ? loop(index(0), index(columns), index(perTurn), carried)
                         : loop(own, index(columns), index(perTurn), carried);
  Value element = op.getInductionVar();
  if (isEven)
    element = arith::AddIOp::create(builder, loc, element, own);
  carried.assign(op.getRegionIterArgs().begin(), op.getRegionIterArgs().end());
  const Values rowCoordinates = coordinates;
  rowPoint = row;
  emitElements(nest, element, nestWidth, carried);
  rowPoint.reset();
  coordinates = rowCoordinates;
  if (!carried.empty())
    scf::YieldOp::create(builder, loc, carried);
  builder.setInsertionPointAfter(op);
  llvm::SmallVector<GpuReduction::Item> items;
  for (auto [sum, value] : llvm::zip_equal(sums, op.getResults())) {
    if (sum)
      sum->value = value;
    else
      items.push_back({combinerOf(*rowRoots[items.size()]), value});
  }
  if (items.empty())
    return;
  reduction->reduce(items, mapping.group);
  for (auto [root, item] : llvm::zip_equal(rowRoots, items))
    reduced[root->index] = item.value;
}

// One iteration: `nestWidth` neighbors, of which `element` is the first, counted through the nest's
// columns.
void GpuStageEmitter::emitElements(const Nest &nest, Value element, int64_t nestWidth,
                                   Values &carried) {
  interleaved.clear();
  columnIndex = element;
  const Values rowCoordinates = coordinates;
  const Values columns = decode(element, nest.columns);
  coordinates.append(columns.begin(), columns.end());
  laneCoordinates = {coordinates};
  for (int64_t neighbor = 1; neighbor < nestWidth; ++neighbor) {
    laneCoordinates.push_back(coordinates);
    Value &last = laneCoordinates.back().back();
    last = arith::AddIOp::create(builder, loc, last, index(neighbor));
  }
  emitEvaluations(nest, rowPoint.value_or(preamble));
  emitElementRoots(nest, carried);
  coordinates = rowCoordinates;
}

//===----------------------------------------------------------------------===//
// Sums over rows
//===----------------------------------------------------------------------===//

// In the scratch memory, in elements.
Value GpuStageEmitter::partialOffset(const CrossReduction &cross, Value part, Value element) {
  Value at = arith::MulIOp::create(builder, loc, part, index(product(cross.shape)));
  at = arith::AddIOp::create(builder, loc, at, index(cross.scratchOffset / 4));
  if (frame.scratchBegin)
    at = arith::AddIOp::create(builder, loc, at, frame.scratchBegin);
  return element ? arith::AddIOp::create(builder, loc, at, element).getResult() : at;
}

// As emitColumnLoop divides columns among threads.
void GpuStageEmitter::emitColumnLoopOver(const ColumnSum &sum,
                                         llvm::function_ref<void(Value)> body) {
  OpBuilder::InsertionGuard guard(builder);
  Value own = arith::MulIOp::create(builder, loc, lane, index(sum.width));
  scf::ForOp op = loop(own, index(sum.columns), index(mapping.group * sum.width));
  body(op.getInductionVar());
}

LogicalResult GpuStageEmitter::prepareColumnSums() {
  for (auto [number, nest] : llvm::enumerate(stage.nests)) {
    for (const Root &root : nest.roots) {
      if (root.kind != Root::Kind::crossReduction || root.place.getNumResults() == 0)
        continue;
      const CrossReduction &cross = schedule.crossReductions[root.index];
      auto access = getLinearAccess(root.place, cross.shape);
      int64_t stride = 1;
      bool isOwnColumn = access && access->constant == 0;
      for (size_t dim = nest.columns.size(); isOwnColumn && dim-- > 0; stride *= nest.columns[dim])
        isOwnColumn = access->coefficients[stage.rows.size() + dim] == stride;
      if (!isOwnColumn || stride != product(cross.shape))
        return kernel.emitOpError("sums over rows in another order of columns than its loops");
      ColumnSum sum{{}, {}, false, stride, mapping.widths[number]};
      sum.isShared = sharedBytes + stride * 4 <= kSharedBytes;
      if (sum.isShared) {
        sharedBytes += stride * 4;
        sum.memory = allocateShared(stride);
      } else {
        sum.memory = scratch();
        sum.base = partialOffset(cross, frame.block, {});
      }
      emitColumnLoopOver(sum, [&](Value column) {
        Values start(sum.width, identity(cross.combiner, cross.type));
        store(start, sum.memory, placeIn(sum, column));
      });
      columnSums[root.index] = sum;
    }
  }
  return success();
}

Value GpuStageEmitter::placeIn(const ColumnSum &sum, Value column) {
  return sum.base ? arith::AddIOp::create(builder, loc, sum.base, column).getResult() : column;
}

void GpuStageEmitter::addToColumnSum(const Root &root) {
  const ColumnSum &sum = columnSums[root.index];
  Value place = placeIn(sum, columnIndex);
  Values sums = split(load(sum.memory, place, width), width);
  for (int64_t neighbor = 0; neighbor < width; ++neighbor)
    sums[neighbor] = combine(combinerOf(root), sums[neighbor], lookup(root.value, neighbor));
  store(sums, sum.memory, place);
}

void GpuStageEmitter::storeColumnSums() {
  for (auto [number, cross] : llvm::enumerate(schedule.crossReductions)) {
    auto found = columnSums.find(number);
    if (found == columnSums.end() || !found->second.isShared)
      continue;
    const ColumnSum &sum = found->second;
    emitColumnLoopOver(sum, [&](Value column) {
      Value sums = load(sum.memory, column, sum.width);
      store(split(sums, sum.width), scratch(), partialOffset(cross, frame.block, column));
    });
  }
}

void GpuStageEmitter::storeBlockSums() {
  if (blockSums.empty())
    return;
  llvm::SmallVector<GpuReduction::Item> items;
  for (const BlockSum &sum : blockSums)
    items.push_back({combinerOf(*sum.root), sum.value});
  reduction->reduce(items, mapping.threads);
  Value isFirstThread =
      arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, frame.thread, index(0));
  auto branch = scf::IfOp::create(builder, loc, isFirstThread);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPoint(branch.thenYield());
  for (auto [sum, item] : llvm::zip_equal(blockSums, items)) {
    const CrossReduction &cross = schedule.crossReductions[sum.root->index];
    memref::StoreOp::create(builder, loc, item.value, scratch(),
                            partialOffset(cross, frame.block, {}));
  }
}

llvm::FailureOr<std::vector<GpuStage>> emitGpuKernel(KernelOp kernel, const KernelTies &ties,
                                                     StringRef symbol, gpu::GPUModuleOp module) {
  if (const std::vector<BatchPart> parts = getBatch(kernel); !parts.empty())
    return emitGpuBatch(kernel, parts, ties, symbol, module);
  auto schedule = scheduleKernel(kernel, ScheduleOptions::forGpu());
  if (failed(schedule))
    return failure();
  std::vector<GpuStage> stages(schedule->stages.size());
  for (auto [index, stage] : llvm::enumerate(stages)) {
    GpuStageEmitter emitter(kernel, ties, *schedule, index);
    if (failed(emitter.checkTypes()))
      return failure();
    const GpuMapping &mapping = emitter.mapThreads();
    stage = {(symbol + "_" + llvm::Twine(index)).str(), mapping.blocks, mapping.threads};
    const GpuFrame frame = createGpuFunction(
        kernel.getLoc(), stage.function, module, getBufferTypes(kernel, schedule->scratchBytes),
        stage.threads, [&](unsigned argument) {
          // Scratch memory is written by one stage and read by the next.
          return argument >= kernel->getNumOperands() + kernel->getNumResults() ||
                 emitter.stores(argument);
        });
    if (failed(emitter.emit(frame)))
      return failure();
    finishGpuFunction(frame.function);
  }
  return stages;
}

} // namespace titan
