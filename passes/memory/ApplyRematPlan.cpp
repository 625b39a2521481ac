#include "dialects/titan/Sharding.h"
#include "passes/Functions.h"
#include "passes/memory/RematProblem.h"
#include "passes/sharding/OpMotion.h"

#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

using namespace mlir;

namespace titan {
namespace {

/// The backward, or a half of it.
struct Half {
  func::FuncOp function;
  IRMapping mapping;                    ///< from values of the forward to what it has of them
  llvm::DenseMap<Value, Value> missing; ///< old residual arguments that are no longer given
};

class PlanApplier {
public:
  PlanApplier(const RematProblem &problem, const RematPlan &plan)
      : problem(problem), plan(plan), forward(problem.functions.forward),
        returned(forward.getBody().front().getTerminator()) {
    halves.emplace_back().function = problem.functions.backward;
    if (problem.functions.weights)
      halves.emplace_back().function = problem.functions.weights;
  }

  void run() {
    for (Half &half : halves)
      for (auto [i, argument] : llvm::enumerate(forward.getArguments()))
        half.mapping.map(argument, half.function.getArgument(i));
    for (auto [number, value] : llvm::enumerate(problem.values)) {
      if (plan.kept[number])
        kept.insert(value);
      if (plan.carried[number])
        carried.insert(value);
    }
    keepOldResiduals();
    addNewResiduals();
    recompute(halves.front());
    handOver();
    if (halves.size() > 1)
      recompute(halves.back());
    for (Half &half : halves) {
      obsolete.resize(half.function.getNumArguments());
      (void)half.function.eraseArguments(obsolete); // fails for functions without a body only
    }
    unreturned.resize(forward.getNumResults());
    returned->eraseOperands(unreturned);
    (void)forward.eraseResults(unreturned);
    eraseDeadOps(forward.getBody().front());
  }

private:
  void keepOldResiduals();
  void addNewResiduals();
  static void recompute(Half &half);
  void handOver();
  void give(Value value, unsigned index);
  static DictionaryAttr addResult(func::FuncOp function, Value value);

  const RematProblem &problem;
  const RematPlan &plan;
  func::FuncOp forward;
  Operation *returned;
  SmallVector<Half, 2> halves;
  llvm::DenseSet<Value> kept, carried;
  BitVector unreturned; ///< results of the forward that it returns no longer
  BitVector obsolete;   ///< arguments of the backward, of both halves alike
};

} // namespace

/// Whether the value is a whole weight that the backward is to have from the forward.
static bool isGatheredToKeep(Value value) {
  Operation *op = value.getDefiningOp();
  while (op && isView(op))
    op = op->getOperand(0).getDefiningOp();
  auto collective = dyn_cast_if_present<CollectiveOpInterface>(op);
  return collective && collective.isKeptForBackward();
}

/// The backward has the value as an argument. A second half has it only if the plan says so: what
/// it does not read needs no memory until then.
void PlanApplier::give(Value value, unsigned index) {
  halves.front().mapping.map(value, halves.front().function.getArgument(index));
  if (halves.size() > 1 && (carried.contains(value) || !kept.contains(value)))
    halves.back().mapping.map(value, halves.back().function.getArgument(index));
}

/// Residuals that stay keep their places and what is known of their layout.
void PlanApplier::keepOldResiduals() {
  obsolete.resize(halves.front().function.getNumArguments());
  unreturned.resize(returned->getNumOperands());
  const unsigned numSent = problem.functions.numSent;
  for (unsigned i = numSent; i < returned->getNumOperands(); ++i) {
    Value value = returned->getOperand(i);
    const unsigned index = forward.getNumArguments() + i - numSent;
    if ((kept.contains(value) || isGatheredToKeep(value)) &&
        !halves.front().mapping.contains(value)) {
      give(value, index);
    } else {
      unreturned.set(i);
      obsolete.set(index);
    }
    for (Half &half : halves)
      if (BlockArgument argument = half.function.getArgument(index);
          half.mapping.lookupOrNull(value) != argument)
        half.missing[argument] = value;
  }
}

/// Returns what is known of the layout of the new last result.
DictionaryAttr PlanApplier::addResult(func::FuncOp function, Value value) {
  Operation *end = function.getBody().front().getTerminator();
  const DictionaryAttr attributes =
      getLocalAttributes(function->getParentOfType<ModuleOp>(), value.getType());
  end->insertOperands(end->getNumOperands(), value);
  (void)function.insertResult(function.getNumResults(), value.getType(), attributes);
  return attributes;
}

/// New residuals stand behind the old ones, all of which are still there.
void PlanApplier::addNewResiduals() {
  unsigned index = forward.getNumArguments() + problem.functions.numResiduals;
  for (Value value : problem.values) {
    if (!kept.contains(value) || halves.front().mapping.contains(value))
      continue;
    const DictionaryAttr attributes = addResult(forward, value);
    for (Half &half : halves)
      (void)half.function.insertArgument(index, value.getType(), attributes, value.getLoc());
    give(value, index);
    ++index;
  }
}

/// In the order of the ops, so that each is computed right before its first reader.
void PlanApplier::recompute(Half &half) {
  for (Operation &op : llvm::make_early_inc_range(half.function.getBody().front()))
    for (OpOperand &operand : op.getOpOperands())
      if (auto found = half.missing.find(operand.get()); found != half.missing.end()) {
        OpBuilder builder(&op);
        operand.set(cloneWithOperands(builder, found->second, half.mapping));
      }
}

/// The first half returns what it has computed again and the second one is to have.
void PlanApplier::handOver() {
  func::FuncOp first = halves.front().function;
  OpBuilder builder(first.getBody().front().getTerminator());
  for (Value value : problem.values) {
    if (!carried.contains(value) || kept.contains(value) || isa<BlockArgument>(value))
      continue;
    const DictionaryAttr attributes =
        addResult(first, cloneWithOperands(builder, value, halves.front().mapping));
    func::FuncOp second = halves.back().function;
    const unsigned index = second.getNumArguments();
    (void)second.insertArgument(index, value.getType(), attributes, value.getLoc());
    halves.back().mapping.map(value, second.getArgument(index));
  }
}

void applyPlan(const RematProblem &problem, const RematPlan &plan) {
  PlanApplier(problem, plan).run();
}

} // namespace titan
