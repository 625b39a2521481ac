#include "passes/memory/RematProblem.h"

#include "dialects/interfaces/Collective.h"
#include "dialects/titan/Sharding.h"
#include "passes/Functions.h"
#include "passes/sharding/OpMotion.h"

#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;

namespace titan {

/// None if the backward does not fit.
static std::optional<DirectionPair> pairUp(func::FuncOp forward, func::FuncOp backward) {
  const unsigned numShared = forward.getNumArguments();
  unsigned numResiduals = 0;
  for (unsigned i = numShared; i < backward.getNumArguments(); ++i)
    numResiduals += !backward.getArgAttr(i, kReceived);
  if (backward.getNumArguments() < numShared || forward.getNumResults() < numResiduals)
    return std::nullopt;
  SmallVector<Type> expected(forward.getArgumentTypes());
  llvm::append_range(expected, forward.getResultTypes().take_back(numResiduals));
  if (backward.getArgumentTypes().take_front(expected.size()) != ArrayRef<Type>(expected))
    return std::nullopt;
  return DirectionPair{forward, backward, forward.getNumResults() - numResiduals, numResiduals};
}

FailureOr<SmallVector<DirectionPair>> findDirectionPairs(ModuleOp module) {
  SmallVector<DirectionPair> pairs;
  for (auto [forward, backward] :
       llvm::zip(getFamily(module, names::kForward), getFamily(module, names::kBackward))) {
    std::optional<DirectionPair> pair = pairUp(forward, backward);
    if (!pair)
      return backward.emitError("expects the arguments of @")
             << forward.getName() << ", then its residuals, found " << backward.getFunctionType();
    pairs.push_back(*pair);
  }
  return pairs;
}

RematProblem::RematProblem(DirectionPair functions, const MachineBalance &balance)
    : functions(functions) {
  for (BlockArgument argument : functions.forward.getArguments()) {
    valueNumbers[argument] = static_cast<unsigned>(values.size());
    values.push_back(argument);
    graph.values.emplace_back();
  }
  for (Operation &op : functions.forward.getBody().front().without_terminator())
    addOp(&op, balance);
  Operation *end = functions.forward.getBody().front().getTerminator();
  for (Value result : end->getOperands().drop_front(functions.numSent))
    if (auto number = valueNumbers.find(result); number != valueNumbers.end())
      graph.values[number->second].isNeeded = true;
  markBoundaries();
  findTail();
}

/// Ops on variables alone stay outside of the graph.
void RematProblem::addOp(Operation *op, const MachineBalance &balance) {
  auto isKnown = [&](Value value) { return valueNumbers.contains(value); };
  if (isPure(op) && llvm::none_of(op->getOperands(), isKnown))
    return;
  const auto number = static_cast<unsigned>(ops.size());
  RematOp info{estimateWork(op, balance), isPure(op), {}};
  for (Value operand : op->getOperands())
    if (isKnown(operand))
      info.operands.push_back(valueNumbers.lookup(operand));
  layers.push_back(findLayer(op));
  opNumbers[op] = number;
  ops.push_back(op);
  graph.ops.push_back(std::move(info));
  for (OpResult result : op->getResults()) {
    valueNumbers[result] = static_cast<unsigned>(values.size());
    values.push_back(result);
    graph.values.push_back(
        {getByteSize(result.getType()), static_cast<int>(number), false, !isView(op)});
  }
}

std::string RematProblem::findLayer(Operation *op) const {
  if (std::optional<StringRef> layer = getLayerOfLocation(op->getLoc()))
    return layer->str();
  for (Value operand : op->getOperands())
    if (auto found = opNumbers.find(operand.getDefiningOp()); found != opNumbers.end())
      return layers[found->second];
  return {};
}

void RematProblem::markBoundaries() {
  for (auto [user, info] : llvm::enumerate(graph.ops))
    for (unsigned operand : info.operands) {
      int producer = graph.values[operand].producer;
      if (producer < 0 || layers[producer] == layers[user])
        continue;
      while (producer >= 0 && isView(ops[producer]))
        producer = graph.values[graph.ops[producer].operands.front()].producer;
      if (producer >= 0)
        graph.ops[producer].mayRerun = false;
    }
}

void RematProblem::findTail() {
  // Without layers there is nothing that could stand behind them.
  if (llvm::all_of(layers, [](const std::string &layer) { return layer.empty(); }))
    return;
  Operation *end = functions.forward.getBody().front().getTerminator();
  auto isReadByBackward = [&](OpOperand &use) {
    return use.getOwner() == end ? use.getOperandNumber() >= functions.numSent
                                 : tail.contains(use.getOwner());
  };
  for (size_t op = ops.size(); op-- > 0;)
    if (layers[op].empty() && graph.ops[op].mayRerun &&
        llvm::all_of(ops[op]->getUses(), isReadByBackward)) {
      tail.insert(ops[op]);
      graph.ops[op].work = 0;
    }
}

void RematProblem::keepOutside(RematGraph &result, size_t op) const {
  if (!isPointwise(ops[op]) && !isView(ops[op]) && !tail.contains(ops[op]))
    result.ops[op].mayRerun = false;
}

RematGraph RematProblem::withFullLayers(function_ref<bool(size_t)> isFull) const {
  RematGraph result = graph;
  llvm::StringMap<bool> full{{"", false}};
  for (size_t op = 0; op < ops.size(); ++op) {
    const auto [layer, isNew] = full.try_emplace(layers[op], false);
    if (isNew)
      layer->second = isFull(full.size() - 1);
    if (!layer->second)
      keepOutside(result, op);
    else if (result.ops[op].mayRerun)
      for (Value value : ops[op]->getResults())
        result.values[valueNumbers.lookup(value)].mayKeep = false;
  }
  return result;
}

RematGraph RematProblem::withOpChoices() const {
  RematGraph result = graph;
  llvm::StringMap<size_t> counts; // of the ops of which each layer keeps every other one
  auto isKept = [&](size_t op) {
    if (auto collective = dyn_cast<CollectiveOpInterface>(ops[op]))
      return collective.getKind() == CollectiveKind::reduceScatter;
    auto cost = dyn_cast<CostOpInterface>(ops[op]);
    const RerunChoice choice = cost ? cost.getRerunChoice() : RerunChoice::rerun;
    if (choice == RerunChoice::keepEveryOther)
      return ++counts[layers[op]] % 2 == 1;
    return choice == RerunChoice::keep;
  };
  for (size_t op = 0; op < ops.size(); ++op) {
    if (layers[op].empty())
      keepOutside(result, op);
    else if (isKept(op))
      result.ops[op].mayRerun = false;
    else if (result.ops[op].mayRerun)
      for (Value value : ops[op]->getResults())
        result.values[valueNumbers.lookup(value)].mayKeep = false;
  }
  return result;
}

RematPlan choosePlan(const RematProblem &problem, const RematChoice &choice) {
  switch (choice.mode) {
  case RematMode::none:
    return planLeastBytes(problem.withFullLayers([](size_t) { return false; }));
  case RematMode::full:
    return planLeastBytes(problem.withFullLayers([](size_t) { return true; }));
  case RematMode::selective:
    return planLeastBytes(problem.withFullLayers(
        [&](size_t layer) { return static_cast<int64_t>(layer) % choice.every == 0; }));
  case RematMode::perOp:
    return planLeastBytes(problem.withOpChoices());
  case RematMode::budget:
    break;
  case RematMode::limit:
    llvm_unreachable("is chosen for a rank");
  }
  const RematPlan none = choosePlan(problem, {.mode = RematMode::none});
  const RematFrontier frontier(problem.graph);
  const int64_t least = frontier.getPoints().back().bytes;
  const double allowed = choice.budget * static_cast<double>(none.bytes - least);
  return *frontier.planWithin(least + static_cast<int64_t>(allowed));
}

} // namespace titan
