// The GPU form of a batch: each block finds its kernel and runs a block of that.
//
// Equal kernels share one piece of code, a *class*: its blocks follow each other, kernel by kernel,
// and the number of the kernel selects the buffers in a table of jumps, the same one for all
// threads of a block. Branches or selections instead would let ptxas hold all buffers in registers.
#include "compiler/lowering/GpuStageEmitter.h"
#include "passes/kernels/KernelAnalysis.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace titan {

/// That should fit into a multiprocessor at once: with up to 64 registers each.
static constexpr int64_t kThreadsPerProcessor = 1024;

namespace {

/// Equal kernels of a batch.
struct PartClass {
  KernelTies ties;
  KernelSchedule schedule;
  int64_t scratchBegin = 0; ///< bytes; the parts' scratch memories follow each other
  llvm::SmallVector<const BatchPart *> parts;

  KernelOp kernel() const { return parts.front()->kernel; }
};

class GpuBatchEmitter {
public:
  GpuBatchEmitter(KernelOp batch, llvm::ArrayRef<BatchPart> parts, const KernelTies &ties)
      : batch(batch), parts(parts), ties(ties), builder(batch.getContext()), loc(batch.getLoc()) {}

  /// Fails with an error at a kernel.
  LogicalResult classify();
  llvm::FailureOr<std::vector<GpuStage>> emit(StringRef symbol, gpu::GPUModuleOp module);

private:
  KernelTies tiesOf(const BatchPart &part) const;
  unsigned bufferOf(const BatchPart &part, unsigned argument) const;
  LogicalResult emitStage(unsigned index, StringRef symbol, gpu::GPUModuleOp module,
                          GpuStage &emitted);
  LogicalResult emitClass(const PartClass &group, GpuStageEmitter &emitter, const GpuFrame &frame,
                          int64_t firstBlock, int64_t blocks);
  Values select(Value number, llvm::ArrayRef<Values> choices);
  Value index(int64_t value) { return arith::ConstantIndexOp::create(builder, loc, value); }

  KernelOp batch;
  llvm::ArrayRef<BatchPart> parts;
  const KernelTies &ties;
  OpBuilder builder;
  Location loc;
  std::vector<PartClass> classes;
  int64_t scratchBytes = 0;
  size_t stages = 0;
};

} // namespace

// In the part's own numbers.
KernelTies GpuBatchEmitter::tiesOf(const BatchPart &part) const {
  KernelTies own(part.kernel->getNumResults());
  for (auto [result, tie] : llvm::enumerate(own))
    if (const size_t number = part.firstResult + result; number < ties.size() && ties[number])
      tie = llvm::find(part.operands, *ties[number]) - part.operands.begin();
  return own;
}

// The batch's buffer that is an operand or result of the part.
unsigned GpuBatchEmitter::bufferOf(const BatchPart &part, unsigned argument) const {
  const unsigned numOperands = part.operands.size();
  return argument < numOperands
             ? part.operands[argument]
             : batch->getNumOperands() + part.firstResult + argument - numOperands;
}

LogicalResult GpuBatchEmitter::classify() {
  for (const BatchPart &part : parts) {
    const KernelTies own = tiesOf(part);
    auto known = llvm::find_if(classes, [&](const PartClass &it) {
      return it.ties == own && kernelsEqual(it.kernel(), part.kernel);
    });
    if (known == classes.end()) {
      auto schedule = scheduleKernel(part.kernel, ScheduleOptions::forGpu());
      if (failed(schedule))
        return failure();
      if (!schedule->stages[0].isFlat)
        return part.kernel->emitOpError("walks rows, but the kernels of a batch are flat");
      stages = std::max(stages, schedule->stages.size());
      classes.push_back({own, std::move(*schedule), 0, {}});
      known = std::prev(classes.end());
    }
    known->parts.push_back(&part);
  }
  for (PartClass &group : classes) {
    group.scratchBegin = scratchBytes;
    scratchBytes += group.schedule.scratchBytes * static_cast<int64_t>(group.parts.size());
  }
  return success();
}

// choices[number]
Values GpuBatchEmitter::select(Value number, llvm::ArrayRef<Values> choices) {
  if (choices.size() == 1)
    return choices.front();
  const auto cases =
      llvm::to_vector(llvm::seq<int64_t>(0, static_cast<int64_t>(choices.size()) - 1));
  auto branch = scf::IndexSwitchOp::create(builder, loc, TypeRange(ValueRange(choices.front())),
                                           number, cases, cases.size());
  OpBuilder::InsertionGuard guard(builder);
  // The default is the region in front of the cases'.
  for (auto [number, values] : llvm::enumerate(choices)) {
    builder.createBlock(&branch->getRegion((number + 1) % choices.size()));
    scf::YieldOp::create(builder, loc, values);
  }
  return Values(branch.result_begin(), branch.result_end());
}

// At the builder's insertion point, which it leaves. `frame` is the batch's.
LogicalResult GpuBatchEmitter::emitClass(const PartClass &group, GpuStageEmitter &emitter,
                                         const GpuFrame &frame, int64_t firstBlock,
                                         int64_t blocks) {
  const auto count = static_cast<int64_t>(group.parts.size());
  Value place = arith::SubIOp::create(builder, loc, frame.block, index(firstBlock));
  Value number = arith::DivUIOp::create(builder, loc, place, index(blocks));
  GpuFrame own = frame;
  own.block = arith::RemUIOp::create(builder, loc, place, index(blocks));
  own.buffers.assign(group.kernel()->getNumOperands() + group.kernel()->getNumResults(), {});
  llvm::SmallVector<unsigned> varying;
  for (unsigned argument = 0; argument < own.buffers.size(); ++argument) {
    const unsigned result = argument - group.kernel()->getNumOperands();
    if (argument >= group.kernel()->getNumOperands() && group.ties[result])
      continue;
    const unsigned buffer = bufferOf(*group.parts.front(), argument);
    own.buffers[argument] = frame.buffers[buffer];
    if (llvm::any_of(group.parts,
                     [&](const BatchPart *it) { return bufferOf(*it, argument) != buffer; }))
      varying.push_back(argument);
  }
  std::vector<Values> choices(count);
  for (auto [choice, part] : llvm::zip_equal(choices, group.parts))
    for (unsigned argument : varying)
      choice.push_back(frame.buffers[bufferOf(*part, argument)]);
  for (auto [argument, buffer] : llvm::zip_equal(varying, select(number, choices)))
    own.buffers[argument] = buffer;
  if (group.schedule.scratchBytes != 0) {
    own.buffers.push_back(frame.buffers.back());
    Value before =
        arith::MulIOp::create(builder, loc, number, index(group.schedule.scratchBytes / 4));
    own.scratchBegin = arith::AddIOp::create(builder, loc, before, index(group.scratchBegin / 4));
  }
  own.point = builder.saveInsertionPoint();
  return emitter.emit(own);
}

LogicalResult GpuBatchEmitter::emitStage(unsigned stage, StringRef symbol, gpu::GPUModuleOp module,
                                         GpuStage &emitted) {
  llvm::SmallVector<const PartClass *> present;
  std::vector<std::unique_ptr<GpuStageEmitter>> emitters;
  llvm::SmallVector<bool> isWritten(batch->getNumOperands() + batch->getNumResults() + 1);
  isWritten.back() = true; // scratch memory
  int64_t threads = 0;
  for (const PartClass &group : classes) {
    if (group.schedule.stages.size() <= stage)
      continue;
    present.push_back(&group);
    auto &emitter = emitters.emplace_back(
        std::make_unique<GpuStageEmitter>(group.kernel(), group.ties, group.schedule, stage));
    if (failed(emitter->checkTypes()))
      return failure();
    threads = std::max(threads, emitter->mapThreads().threads);
    const unsigned buffers = group.kernel()->getNumOperands() + group.kernel()->getNumResults();
    for (const BatchPart *part : group.parts)
      for (unsigned argument = 0; argument < buffers; ++argument)
        if (emitter->stores(argument))
          isWritten[bufferOf(*part, argument)] = true;
  }
  const GpuFrame frame =
      createGpuFunction(loc, symbol, module, getBufferTypes(batch, scratchBytes), threads,
                        [&](unsigned buffer) { return isWritten[buffer]; });
  // Choosing buffers must not cost what hides memory's latency: many threads of a multiprocessor.
  frame.function->setAttr(NVVM::NVVMDialect::getMinctasmAttrName(),
                          builder.getI32IntegerAttr(static_cast<int32_t>(
                              kThreadsPerProcessor / std::max<int64_t>(threads, 256))));
  builder.restoreInsertionPoint(frame.point);
  int64_t first = 0;
  for (auto [group, emitter] : llvm::zip_equal(present, emitters)) {
    const int64_t blocks = emitter->mapThreads(threads).blocks;
    const int64_t end = first + blocks * static_cast<int64_t>(group->parts.size());
    scf::IfOp branch;
    if (group != present.back()) {
      Value isBelow =
          arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, frame.block, index(end));
      branch = scf::IfOp::create(builder, loc, isBelow, /*withElseRegion=*/true);
      builder.setInsertionPoint(branch.thenYield());
    }
    if (failed(emitClass(*group, *emitter, frame, first, blocks)))
      return failure();
    if (branch)
      builder.setInsertionPoint(branch.elseYield());
    first = end;
  }
  finishGpuFunction(frame.function);
  emitted = {symbol.str(), first, threads};
  return success();
}

llvm::FailureOr<std::vector<GpuStage>> GpuBatchEmitter::emit(StringRef symbol,
                                                             gpu::GPUModuleOp module) {
  std::vector<GpuStage> emitted(stages);
  for (auto [number, stage] : llvm::enumerate(emitted))
    if (failed(emitStage(number, (symbol + "_" + llvm::Twine(number)).str(), module, stage)))
      return failure();
  return emitted;
}

llvm::FailureOr<std::vector<GpuStage>> emitGpuBatch(KernelOp batch, llvm::ArrayRef<BatchPart> parts,
                                                    const KernelTies &ties, StringRef symbol,
                                                    gpu::GPUModuleOp module) {
  GpuBatchEmitter emitter(batch, parts, ties);
  if (failed(emitter.classify()))
    return failure();
  return emitter.emit(symbol, module);
}

} // namespace titan
