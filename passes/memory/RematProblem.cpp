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
  return DirectionPair{forward, backward, {}, forward.getNumResults() - numResiduals, numResiduals};
}

/// Whether the second half takes what the first one takes and then its last results.
static bool doHalvesFit(func::FuncOp first, func::FuncOp second) {
  const unsigned numArguments = first.getNumArguments();
  if (second.getNumArguments() < numArguments ||
      second.getArgumentTypes().take_front(numArguments) != first.getArgumentTypes())
    return false;
  const auto handed = second.getArgumentTypes().drop_front(numArguments);
  return handed.size() <= first.getNumResults() &&
         first.getResultTypes().take_back(handed.size()) == handed;
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
  // A backward in one piece has no such functions.
  for (auto [pair, second] : llvm::zip(pairs, getFamily(module, names::kBackwardWeight))) {
    pair.weights = second;
    if (!doHalvesFit(pair.backward, second))
      return second.emitError("expects the arguments of @")
             << pair.backward.getName() << ", then its last results, found "
             << second.getFunctionType();
  }
  return pairs;
}

RematProblem::RematProblem(DirectionPair functions, const MachineBalance &balance,
                           const MicrobatchesInFlight &inFlight)
    : functions(functions), inFlight(inFlight) {
  for (BlockArgument argument : functions.forward.getArguments())
    addValue(argument, /*producer=*/-1, /*mayKeep=*/true);
  for (Operation &op : functions.forward.getBody().front().without_terminator())
    addOp(&op, balance);
  markNeeded();
  markBoundaries();
  findTail();
}

/// An argument is kept anyway: the batch as long as the step, and what other stages have sent as
/// long as the backward reads it.
void RematProblem::addValue(Value value, int producer, bool mayKeep) {
  const int64_t bytes = getByteSize(value.getType());
  RematValue info{.producer = producer, .mayKeep = mayKeep};
  const auto argument = dyn_cast<BlockArgument>(value);
  if (!argument) {
    info.bytes = bytes * inFlight.toBackward;
    info.bytesToWeights = bytes * inFlight.toWeights;
    info.bytesHanded = bytes * inFlight.handed;
  } else if (functions.forward.getArgAttr(argument.getArgNumber(), kReceived)) {
    info.bytesHanded = bytes * (inFlight.toWeights - inFlight.toBackward);
  }
  valueNumbers[value] = static_cast<unsigned>(values.size());
  values.push_back(value);
  graph.values.push_back(info);
}

void RematProblem::markNeeded() {
  auto mark = [&](Value value, unsigned index) {
    const auto number = valueNumbers.find(value);
    if (number == valueNumbers.end())
      return;
    RematValue &info = graph.values[number->second];
    info.isNeeded |= !functions.backward.getArgument(index).use_empty();
    if (functions.weights)
      info.isNeededByWeights |= !functions.weights.getArgument(index).use_empty();
  };
  SmallVector<Value> shared(functions.forward.getArguments());
  Operation *end = functions.forward.getBody().front().getTerminator();
  llvm::append_range(shared, end->getOperands().drop_front(functions.numSent));
  for (auto [index, value] : llvm::enumerate(shared))
    mark(value, index);
}

/// Ops on variables alone stay outside of the graph.
void RematProblem::addOp(Operation *op, const MachineBalance &balance) {
  auto isKnown = [&](Value value) { return valueNumbers.contains(value); };
  if (isPure(op) && llvm::none_of(op->getOperands(), isKnown))
    return;
  const auto number = static_cast<unsigned>(ops.size());
  const int64_t work = estimateWork(op, balance);
  RematOp info{work, work, isPure(op), {}};
  for (Value operand : op->getOperands())
    if (isKnown(operand))
      info.operands.push_back(valueNumbers.lookup(operand));
  layers.push_back(findLayer(op));
  opNumbers[op] = number;
  ops.push_back(op);
  graph.ops.push_back(std::move(info));
  for (OpResult result : op->getResults())
    addValue(result, static_cast<int>(number), !isView(op));
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
  const double allowed =
      choice.budget * static_cast<double>(std::max<int64_t>(0, none.bytes - least));
  return *frontier.planWithin(least + static_cast<int64_t>(allowed));
}

} // namespace titan
