// titan-form-kernels: see Passes.td.
#include "passes/Passes.h"

#include "dialects/interfaces/Buffering.h"
#include "passes/kernels/KernelBatch.h"
#include "passes/kernels/KernelClusters.h"
#include "passes/kernels/KernelSchedule.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Dominance.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/CSE.h"

using namespace mlir;

namespace titan {
#define GEN_PASS_DEF_FORMKERNELS
#include "passes/Passes.h.inc"

namespace {

/// Forms the kernels of one block.
class KernelFormer {
public:
  explicit KernelFormer(Block &block) : block(block) {}
  void run();

private:
  struct Op {
    Operation *op;
    IterationSpace space;         // if fusible
    std::optional<unsigned> node; // none for an op that is copied into its users' kernels
    bool isFusible = false;
    bool isCopied = false;
    bool isReadOutside = false; // by something that is in no kernel
  };

  void collect();
  void findCopied();
  void buildNodes();
  void addInputs(FusionNode &node, Value value, AffineMap map);
  FusionNode describe(const Op &info);
  void build(const FusionResult &clusters);
  void buildKernel(llvm::ArrayRef<unsigned> members, OpBuilder &builder);
  void cloneInto(Operation *op, OpBuilder &builder, IRMapping &inside, KernelOp kernel,
                 llvm::SmallVectorImpl<Value> &inputs);
  Op *find(Value value) {
    Operation *producer = value.getDefiningOp();
    auto found = producer ? numbers.find(producer) : numbers.end();
    return found == numbers.end() ? nullptr : &ops[found->second];
  }

  Block &block;
  llvm::SmallVector<Op, 0> ops;
  llvm::DenseMap<Operation *, unsigned> numbers;
  llvm::SmallVector<FusionNode, 0> nodes;
  llvm::SmallVector<Operation *> nodeOps;
  llvm::DenseMap<Value, unsigned> values;
  llvm::DenseMap<Value, llvm::SmallVector<unsigned, 2>> readers; // nodes, also through copies
  llvm::SmallVector<std::pair<Value, Value>> replacements;       // op's result, kernel's result
};

struct FormKernels : impl::FormKernelsBase<FormKernels> {
  void runOnOperation() override;
};

} // namespace

static bool canBePulled(const IterationSpace &space, Operation *op) {
  return classify(space) == LoopKind::pointwise && space.outputs.size() == op->getNumResults() &&
         llvm::all_of(space.outputs, [](const Access &access) { return access.map.isIdentity(); });
}

static int64_t countElements(Value value) { return tensorType(value).getNumElements(); }

void KernelFormer::collect() {
  for (Operation &op : block.without_terminator()) {
    Op info{&op, {}, std::nullopt};
    if (auto fusible = dyn_cast<FusibleOpInterface>(op)) {
      info.isFusible = true;
      info.space = fusible.getIterationSpace();
    }
    numbers[&op] = ops.size();
    ops.push_back(std::move(info));
  }
}

// Ops that make many elements of few, such as broadcasts, are copied into each kernel that reads
// them, and so are small ops on values from outside that only such ops read, such as the
// conversion of a norm's weight.
void KernelFormer::findCopied() {
  auto expands = [](const Op &info) {
    int64_t read = 0;
    for (Value operand : info.op->getOperands())
      read += countElements(operand);
    return 2 * read <= countElements(info.op->getResult(0)) || read == 0;
  };
  llvm::SmallVector<bool> isExpansion(ops.size()), isLeaf(ops.size());
  for (auto [index, info] : llvm::enumerate(ops)) {
    if (!info.isFusible || !canBePulled(info.space, info.op))
      continue;
    isExpansion[index] = expands(info);
    isLeaf[index] = llvm::all_of(info.op->getOperands(), [&](Value operand) {
      Op *producer = find(operand);
      return !producer || !producer->isFusible || isLeaf[numbers.lookup(producer->op)];
    });
  }
  for (auto [index, info] : llvm::enumerate(llvm::reverse(ops))) {
    const size_t number = ops.size() - 1 - index;
    info.isCopied = isExpansion[number];
    if (info.isCopied || !isLeaf[number])
      continue;
    const int64_t elements = countElements(info.op->getResult(0));
    info.isCopied = llvm::all_of(info.op->getUsers(), [&](Operation *user) {
      auto found = numbers.find(user);
      return found != numbers.end() && ops[found->second].isCopied &&
             countElements(user->getResult(0)) >= elements;
    });
  }
}

// Follows copied ops to the values that they read; `map` gives the place from the node's loops.
void KernelFormer::addInputs(FusionNode &node, Value value, AffineMap map) {
  Op *producer = find(value);
  if (producer && producer->isCopied) {
    for (const Access &access : producer->space.inputs)
      addInputs(node, producer->op->getOperand(access.index), access.map.compose(map));
    return;
  }
  FusionInput input;
  input.producer = producer && producer->node ? static_cast<int>(*producer->node) : -1;
  input.value = values.try_emplace(value, values.size()).first->second;
  input.elements = countElements(value);
  input.aligned = 0;
  for (AffineExpr place : map.getResults()) {
    auto dim = dyn_cast<AffineDimExpr>(place);
    if (!dim || dim.getPosition() != input.aligned)
      break;
    ++input.aligned;
  }
  input.readsOwnElement =
      map.isIdentity() && tensorType(value).getShape() == llvm::ArrayRef<int64_t>(node.bounds);
  node.inputs.push_back(input);
  readers[value].push_back(nodes.size());
}

FusionNode KernelFormer::describe(const Op &info) {
  FusionNode node;
  node.isFusible = info.isFusible;
  if (!info.isFusible) {
    for (Value operand : info.op->getOperands()) {
      if (Op *producer = find(operand); producer && producer->node)
        node.after.push_back(*producer->node);
      readers[operand].push_back(nodes.size());
    }
    return node;
  }
  const IterationSpace &space = info.space;
  node.kind = classify(space);
  node.canBePulled = canBePulled(space, info.op);
  node.bounds.assign(space.bounds.begin(), space.bounds.end());
  node.numRows = llvm::count(space.isReduction, node.kind == LoopKind::columnSum);
  node.standsAlone = node.kind == LoopKind::rowReduction && !llvm::is_sorted(space.isReduction);
  for (const Access &access : space.inputs)
    addInputs(node, info.op->getOperand(access.index), access.map);
  return node;
}

void KernelFormer::buildNodes() {
  // A copied op that something outside kernels reads must also exist by itself: as an instruction,
  // if it is one, else in a kernel.
  for (Op &info : llvm::reverse(ops)) {
    info.isReadOutside = llvm::any_of(info.op->getUsers(), [&](Operation *user) {
      auto found = numbers.find(user);
      return found == numbers.end() || !ops[found->second].isFusible;
    });
    if (info.isCopied && info.isReadOutside && isa<BufferingOpInterface>(info.op))
      info.isFusible = false;
  }
  std::optional<unsigned> lastEffect;
  for (Op &info : ops) {
    if (info.isCopied && !info.isReadOutside)
      continue;
    FusionNode node = describe(info);
    node.isReadOutside = info.isReadOutside;
    if (!isMemoryEffectFree(info.op)) {
      if (lastEffect)
        node.after.push_back(*lastEffect);
      lastEffect = nodes.size();
    }
    info.node = nodes.size();
    nodes.push_back(std::move(node));
    nodeOps.push_back(info.op);
  }
}

// Copies an op into a kernel, first the copied ops that it reads; other values become operands.
void KernelFormer::cloneInto(Operation *op, OpBuilder &builder, IRMapping &inside, KernelOp kernel,
                             llvm::SmallVectorImpl<Value> &inputs) {
  for (Value operand : op->getOperands()) {
    if (inside.contains(operand))
      continue;
    Op *producer = find(operand);
    if (producer && producer->isCopied) {
      cloneInto(producer->op, builder, inside, kernel, inputs);
      continue;
    }
    inputs.push_back(operand);
    inside.map(operand, kernel.getBody().front().addArgument(operand.getType(), operand.getLoc()));
  }
  builder.clone(*op, inside);
}

void KernelFormer::buildKernel(llvm::ArrayRef<unsigned> members, OpBuilder &builder) {
  llvm::SmallVector<Value> results;
  llvm::SmallVector<Location> locations;
  for (unsigned member : members) {
    locations.push_back(nodeOps[member]->getLoc());
    for (Value result : nodeOps[member]->getResults()) {
      const bool isReadOutside =
          llvm::any_of(readers.lookup(result),
                       [&](unsigned reader) { return !llvm::is_contained(members, reader); }) ||
          llvm::is_contained(result.getUsers(), block.getTerminator());
      if (isReadOutside)
        results.push_back(result);
    }
  }
  auto loc = FusedLoc::get(builder.getContext(), locations);
  auto kernel = KernelOp::create(builder, loc, TypeRange(ValueRange(results)), ValueRange());
  Block &body = kernel.getBody().emplaceBlock();
  IRMapping inside;
  llvm::SmallVector<Value> inputs;
  auto bodyBuilder = OpBuilder::atBlockEnd(&body);
  for (unsigned member : members)
    cloneInto(nodeOps[member], bodyBuilder, inside, kernel, inputs);
  llvm::SmallVector<Value> yielded;
  for (Value result : results)
    yielded.push_back(inside.lookup(result));
  YieldOp::create(bodyBuilder, loc, yielded);
  kernel.getInputsMutable().assign(inputs);
  for (auto [result, replacement] : llvm::zip(results, kernel.getResults()))
    replacements.push_back({result, replacement});
}

void KernelFormer::build(const FusionResult &clusters) {
  OpBuilder builder(block.getTerminator());
  for (llvm::ArrayRef<unsigned> members : clusters.groups) {
    if (nodes[members[0]].isFusible)
      buildKernel(members, builder);
    else
      nodeOps[members[0]]->moveBefore(block.getTerminator());
  }
  for (auto [result, replacement] : replacements)
    result.replaceAllUsesWith(replacement);
  for (Op &info : llvm::reverse(ops))
    if (info.isFusible)
      info.op->erase();
}

void KernelFormer::run() {
  collect();
  findCopied();
  buildNodes();
  build(formClusters(nodes));
}

static void decompose(func::FuncOp function) {
  llvm::SmallVector<DecomposableOpInterface> composites;
  function.walk([&](Operation *op) {
    if (auto composite = dyn_cast<DecomposableOpInterface>(op))
      composites.push_back(composite);
  });
  for (DecomposableOpInterface op : composites) {
    OpBuilder builder(op);
    op->replaceAllUsesWith(op.decompose(builder));
    op->erase();
  }
}

static void eraseDead(Block &block) {
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
    if (isOpTriviallyDead(&op))
      op.erase();
}

void FormKernels::runOnOperation() {
  func::FuncOp function = getOperation();
  decompose(function);
  IRRewriter rewriter(&getContext());
  DominanceInfo dominance(function);
  eliminateCommonSubExpressions(rewriter, dominance, function);
  for (Block &block : function.getBody()) {
    eraseDead(block);
    KernelFormer(block).run();
  }
  // The rules by which ops were grouped promise a schedule.
  auto scheduled = function.walk([](KernelOp kernel) {
    return getBatch(kernel).empty() && failed(scheduleKernel(kernel)) ? WalkResult::interrupt()
                                                                      : WalkResult::advance();
  });
  if (scheduled.wasInterrupted())
    signalPassFailure();
}

} // namespace titan
