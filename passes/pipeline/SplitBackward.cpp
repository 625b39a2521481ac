#include "dialects/interfaces/Collective.h"
#include "dialects/titan/Sharding.h"
#include "passes/Functions.h"
#include "passes/Passes.h"
#include "passes/pipeline/ScheduleAttribute.h"
#include "passes/sharding/OpMotion.h"

#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

using namespace mlir;

namespace titan {

#define GEN_PASS_DEF_SPLITBACKWARD
#include "passes/Passes.h.inc"

namespace {

/// Splits one stage's backward.
class BackwardSplitter {
public:
  BackwardSplitter(func::FuncOp function, StringRef suffix)
      : function(function), suffix(suffix), block(function.getBody().front()),
        end(block.getTerminator()), module(function->getParentOfType<ModuleOp>()) {}

  void run() {
    chooseFirst();
    buildWeights();
    shrinkFirst();
  }

private:
  bool isGradient(StoreOp store) {
    auto variable = module.lookupSymbol<VariableOp>(store.getVariable());
    return variable && variable.getRole() == Role::gradient;
  }
  void chooseFirst();
  void keepShared();
  SmallVector<Operation *> collectOwn(Operation *root) const;
  void buildWeights();
  void getInWeights(OpBuilder &builder, Value value);
  void shrinkFirst();

  func::FuncOp function, weights;
  StringRef suffix;
  Block &block;
  Operation *end;
  ModuleOp module;
  SmallVector<StoreOp> gradients;
  llvm::DenseSet<Operation *> kept;   ///< the first half's
  llvm::SetVector<Operation *> moved; ///< the second half's
  SmallVector<Value> handed;          ///< from the first half to the second
  IRMapping mapping;                  ///< from the first to the second
};

/// What both halves make for themselves: loads, constants, and views of what they have.
bool isFree(Operation *op) { return op->getNumOperands() == 0 || isView(op); }

/// Whether the op computes more than what would be fused with its neighbours.
bool isHeavy(Operation *op) {
  auto cost = dyn_cast<CostOpInterface>(op);
  return cost && cost.getFlops() > 0 && !isa<FusibleOpInterface, CollectiveOpInterface>(op);
}

} // namespace

/// The op and all that it needs, but for what is kept.
SmallVector<Operation *> BackwardSplitter::collectOwn(Operation *root) const {
  llvm::SetVector<Operation *> own;
  if (!kept.contains(root))
    own.insert(root);
  for (size_t i = 0; i < own.size(); ++i)
    for (Value operand : own[i]->getOperands())
      if (Operation *definition = operand.getDefiningOp(); definition && !kept.contains(definition))
        own.insert(definition);
  return own.takeVector();
}

/// Decides what each half has.
void BackwardSplitter::chooseFirst() {
  auto keep = [&](Operation *op) {
    for (Operation *own : collectOwn(op))
      kept.insert(own);
  };
  for (auto store : function.getOps<StoreOp>())
    if (isGradient(store))
      gradients.push_back(store);
    else
      keep(store);
  for (Value result : end->getOperands())
    if (Operation *definition = result.getDefiningOp())
      keep(definition);
  if (end->getNumOperands() == 0)
    keepShared();
  for (StoreOp store : gradients)
    if (llvm::none_of(collectOwn(store), isHeavy))
      keep(store);
  for (StoreOp store : gradients)
    for (Operation *own : collectOwn(store))
      moved.insert(own);
}

/// In the first stage no cotangent is asked for; there it is what more than one gradient needs.
void BackwardSplitter::keepShared() {
  llvm::DenseMap<Operation *, unsigned> counts;
  for (StoreOp store : gradients)
    for (Operation *own : collectOwn(store))
      ++counts[own];
  for (auto [op, count] : counts)
    if (count > 1)
      kept.insert(op);
}

/// Makes the value known in the second half.
void BackwardSplitter::getInWeights(OpBuilder &builder, Value value) {
  if (mapping.contains(value))
    return;
  Operation *op = value.getDefiningOp();
  if (!isFree(op)) {
    handed.push_back(value);
    mapping.map(value, weights.getBody().front().addArgument(value.getType(), value.getLoc()));
    return;
  }
  for (Value operand : op->getOperands())
    getInWeights(builder, operand);
  builder.clone(*op, mapping);
}

void BackwardSplitter::buildWeights() {
  OpBuilder builder(function.getContext());
  builder.setInsertionPointAfter(function);
  weights =
      func::FuncOp::create(builder, function.getLoc(), (names::kBackwardWeight + suffix).str(),
                           builder.getFunctionType(function.getArgumentTypes(), {}));
  if (Attribute rank = function->getAttr(kPipelineRank))
    weights->setAttr(kPipelineRank, rank);
  Block *body = weights.addEntryBlock();
  builder.setInsertionPointToStart(body);
  mapping.map(function.getArguments(), body->getArguments());
  for (Operation &op : block.without_terminator()) {
    if (!moved.contains(&op))
      continue;
    for (Value operand : op.getOperands())
      getInWeights(builder, operand);
    builder.clone(op, mapping);
  }
  func::ReturnOp::create(builder, function.getLoc());
  SmallVector<DictionaryAttr> attributes;
  for (unsigned i = 0; i < function.getNumArguments(); ++i) {
    DictionaryAttr given = function.getArgAttrDict(i);
    attributes.push_back(given ? given : builder.getDictionaryAttr({}));
  }
  for (Value value : handed)
    attributes.push_back(getLocalAttributes(module, value.getType()));
  weights.setType(builder.getFunctionType(body->getArgumentTypes(), {}));
  weights.setAllArgAttrs(attributes);
}

/// Takes the second half out of the first.
void BackwardSplitter::shrinkFirst() {
  for (Value value : handed) {
    end->insertOperands(end->getNumOperands(), value);
    (void)function.insertResult(function.getNumResults(), value.getType(),
                                getLocalAttributes(module, value.getType()));
  }
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
    if (moved.contains(&op))
      op.erase();
  eraseDeadOps(block);
}

namespace {
struct SplitBackward : impl::SplitBackwardBase<SplitBackward> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    if (!module->hasAttr(kSchedule))
      return;
    FailureOr<PipelineSchedule> schedule = readSchedule(module, kSchedule, false);
    if (failed(schedule))
      return signalPassFailure();
    if (!splitsBackward(*schedule))
      return;
    if (!getFamily(module, names::kBackwardWeight).empty()) {
      module.emitError() << "has functions @" << names::kBackwardWeight << " already";
      return signalPassFailure();
    }
    for (func::FuncOp function : getFamily(module, names::kBackward))
      BackwardSplitter(function, function.getSymName().drop_front(names::kBackward.size())).run();
  }
};
} // namespace

} // namespace titan
