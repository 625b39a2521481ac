#include "passes/sharding/Propagation.h"

#include "passes/sharding/ReshardReason.h"
#include "passes/sharding/SplitPropagation.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/STLExtras.h"

#include <tuple>

using namespace llvm;

namespace titan::sharding {

//===----------------------------------------------------------------------===//
// The default policy
//===----------------------------------------------------------------------===//

bool DefaultPolicy::prefers(const Candidate &a, const Candidate &b) const {
  auto rank = [](const Candidate &c) {
    return std::tuple(c.origin, !c.fixed, !c.isResult, -c.elements, c.distance, c.tensor);
  };
  return rank(a) < rank(b);
}

bool DefaultPolicy::passesOn(const PartialSum &sum) const {
  return sum.numUses == 1 && sum.numResults == 1 && sum.resultElements <= sum.operandElements;
}

//===----------------------------------------------------------------------===//
// Partial sums and reshards
//===----------------------------------------------------------------------===//

namespace {

/// Walks the nodes in order, when all splits are known.
class ForwardWalk {
public:
  ForwardWalk(const PropagationGraph &graph, const PropagationPolicy &policy,
              SplitPropagation &splits)
      : graph(graph), policy(policy), splits(splits), zeros(graph.getValues().size()) {}

  PropagationResult run();

private:
  void visit(unsigned node);
  /// Completes the operands' needs by partial sums; returns the axes that pass through the node.
  AxisMask decidePartialSums(unsigned node, MutableArrayRef<Sharding> needs) const;
  /// Lets every term that no split makes a partial sum take one of its operands as such.
  void joinTerms(unsigned node, Axis axis, MutableArrayRef<Sharding> needs) const;
  bool canPassOn(unsigned node, Axis axis) const;
  bool passesOn(unsigned node, Axis axis) const;
  /// Takes an axis from the node's splits where the node could add partial sums over it instead.
  void makeRoomForSums(unsigned node);
  void define(unsigned node, unsigned result, AxisMask passedOn);
  void visit(const Sink &sink, unsigned index);
  Sharding completeForSink(unsigned value) const;
  /// Adds the use to the reshard of the value to `to`; true if that is new and lacks its reason.
  bool require(unsigned value, const Sharding &to, Use use);

  const Sharding &current(unsigned value) const { return result.shardings[value]; }
  bool isPartial(unsigned value, Axis axis) const {
    return is_contained(current(value).partial, axis);
  }
  /// A zero that only one use sees is a partial sum over any axes.
  bool isFreeZero(unsigned value) const { return zeros[value] && graph.getNumUses(value) == 1; }
  bool takeAsPartial(unsigned value, const Sharding &sharding);
  int64_t getLocalElements(unsigned value, const Sharding &sharding) const;

  const PropagationGraph &graph;
  const PropagationPolicy &policy;
  SplitPropagation &splits;
  PropagationResult result;
  BitVector zeros; ///< values that nothing has fixed
  DenseMap<unsigned, SmallVector<unsigned, 1>> reshardsOf;
};

} // namespace

static AxisList toList(AxisMask mask) {
  AxisList axes;
  for (Axis axis = 0; mask >> axis; ++axis)
    if (mask >> axis & 1)
      axes.push_back(axis);
  return axes;
}

static AxisMask toMask(ArrayRef<Axis> axes) {
  AxisMask mask = 0;
  for (Axis axis : axes)
    mask |= AxisMask(1) << axis;
  return mask;
}

static void insert(AxisList &set, Axis axis) { set.insert(lower_bound(set, axis), axis); }

int64_t ForwardWalk::getLocalElements(unsigned value, const Sharding &sharding) const {
  int64_t elements = 1;
  for (auto [extent, axes] : zip_equal(graph.getValues()[value].shape, sharding.dimensions))
    elements *= extent / graph.getMesh().getDegree(axes);
  const int64_t slices = graph.getMesh().getDegree(sharding.flat);
  return (elements + slices - 1) / slices;
}

void ForwardWalk::joinTerms(unsigned index, Axis axis, MutableArrayRef<Sharding> needs) const {
  const Node &node = graph.getNodes()[index];
  const NodeSplits &nodeSplits = splits.getSplits(index);
  auto rank = [&](unsigned value) {
    return isPartial(value, axis) ? 2 : isFreeZero(value) ? 1 : 0;
  };
  SmallVector<int, 4> chosen(nodeSplits.getNumTerms(), -1);
  for (unsigned operand = 0; operand < node.operands.size(); ++operand) {
    int &best = chosen[node.getTerm(operand)];
    if (node.isLinear(operand) &&
        (best < 0 || rank(node.operands[operand]) > rank(node.operands[best])))
      best = static_cast<int>(operand);
  }
  for (auto [term, operand] : enumerate(chosen)) {
    if (nodeSplits.sumsInTerm(term, axis))
      continue;
    assert(operand >= 0 && "the splits leave no term behind");
    insert(needs[operand].partial, axis);
  }
}

/// Whether the node is linear in what is partial over an axis that splits none of its factors: one
/// operand of each term, or a zero.
bool ForwardWalk::canPassOn(unsigned index, Axis axis) const {
  const Node &node = graph.getNodes()[index];
  SmallVector<unsigned, 4> numPartial(splits.getSplits(index).getNumTerms(), 0);
  BitVector hasZero(numPartial.size());
  for (auto [operand, value] : enumerate(node.operands)) {
    const unsigned term = node.getTerm(operand);
    if (node.isLinear(operand) && isFreeZero(value))
      hasZero.set(term);
    if (!isPartial(value, axis))
      continue;
    if (!node.isLinear(operand))
      return false;
    ++numPartial[term];
  }
  return all_of(enumerate(numPartial), [&](const auto &term) {
    return term.value() == 1 || (term.value() == 0 && hasZero[term.index()]);
  });
}

bool ForwardWalk::passesOn(unsigned index, Axis axis) const {
  const Node &node = graph.getNodes()[index];
  const NodeSplits &nodeSplits = splits.getSplits(index);
  if (!canPassOn(index, axis))
    return false;
  const bool isAskedFor = all_of(node.results, [&](unsigned value) {
    const TensorValue &info = graph.getValues()[value];
    return info.isFixed() && is_contained(info.sharding->partial, axis);
  });
  if (isAskedFor)
    return true;
  PartialSum sum = {0, static_cast<unsigned>(node.results.size()), 0, 0};
  for (auto [operand, value] : enumerate(node.operands)) {
    if (!isPartial(value, axis))
      continue;
    sum.numUses = std::max(sum.numUses, graph.getNumUses(value));
    sum.operandElements += getLocalElements(value, nodeSplits.project(operand));
  }
  for (auto [number, value] : enumerate(node.results))
    sum.resultElements +=
        getLocalElements(value, nodeSplits.project(node.operands.size() + number));
  return policy.passesOn(sum);
}

/// The users of the result may want the axis on one of its dimensions. That is no reason to scatter
/// each of several operands: their sum is scattered once.
void ForwardWalk::makeRoomForSums(unsigned index) {
  const Node &node = graph.getNodes()[index];
  AxisMask partial = 0, split = 0;
  for (unsigned value : node.operands) {
    const Sharding &sharding = current(value);
    partial |= toMask(sharding.partial);
    split |= toMask(sharding.flat);
    for (const AxisList &axes : sharding.dimensions)
      split |= toMask(axes);
  }
  for (Axis axis : toList(partial & ~split))
    if (splits.getSplits(index).usesBesidesSums(axis) && passesOn(index, axis))
      splits.getSplits(index).drop(axis);
}

AxisMask ForwardWalk::decidePartialSums(unsigned index, MutableArrayRef<Sharding> needs) const {
  const Node &node = graph.getNodes()[index];
  const NodeSplits &nodeSplits = splits.getSplits(index);
  const AxisMask summed = nodeSplits.getSummedAxes();
  AxisMask concerned = nodeSplits.getNumTerms() > 1 ? summed : 0;
  for (unsigned value : node.operands)
    concerned |= toMask(current(value).partial);
  AxisMask passedOn = 0;
  for (Axis axis : toList(concerned)) {
    // An axis that splits a factor of the results has no room for a sum.
    if (nodeSplits.usesBesidesSums(axis))
      continue;
    if (summed >> axis & 1) {
      joinTerms(index, axis, needs);
    } else if (passesOn(index, axis)) {
      passedOn |= AxisMask(1) << axis;
      joinTerms(index, axis, needs);
    }
  }
  return passedOn;
}

bool ForwardWalk::require(unsigned value, const Sharding &to, Use use) {
  SmallVector<unsigned, 1> &known = reshardsOf[value];
  for (unsigned index : known)
    if (result.reshards[index].to == to) {
      result.reshards[index].uses.push_back(use);
      return false;
    }
  known.push_back(static_cast<unsigned>(result.reshards.size()));
  result.reshards.push_back({value, current(value), to, /*atDefinition=*/false, {use}, {}});
  return true;
}

bool ForwardWalk::takeAsPartial(unsigned value, const Sharding &sharding) {
  if (!isFreeZero(value))
    return false;
  Sharding taken = current(value);
  taken.partial = sharding.partial;
  if (taken != sharding)
    return false;
  result.shardings[value] = std::move(taken);
  return true;
}

void ForwardWalk::define(unsigned index, unsigned number, AxisMask passedOn) {
  const Node &node = graph.getNodes()[index];
  const unsigned value = node.results[number];
  const NodeSplits &nodeSplits = splits.getSplits(index);
  Sharding produced = nodeSplits.project(node.operands.size() + number);
  produced.partial = toList(nodeSplits.getPartialAxes(number) | passedOn);
  const bool isFixed = graph.getValues()[value].isFixed();
  if (node.rule.isZero && isFixed)
    produced.partial = current(value).partial;
  if (!isFixed) {
    result.shardings[value] = std::move(produced);
    zeros[value] = node.rule.isZero;
  } else if (produced != current(value)) {
    const Sharding &to = current(value);
    result.reshards.push_back({value,
                               std::move(produced),
                               to,
                               /*atDefinition=*/true,
                               {},
                               explainResult(graph, index, number, to)});
  }
}

void ForwardWalk::visit(unsigned index) {
  makeRoomForSums(index);
  const Node &node = graph.getNodes()[index];
  const NodeSplits &nodeSplits = splits.getSplits(index);
  SmallVector<Sharding, 3> needs;
  for (unsigned operand = 0; operand < node.operands.size(); ++operand)
    needs.push_back(nodeSplits.project(operand));
  const AxisMask passedOn = decidePartialSums(index, needs);
  for (unsigned operand = 0; operand < node.operands.size(); ++operand) {
    const unsigned value = node.operands[operand];
    const Sharding &need = needs[operand];
    if (current(value) != need && !takeAsPartial(value, need) &&
        require(value, need, {false, index, operand}))
      result.reshards.back().reason =
          explainOperand(graph, index, operand, nodeSplits, current(value), need);
  }
  for (unsigned number = 0; number < node.results.size(); ++number)
    define(index, number, passedOn);
}

/// The value without partial sums: as another use has it, else scattered over the dimensions where
/// its neighbours want the axes of the sum.
Sharding ForwardWalk::completeForSink(unsigned value) const {
  if (auto known = reshardsOf.find(value); known != reshardsOf.end())
    for (unsigned index : known->second)
      if (result.reshards[index].to.partial.empty())
        return result.reshards[index].to;
  Sharding complete = current(value);
  complete.partial.clear();
  for (auto [axes, wished] : zip_equal(complete.dimensions, splits.getWish(value).dimensions)) {
    if (!ArrayRef(wished).take_front(axes.size()).equals(axes))
      continue;
    for (Axis axis : ArrayRef(wished).drop_front(std::min(axes.size(), wished.size()))) {
      if (!isPartial(value, axis))
        break;
      axes.push_back(axis);
    }
  }
  return complete;
}

void ForwardWalk::visit(const Sink &sink, unsigned index) {
  const Sharding &from = current(sink.value);
  if (!sink.sharding && from.partial.empty())
    return;
  const Sharding to = sink.sharding ? *sink.sharding : completeForSink(sink.value);
  if (from != to && !takeAsPartial(sink.value, to) && require(sink.value, to, {true, index, 0}))
    result.reshards.back().reason = explainSink(graph, sink, to);
}

PropagationResult ForwardWalk::run() {
  // What no node computes, and is not fixed, is what its users want.
  for (auto [index, value] : enumerate(graph.getValues()))
    result.shardings.push_back(value.isFixed() ? *value.sharding : splits.getWish(index));
  for (unsigned node = 0, end = graph.getNodes().size(); node < end; ++node)
    visit(node);
  for (auto [index, sink] : enumerate(graph.getSinks()))
    visit(sink, index);
  return std::move(result);
}

PropagationResult propagateShardings(const PropagationGraph &graph,
                                     const PropagationPolicy &policy) {
  PropagationResult failure;
  failure.errors = graph.verify();
  if (!failure.errors.empty())
    return failure;
  SplitPropagation splits(graph, policy);
  splits.run();
  return ForwardWalk(graph, policy, splits).run();
}

} // namespace titan::sharding
