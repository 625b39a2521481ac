#include "dialects/titan/Sharding.h"
#include "passes/Functions.h"
#include "passes/memory/RematProblem.h"
#include "passes/sharding/OpMotion.h"

#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

using namespace mlir;

namespace titan {
namespace {

class PlanApplier {
public:
  PlanApplier(const RematProblem &problem, const RematPlan &plan)
      : problem(problem), plan(plan), forward(problem.functions.forward),
        backward(problem.functions.backward), returned(forward.getBody().front().getTerminator()) {}

  void run() {
    for (auto [i, argument] : llvm::enumerate(forward.getArguments()))
      mapping.map(argument, backward.getArgument(i));
    keepOldResiduals();
    addNewResiduals();
    recompute();
    (void)backward.eraseArguments(obsolete); // fails for functions without a body only
    setResults();
    eraseDeadOps(forward.getBody().front());
  }

private:
  void keepOldResiduals();
  void addNewResiduals();
  void recompute();
  void setResults();

  const RematProblem &problem;
  const RematPlan &plan;
  func::FuncOp forward, backward;
  Operation *returned;
  IRMapping mapping;                      ///< from values of the forward to what the backward has
  SmallVector<Value> results;             ///< of the forward: what it sends, then the residuals
  SmallVector<DictionaryAttr> attributes; ///< of the results
  llvm::DenseMap<Value, Value> missing;   ///< old residual arguments that are no longer given
  BitVector obsolete;                     ///< arguments of the backward
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

/// Residuals that stay keep their places and what is known of their layout.
void PlanApplier::keepOldResiduals() {
  llvm::DenseSet<Value> kept;
  for (auto [number, value] : llvm::enumerate(problem.values))
    if (plan.kept[number])
      kept.insert(value);
  obsolete.resize(backward.getNumArguments());
  const unsigned numSent = problem.functions.numSent;
  for (auto [i, value] : llvm::enumerate(returned->getOperands())) {
    DictionaryAttr known = forward.getResultAttrDict(i);
    if (!known)
      known = DictionaryAttr::get(forward.getContext());
    if (i < numSent) {
      results.push_back(value);
      attributes.push_back(known);
      continue;
    }
    const unsigned index = forward.getNumArguments() + i - numSent;
    if ((kept.contains(value) || isGatheredToKeep(value)) && !mapping.contains(value)) {
      mapping.map(value, backward.getArgument(index));
      results.push_back(value);
      attributes.push_back(known);
      continue;
    }
    obsolete.set(index);
    missing[backward.getArgument(index)] = value;
  }
}

/// New residuals stand behind the old ones, all of which are still there.
void PlanApplier::addNewResiduals() {
  unsigned index = forward.getNumArguments() + problem.functions.numResiduals;
  for (auto [number, value] : llvm::enumerate(problem.values)) {
    if (!plan.kept[number] || mapping.contains(value))
      continue;
    results.push_back(value);
    attributes.push_back(getLocalAttributes(forward->getParentOfType<ModuleOp>(), value.getType()));
    (void)backward.insertArgument(index, value.getType(), attributes.back(), value.getLoc());
    mapping.map(value, backward.getArgument(index));
    ++index;
  }
  BitVector shifted(backward.getNumArguments());
  for (unsigned old : obsolete.set_bits())
    shifted.set(old);
  obsolete = std::move(shifted);
}

/// In the order of the ops, so that each is computed right before its first reader.
void PlanApplier::recompute() {
  for (Operation &op : llvm::make_early_inc_range(backward.getBody().front()))
    for (OpOperand &operand : op.getOpOperands())
      if (auto found = missing.find(operand.get()); found != missing.end()) {
        OpBuilder builder(&op);
        operand.set(cloneWithOperands(builder, found->second, mapping));
      }
}

void PlanApplier::setResults() {
  returned->setOperands(results);
  forward.setType(FunctionType::get(forward.getContext(), forward.getArgumentTypes(),
                                    returned->getOperandTypes()));
  function_interface_impl::setAllResultAttrDicts(forward, attributes);
}

void applyPlan(const RematProblem &problem, const RematPlan &plan) {
  PlanApplier(problem, plan).run();
}

} // namespace titan
