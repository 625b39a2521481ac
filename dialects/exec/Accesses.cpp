#include "dialects/exec/Accesses.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace titan;
using namespace titan::exec;

/// The operands that an instruction only writes; a kernel's arguments say so themselves.
static SmallVector<Value> getWritten(Operation *instruction) {
  return llvm::TypeSwitch<Operation *, SmallVector<Value>>(instruction)
      .Case([](GemmOp op) {
        SmallVector<Value> written;
        if (!op.getAccumulate())
          written.push_back(op.getC());
        if (op.getWorkspace())
          written.push_back(op.getWorkspace());
        return written;
      })
      .Case([](AttentionOp op) {
        SmallVector<Value> written{op.getOut(), op.getLse()};
        if (op.getScratch())
          written.push_back(op.getScratch());
        return written;
      })
      .Case([](AttentionGradOp op) {
        SmallVector<Value> written{op.getDq(), op.getDk(), op.getDv()};
        if (op.getScratch())
          written.push_back(op.getScratch());
        return written;
      })
      .Case([](EmbeddingGradOp op) {
        return op.getScratch() ? SmallVector<Value>{op.getScratch()} : SmallVector<Value>();
      })
      .Case([](EmbeddingOp op) { return SmallVector<Value>{op.getOut()}; })
      .Case([](FillOp op) { return SmallVector<Value>{op.getBuffer()}; })
      .Case([](CopyOp op) { return SmallVector<Value>{op.getDestination()}; })
      .Case([](CheckFiniteOp op) { return SmallVector<Value>{op.getFlag()}; })
      .Case([](StartOp op) { return SmallVector<Value>(op.getDestinations()); })
      .Default([](Operation *) { return SmallVector<Value>(); });
}

/// What an instruction that is no launch adds to.
static Value getUpdated(Operation *instruction) {
  if (auto gemm = dyn_cast<GemmOp>(instruction); gemm && gemm.getAccumulate())
    return gemm.getC();
  if (auto gradient = dyn_cast<EmbeddingGradOp>(instruction))
    return gradient.getDtable();
  return {};
}

static Accesses getAccesses(LaunchOp launch, SymbolTableCollection &symbols) {
  Accesses accesses;
  auto kernel =
      symbols.lookupNearestSymbolFrom<KernelOp>(launch->getParentOp(), launch.getKernelAttr());
  for (auto [index, operand] : llvm::enumerate(launch.getOperands()))
    switch (kernel.getAccess(index)) {
    case exec::Access::Read:
      accesses.reads.push_back(operand);
      break;
    case exec::Access::Write:
      accesses.writes.push_back(operand);
      break;
    case exec::Access::ReadWrite:
      accesses.updates.push_back(operand);
      break;
    }
  return accesses;
}

Accesses exec::getAccesses(Operation *instruction, SymbolTableCollection &symbols) {
  Accesses accesses;
  if (auto await = dyn_cast<AwaitOp>(instruction)) {
    if (auto start = await.getToken().getDefiningOp())
      llvm::append_range(accesses.reads, start->getOperands());
    return accesses;
  }
  if (auto launch = dyn_cast<LaunchOp>(instruction))
    return ::getAccesses(launch, symbols);
  accesses.writes = getWritten(instruction);
  if (auto start = dyn_cast<StartOp>(instruction)) {
    // A source may be a destination too.
    llvm::append_range(accesses.reads, start.getSources());
    return accesses;
  }
  if (Value updated = getUpdated(instruction))
    accesses.updates.push_back(updated);
  for (Value operand : instruction->getOperands())
    if (!llvm::is_contained(accesses.writes, operand) &&
        !llvm::is_contained(accesses.updates, operand))
      accesses.reads.push_back(operand);
  return accesses;
}

void exec::forEachStretch(int64_t offset, MemRefType type, int64_t most,
                          llvm::function_ref<void(int64_t, int64_t)> apply) {
  ArrayRef<int64_t> shape = type.getShape();
  const SmallVector<int64_t> strides = getStrides(type);
  const int64_t elementBytes = getElementBytes(type.getElementType());
  // The inner dimensions that are dense make one stretch.
  int64_t run = 1;
  size_t outer = shape.size();
  while (outer > 0 && (strides[outer - 1] == run || shape[outer - 1] == 1))
    run *= shape[--outer];
  int64_t numStretches = 1;
  for (int64_t size : shape.take_front(outer))
    numStretches *= size;
  if (numStretches == 0 || run == 0)
    return;
  if (numStretches > most)
    return apply(offset, offset + getSpanBytes(type));
  for (int64_t i = 0; i < numStretches; ++i) {
    int64_t element = 0, rest = i;
    for (size_t dim = outer; dim-- > 0; rest /= shape[dim])
      element += rest % shape[dim] * strides[dim];
    const int64_t begin = offset + element * elementBytes;
    apply(begin, begin + run * elementBytes);
  }
}
