#include "dialects/exec/Exec.h"
#include "passes/Functions.h"
#include "passes/Passes.h"
#include "passes/kernels/KernelAnalysis.h"
#include "passes/memory/CheckPlacement.h"
#include "passes/memory/ProgramLayout.h"
#include "passes/memory/ValuePlacement.h"
#include "passes/pipeline/ScheduleAttribute.h"

using namespace mlir;

namespace titan {

#define GEN_PASS_DEF_PLANMEMORY
#include "passes/Passes.h.inc"

namespace {

/// The kernels of the program, each distinct one once. A kernel's arguments are its operands, its
/// results and its scratch; `ties` says per result which operand's memory it takes over, or -1.
/// Such a result stands among the arguments a second time.
class KernelTable {
public:
  KernelTable(ModuleOp module, const ScheduleOptions &scheduleOptions)
      : builder(module.getContext()), module(module), scheduleOptions(scheduleOptions) {}

  /// The symbol of the kernel with these ties.
  FailureOr<exec::KernelOp> get(KernelOp kernel, ArrayRef<int> ties) {
    auto &bucket = kernels[llvm::hash_combine(hashKernel(kernel), ArrayRef(ties))];
    for (Entry &entry : bucket)
      if (entry.ties == ties && kernelsEqual(entry.original, kernel))
        return entry.kernel;
    FailureOr<exec::KernelOp> added = add(kernel, ties);
    if (succeeded(added))
      bucket.push_back({kernel, SmallVector<int>(ties), *added});
    return added;
  }

private:
  struct Entry {
    KernelOp original;
    SmallVector<int> ties;
    exec::KernelOp kernel;
  };

  FailureOr<exec::KernelOp> add(KernelOp kernel, ArrayRef<int> ties) {
    FailureOr<KernelPlan> plan = analyzeKernel(kernel, scheduleOptions);
    if (failed(plan))
      return failure();
    SmallVector<Attribute> types, accesses, stages;
    auto argument = [&](MemRefType type, exec::Access access) {
      types.push_back(TypeAttr::get(type));
      accesses.push_back(exec::AccessAttr::get(builder.getContext(), access));
    };
    for (auto [i, type] : llvm::enumerate(kernel.getOperandTypes()))
      argument(getBufferType(type), llvm::is_contained(ties, static_cast<int>(i))
                                        ? exec::Access::ReadWrite
                                        : exec::Access::Read);
    for (Type type : kernel.getResultTypes())
      argument(getBufferType(type), exec::Access::Write);
    if (plan->scratchBytes)
      argument(getScratchType(builder, plan->scratchBytes), exec::Access::ReadWrite);
    const std::string name = "kernel" + std::to_string(count++);
    for (auto [stage, blocks] : llvm::enumerate(plan->blocks))
      stages.push_back(
          exec::StageAttr::get(builder.getContext(), name + "_" + std::to_string(stage), blocks));
    builder.setInsertionPointToEnd(module.getBody());
    auto result =
        exec::KernelOp::create(builder, kernel.getLoc(), name, builder.getArrayAttr(types),
                               builder.getArrayAttr(accesses), builder.getArrayAttr(stages),
                               exec::CostAttr::get(builder.getContext(), plan->flops,
                                                   plan->bytesRead + plan->bytesWritten),
                               FlatSymbolRefAttr());
    result->setAttr("ties",
                    builder.getDenseI64ArrayAttr(SmallVector<int64_t>(ties.begin(), ties.end())));
    IRMapping mapping;
    kernel.getBody().cloneInto(&result.getBody(), mapping);
    return result;
  }

  OpBuilder builder;
  ModuleOp module;
  ScheduleOptions scheduleOptions;
  llvm::DenseMap<llvm::hash_code, SmallVector<Entry, 1>> kernels;
  int64_t count = 0;
};

/// Writes the instructions of one placed function.
class FunctionEmitter {
public:
  /// `scratch` is the segment of the function's arena.
  FunctionEmitter(exec::FuncOp target, const ValuePlacement &placement, KernelTable &kernels,
                  StringRef scratch)
      : builder(target.getContext()), placement(placement), kernels(kernels),
        scratch(builder.getStringAttr(scratch)) {
    builder.setInsertionPointToStart(&target.getBodyRegion().front());
    for (const PlacedCopy &copy : placement.getCopies())
      copies[copy.before].push_back(&copy);
  }

  LogicalResult run(Block &block) {
    for (Operation &op : block) {
      for (const PlacedCopy *copy : copies.lookup(&op))
        exec::CopyOp::create(builder, op.getLoc(), getBuffer(copy->value),
                             getBuffer(copy->to, copy->value.getType(), op.getLoc()));
      if (isa<LoadOp, StoreOp>(op) || op.hasTrait<OpTrait::IsTerminator>())
        continue;
      if (failed(isa<KernelOp>(op) ? emitLaunch(cast<KernelOp>(op)) : emitInstructions(&op)))
        return failure();
    }
    return success();
  }

private:
  Value getBuffer(Value value) {
    return getBuffer(placement.getPlace(value), value.getType(), value.getLoc());
  }

  Value getBuffer(Place place, Type type, Location loc) {
    return getBuffer(place, getBufferType(type), loc);
  }

  Value getBuffer(Place place, MemRefType type, Location loc) {
    const Storage &storage = placement.getStorage(place);
    StringAttr base = storage.inArena() ? scratch : storage.fixed.base;
    const int64_t offset =
        place.offset + (storage.inArena() ? storage.arenaOffset : storage.fixed.offset);
    exec::RotationAttr rotation;
    if (const RankPart &part = place.rankPart; part.count > 1)
      rotation = exec::RotationAttr::get(builder.getContext(), part.axes, part.bytes, /*shift=*/0);
    Value &buffer = buffers[{base, offset, type, rotation}];
    if (!buffer)
      buffer = exec::BufferOp::create(builder, loc, type, FlatSymbolRefAttr::get(base),
                                      builder.getI64IntegerAttr(offset), rotation);
    return buffer;
  }

  LogicalResult emitInstructions(Operation *op) {
    SmallVector<Value> operands, results;
    for (Value operand : op->getOperands())
      operands.push_back(getBuffer(operand));
    for (Value result : op->getResults())
      results.push_back(getBuffer(result));
    if (auto scratch = placement.getScratch(op))
      operands.push_back(getBuffer(
          *scratch, getScratchType(builder, placement.getStorage(*scratch).bytes), op->getLoc()));
    return cast<BufferingOpInterface>(op).emitInstructions(builder, operands, results);
  }

  LogicalResult emitLaunch(KernelOp kernel) {
    ArrayRef<int> ties = placement.getTies(kernel);
    FailureOr<exec::KernelOp> target = kernels.get(kernel, ties);
    if (failed(target))
      return failure();
    SmallVector<Value> arguments;
    for (Value operand : kernel.getInputs())
      arguments.push_back(getBuffer(operand));
    for (Value result : kernel.getResults())
      arguments.push_back(getBuffer(result));
    if (auto scratch = placement.getScratch(kernel))
      arguments.push_back(getBuffer(
          *scratch, target->getArgumentType(target->getNumArguments() - 1), kernel.getLoc()));
    exec::LaunchOp::create(builder, kernel.getLoc(),
                           FlatSymbolRefAttr::get(target->getSymNameAttr()), arguments);
    return success();
  }

  OpBuilder builder;
  const ValuePlacement &placement;
  KernelTable &kernels;
  StringAttr scratch;
  llvm::DenseMap<Operation *, SmallVector<const PlacedCopy *>> copies;
  llvm::DenseMap<std::tuple<StringAttr, int64_t, MemRefType, Attribute>, Value> buffers;
};

/// Stores of one constant get one each, and so do tensors that are assembled of it, so that it is
/// filled into every place: CSE has made equal zeros one, which all others would be copied from.
void cloneConstants(func::FuncOp function) {
  auto isAssembled = [](Operation &op) {
    return op.getNumResults() == 1 &&
           getPlacement(op.getResult(0)).kind == ResultPlacement::Kind::assembled;
  };
  for (Operation &op : function.getOps()) {
    if (!isa<StoreOp>(op) && !isAssembled(op))
      continue;
    for (OpOperand &use : op.getOpOperands()) {
      Operation *constant = use.get().getDefiningOp();
      if (!constant || constant->getNumOperands() || isa<LoadOp>(constant) || !isPure(constant) ||
          use.get().hasOneUse())
        continue;
      OpBuilder builder(&op);
      use.set(builder.clone(*constant)->getResult(0));
    }
  }
}

/// Checks that the function has the inputs and results that its name stands for.
LogicalResult verifySignature(func::FuncOp function, const FunctionLayout &layout) {
  if (!function.getBody().hasOneBlock())
    return function.emitError() << "expects @" << function.getSymName()
                                << " to have a body of one block";
  if (function.getNumArguments() != layout.arguments.size() ||
      function.getNumResults() != layout.results.size())
    return function.emitError() << "expects @" << function.getSymName() << " to take "
                                << layout.arguments.size() << " inputs and residuals and return "
                                << layout.results.size() << ", found "
                                << function.getFunctionType();
  return success();
}

struct PlanMemory : impl::PlanMemoryBase<PlanMemory> {
  using PlanMemoryBase::PlanMemoryBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    OpBuilder builder(&getContext());
    ProgramLayout layout(module);
    if (failed(layout.plan()))
      return signalPassFailure();
    SmallVector<func::FuncOp> functions(module.getOps<func::FuncOp>());
    const ScheduleOptions scheduleOptions =
        computeCapability ? ScheduleOptions::forGpu() : ScheduleOptions();
    KernelTable kernels(module, scheduleOptions);
    llvm::StringMap<int64_t> arenaBytes; // by segment
    SmallVector<exec::FuncOp> emitted;
    for (func::FuncOp function : functions) {
      FunctionLayout functionLayout = layout.getFunctionLayout(function);
      functionLayout.scheduleOptions = scheduleOptions;
      functionLayout.computeCapability = computeCapability;
      if (failed(verifySignature(function, functionLayout)))
        return signalPassFailure();
      cloneConstants(function);
      ValuePlacement placement(function, functionLayout);
      if (failed(placement.run()) || failed(checkPlacement(function, functionLayout, placement)))
        return signalPassFailure();
      const std::string scratch = layout.getScratch(function);
      int64_t &bytes = arenaBytes[scratch];
      bytes = std::max(bytes, placement.getArenaBytes());
      builder.setInsertionPointToEnd(module.getBody());
      const std::string name = function.getSymName().str();
      auto target = exec::FuncOp::create(builder, function.getLoc(), name);
      FunctionEmitter emitter(target, placement, kernels, scratch);
      if (failed(emitter.run(function.getBody().front())))
        return signalPassFailure();
    }
    layout.declareMemory(builder, arenaBytes);
    layout.declareTimelines(builder);
    for (func::FuncOp function : functions)
      function.erase();
    for (Operation &op : llvm::make_early_inc_range(*module.getBody()))
      if (isa<VariableOp, MeshOp>(op))
        op.erase();
    module->removeAttr(kSchedule);
    module->removeAttr(kEvalSchedule);
  }
};

} // namespace
} // namespace titan
