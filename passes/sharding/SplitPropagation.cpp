#include "passes/sharding/SplitPropagation.h"

#include "llvm/ADT/STLExtras.h"

#include <tuple>

using namespace llvm;

namespace titan::sharding {

SplitPropagation::SplitPropagation(const PropagationGraph &graph, const PropagationPolicy &policy)
    : graph(graph), policy(policy), isQueued(graph.getNodes().size()) {
  nodes.reserve(graph.getNodes().size());
  for (unsigned node = 0, end = graph.getNodes().size(); node < end; ++node)
    nodes.emplace_back(graph, node);
  values.resize(graph.getValues().size());
  for (auto [value, state] : zip_equal(graph.getValues(), values)) {
    state.slots.resize(value.shape.size() + 1);
    if (!value.isFixed())
      continue;
    state.isFixed = true;
    state.isVisible = false;
    for (auto [slot, axes] : zip(state.slots, value.sharding->dimensions))
      slot = {axes, value.origin};
    state.slots.back() = {value.sharding->flat, value.origin};
  }
}

void SplitPropagation::run() {
  for (Origin origin : {Origin::variable, Origin::annotation, Origin::seed}) {
    introduce(origin);
    // First in, first out: what is nearer to a fixed sharding comes earlier.
    while (!queue.empty()) {
      const unsigned node = queue.front();
      queue.pop_front();
      isQueued[node] = false;
      visit(node);
    }
  }
  for (unsigned node = 0, end = nodes.size(); node < end; ++node)
    coverTerms(node);
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

void SplitPropagation::introduce(Origin origin) {
  for (auto [index, value] : enumerate(graph.getValues())) {
    if (!value.sharding || value.origin != origin)
      continue;
    if (!value.isFixed()) {
      suggest(index, *value.sharding, /*withFlat=*/false, origin, 0);
      continue;
    }
    values[index].isVisible = true;
    enqueueNeighbours(index);
  }
  for (const Sink &sink : graph.getSinks())
    if (sink.sharding && sink.origin == origin)
      suggest(sink.value, *sink.sharding, /*withFlat=*/true, origin, 1);
}

void SplitPropagation::suggest(unsigned value, const Sharding &sharding, bool withFlat,
                               Origin origin, unsigned distance) {
  const size_t rank = graph.getValues()[value].shape.size();
  bool changed = false;
  for (auto [slot, axes] : enumerate(ArrayRef(sharding.dimensions).take_front(rank)))
    changed |= extend(value, slot, axes, origin, distance);
  if (withFlat)
    changed |= extend(value, rank, sharding.flat, origin, distance);
  if (changed)
    enqueueNeighbours(value);
}

/// Extends an open value's slot towards `axes`, as far as it does not contradict what is known.
bool SplitPropagation::extend(unsigned value, unsigned slot, ArrayRef<Axis> axes, Origin origin,
                              unsigned distance) {
  ValueState &state = values[value];
  Wish &wish = state.slots[slot];
  if (state.isFixed || axes.size() <= wish.axes.size() ||
      !axes.take_front(wish.axes.size()).equals(wish.axes))
    return false;
  const Mesh &mesh = graph.getMesh();
  ArrayRef<int64_t> shape = graph.getValues()[value].shape;
  int64_t degree = mesh.getDegree(wish.axes);
  bool changed = false;
  for (Axis axis : axes.drop_front(wish.axes.size())) {
    if (axis >= mesh.axes.size() || state.axes >> axis & 1)
      break;
    degree *= mesh.axes[axis].size;
    if (slot < shape.size() && shape[slot] % degree)
      break;
    wish.axes.push_back(axis);
    state.axes |= AxisMask(1) << axis;
    changed = true;
  }
  if (changed) {
    wish.origin = origin;
    wish.distance = distance;
  }
  return changed;
}

Sharding SplitPropagation::getWish(unsigned value) const {
  ArrayRef<Wish> slots = values[value].slots;
  Sharding sharding;
  for (const Wish &wish : slots.drop_back())
    sharding.dimensions.push_back(wish.axes);
  sharding.flat = slots.back().axes;
  return sharding;
}

void SplitPropagation::enqueue(unsigned node) {
  if (isQueued[node])
    return;
  isQueued[node] = true;
  queue.push_back(node);
}

void SplitPropagation::enqueueNeighbours(unsigned value, std::optional<unsigned> except) {
  for (unsigned node : graph.getNeighbours(value))
    if (node != except)
      enqueue(node);
}

//===----------------------------------------------------------------------===//
// Nodes
//===----------------------------------------------------------------------===//

void SplitPropagation::collect(unsigned node, SmallVectorImpl<Candidate> &candidates) const {
  const NodeSplits &splits = nodes[node];
  const bool isSource = graph.getNodes()[node].operands.empty();
  for (unsigned tensor = 0, end = splits.getNumTensors(); tensor < end; ++tensor) {
    const unsigned value = splits.getValue(tensor);
    const ValueState &state = values[value];
    if (!state.isVisible)
      continue;
    for (auto [slot, wish] : enumerate(state.slots)) {
      if (wish.axes.empty())
        continue;
      // The flat form goes with the flow of data: an op that computes what will be stored in
      // slices may first have to sum it up.
      const bool isFlat = slot + 1 == state.slots.size();
      if (isFlat && splits.isResult(tensor) && !isSource)
        continue;
      splits.forEachPart(tensor, slot, wish.axes, [&](unsigned split, ArrayRef<Axis> axes) {
        if (!splits.isExtension(split, axes))
          return;
        int64_t elements = 1;
        for (int64_t extent : graph.getValues()[value].shape)
          elements *= extent;
        const unsigned numOperands = graph.getNodes()[node].operands.size();
        candidates.push_back({split, AxisList(axes), wish.origin, wish.distance, state.isFixed,
                              splits.isResult(tensor),
                              splits.isResult(tensor) ? tensor - numOperands : tensor, elements});
      });
    }
  }
}

void SplitPropagation::visit(unsigned node) {
  SmallVector<Candidate, 4> candidates;
  collect(node, candidates);
  if (candidates.empty())
    return;
  if (candidates.size() > 1)
    sort(candidates, [&](const Candidate &a, const Candidate &b) {
      if (policy.prefers(a, b) || policy.prefers(b, a))
        return policy.prefers(a, b);
      return std::tie(a.isResult, a.tensor, a.factor) < std::tie(b.isResult, b.tensor, b.factor);
    });
  // An inner factor may have to wait for the outer one, hence the repetition.
  bool changedAny = false;
  for (bool changed = true; changed;) {
    changed = false;
    for (const Candidate &candidate : candidates)
      changed |= nodes[node].extend(candidate.factor, candidate.axes, candidate.origin,
                                    candidate.distance);
    changedAny |= changed;
  }
  if (changedAny)
    pushOut(node);
}

void SplitPropagation::pushOut(unsigned node) {
  for (unsigned tensor = 0, end = nodes[node].getNumTensors(); tensor < end; ++tensor)
    if (!values[nodes[node].getValue(tensor)].isFixed)
      pushOut(node, tensor);
}

void SplitPropagation::pushOut(unsigned node, unsigned tensor) {
  const NodeSplits &splits = nodes[node];
  const unsigned value = splits.getValue(tensor);
  bool changed = false;
  for (unsigned slot = 0, end = values[value].slots.size(); slot < end; ++slot) {
    const AxisList axes = splits.project(tensor, slot);
    if (axes.size() <= values[value].slots[slot].axes.size())
      continue;
    Origin origin = Origin::variable;
    unsigned distance = 0;
    for (unsigned part : splits.getParts(tensor, slot)) {
      const Split &split = splits.getSplits()[part];
      if (split.axes.empty())
        continue;
      origin = std::max(origin, split.origin);
      distance = std::max(distance, split.distance + 1);
    }
    changed |= extend(value, slot, axes, origin, distance);
  }
  if (changed)
    enqueueNeighbours(value, node);
}

//===----------------------------------------------------------------------===//
// Sums of several terms
//===----------------------------------------------------------------------===//

/// If one term becomes a partial sum, all have to. A term that is linear in an operand can take
/// that operand as a partial sum, which is decided later; another, such as a sum of squares, is cut
/// into flat slices over the axis, which costs nothing; and if that is impossible, no term is
/// split over the axis.
void SplitPropagation::coverTerms(unsigned index) {
  NodeSplits &splits = nodes[index];
  const Node &node = graph.getNodes()[index];
  if (splits.getNumTerms() < 2 || !splits.getSummedAxes())
    return;
  BitVector hasLinear(splits.getNumTerms());
  SmallVector<int, 4> flatSplitOfTerm(splits.getNumTerms(), -1);
  for (unsigned operand = 0; operand < node.operands.size(); ++operand) {
    if (node.isLinear(operand))
      hasLinear.set(node.getTerm(operand));
    const int flat = splits.getFlatSplit(operand);
    if (flat >= 0 && splits.getSplits()[flat].isSummed())
      flatSplitOfTerm[node.getTerm(operand)] = flat;
  }
  for (Axis axis = 0; axis < graph.getMesh().axes.size(); ++axis) {
    const AxisMask bit = AxisMask(1) << axis;
    if (!(splits.getSummedAxes() & bit))
      continue;
    bool covered = true;
    for (unsigned term = 0; term < splits.getNumTerms(); ++term) {
      if (splits.sumsInTerm(term, axis) || hasLinear[term])
        continue;
      const int flat = flatSplitOfTerm[term];
      AxisList axes;
      if (flat >= 0)
        axes = splits.getSplits()[flat].axes;
      axes.push_back(axis);
      covered &= flat >= 0 && splits.extend(flat, axes, Origin::seed, 0);
    }
    if (!covered)
      splits.drop(axis);
  }
}

} // namespace titan::sharding
