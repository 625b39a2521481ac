#include "passes/sharding/NodeSplits.h"

#include "llvm/ADT/STLExtras.h"

using namespace llvm;

namespace titan::sharding {

//===----------------------------------------------------------------------===//
// Factors and flat forms
//===----------------------------------------------------------------------===//

NodeSplits::NodeSplits(const PropagationGraph &graph, unsigned index)
    : mesh(&graph.getMesh()), node(&graph.getNodes()[index]) {
  unsigned numTerms = 1;
  for (unsigned term : node->terms)
    numTerms = std::max(numTerms, term + 1);
  summedAxes.assign(numTerms, 0);

  for (const Factor &factor : node->rule.factors) {
    Split &split = splits.emplace_back();
    split.size = split.room = factor.size;
    split.splittable =
        factor.kind == FactorKind::passThrough || factor.kind == FactorKind::reduction;
    split.isReduction = factor.kind == FactorKind::reduction;
  }
  addFlatForms();
  for (unsigned tensor = 0; tensor < getNumTensors(); ++tensor) {
    for (const DimensionFactors &dimension : getFactors(tensor)) {
      hasCompound |= dimension.size() > 1;
      for (unsigned factor : dimension)
        noteOccurrence(tensor, splits[factor]);
    }
    if (flatSplits[tensor] >= 0)
      noteOccurrence(tensor, splits[flatSplits[tensor]]);
  }
}

void NodeSplits::noteOccurrence(unsigned tensor, Split &split) {
  if (isResult(tensor))
    split.inResult = true;
  else if (const unsigned term = node->getTerm(tensor); !is_contained(split.terms, term))
    split.terms.push_back(term);
}

static SmallVector<unsigned, 6> inOrder(const TensorFactors &factors) {
  SmallVector<unsigned, 6> sequence;
  for (const DimensionFactors &dimension : factors)
    sequence.append(dimension.begin(), dimension.end());
  return sequence;
}

void NodeSplits::addFlatForms() {
  constexpr int kNone = -1;
  struct Group {
    SmallVector<unsigned, 6> factors;
    bool hasFlatForm;
    int split = kNone;
  };
  SmallVector<Group, 2> groups;
  SmallVector<int, 8> groupOfFactor(node->rule.factors.size(), kNone);
  SmallVector<int, 4> groupOfTensor(getNumTensors(), kNone);
  for (unsigned tensor = 0; tensor < getNumTensors(); ++tensor) {
    SmallVector<unsigned, 6> factors = inOrder(getFactors(tensor));
    if (factors.empty())
      continue;
    const int known = groupOfFactor[factors.front()];
    if (known != kNone && groups[known].factors == factors) {
      groupOfTensor[tensor] = known;
      continue;
    }
    // Another tensor has some of the factors, but not all or not in this order: neither may be cut
    // into flat slices.
    const FactorKind kind = node->rule.factors[factors.front()].kind;
    bool hasFlatForm = kind == FactorKind::passThrough || kind == FactorKind::reduction;
    for (unsigned factor : factors) {
      hasFlatForm &= node->rule.factors[factor].kind == kind;
      int &group = groupOfFactor[factor];
      if (group != kNone)
        hasFlatForm = groups[group].hasFlatForm = false;
      group = static_cast<int>(groups.size());
    }
    groupOfTensor[tensor] = static_cast<int>(groups.size());
    groups.push_back({std::move(factors), hasFlatForm});
  }
  for (Group &group : groups) {
    if (!group.hasFlatForm)
      continue;
    const bool isReduction =
        node->rule.factors[group.factors.front()].kind == FactorKind::reduction;
    group.split = static_cast<int>(splits.size());
    Split &split = splits.emplace_back();
    split.size = split.room = 0;
    split.splittable = true;
    split.isReduction = isReduction;
  }
  for (int group : groupOfTensor)
    flatSplits.push_back(group == kNone ? kNone : groups[group].split);
}

//===----------------------------------------------------------------------===//
// Queries
//===----------------------------------------------------------------------===//

unsigned NodeSplits::getValue(unsigned tensor) const {
  const size_t numOperands = node->operands.size();
  return tensor < numOperands ? node->operands[tensor] : node->results[tensor - numOperands];
}

const TensorFactors &NodeSplits::getFactors(unsigned tensor) const {
  const size_t numOperands = node->operands.size();
  return tensor < numOperands ? node->rule.operands[tensor]
                              : node->rule.results[tensor - numOperands];
}

SmallVector<unsigned, 2> NodeSplits::getParts(unsigned tensor, unsigned slot) const {
  const TensorFactors &factors = getFactors(tensor);
  SmallVector<unsigned, 2> parts;
  if (slot < factors.size())
    parts.append(factors[slot].begin(), factors[slot].end());
  else if (flatSplits[tensor] >= 0)
    parts.push_back(static_cast<unsigned>(flatSplits[tensor]));
  return parts;
}

AxisList NodeSplits::project(unsigned tensor, unsigned slot) const {
  AxisList axes;
  for (unsigned part : getParts(tensor, slot))
    axes.append(splits[part].axes.begin(), splits[part].axes.end());
  return axes;
}

Sharding NodeSplits::project(unsigned tensor) const {
  const size_t rank = getFactors(tensor).size();
  Sharding sharding = Sharding::whole(rank);
  for (unsigned dimension = 0; dimension < rank; ++dimension)
    sharding.dimensions[dimension] = project(tensor, dimension);
  sharding.flat = project(tensor, rank);
  return sharding;
}

AxisMask NodeSplits::getSummedAxes() const {
  AxisMask mask = 0;
  for (AxisMask axes : summedAxes)
    mask |= axes;
  return mask;
}

AxisMask NodeSplits::getPartialAxes(unsigned result) const {
  const unsigned tensor = node->operands.size() + result;
  AxisMask mask = 0;
  for (const auto &[index, split] : enumerate(splits))
    if (split.isReduction && !is_contained(node->rule.complete, std::pair(result, unsigned(index))))
      for (Axis axis : split.axes)
        mask |= AxisMask(1) << axis;
  for (unsigned slot = 0, end = getFactors(tensor).size() + 1; mask && slot < end; ++slot)
    for (Axis axis : project(tensor, slot))
      mask &= ~(AxisMask(1) << axis);
  return mask;
}

//===----------------------------------------------------------------------===//
// Changes
//===----------------------------------------------------------------------===//

bool NodeSplits::isExtension(unsigned index, ArrayRef<Axis> axes) const {
  const Split &split = splits[index];
  return axes.size() > split.axes.size() && axes.take_front(split.axes.size()).equals(split.axes);
}

bool NodeSplits::mayTake(const Split &split, Axis axis) const {
  if (usesBesidesSums(axis) || (!split.isFlat() && split.room % mesh->axes[axis].size))
    return false;
  if (!split.isSummed())
    return !(getSummedAxes() >> axis & 1);
  return none_of(split.terms, [&](unsigned term) { return sumsInTerm(term, axis); });
}

bool NodeSplits::outerFactorsAreFull(unsigned index) const {
  if (!hasCompound || splits[index].isFlat())
    return true;
  for (unsigned tensor = 0; tensor < getNumTensors(); ++tensor)
    for (const DimensionFactors &dimension : getFactors(tensor)) {
      const auto *inner = find(dimension, index);
      if (inner == dimension.end())
        continue;
      if (any_of(make_range(dimension.begin(), inner),
                 [&](unsigned outer) { return splits[outer].room != 1; }))
        return false;
    }
  return true;
}

void NodeSplits::take(Split &split, Axis axis) {
  split.axes.push_back(axis);
  if (!split.isFlat())
    split.room /= mesh->axes[axis].size;
  const AxisMask bit = AxisMask(1) << axis;
  if (!split.isSummed())
    otherAxes |= bit;
  else
    for (unsigned term : split.terms)
      summedAxes[term] |= bit;
}

bool NodeSplits::extend(unsigned index, ArrayRef<Axis> axes, Origin origin, unsigned distance) {
  Split &split = splits[index];
  if (!split.splittable || !isExtension(index, axes) || !outerFactorsAreFull(index))
    return false;
  bool changed = false;
  for (Axis axis : axes.drop_front(split.axes.size())) {
    if (!mayTake(split, axis))
      break;
    take(split, axis);
    changed = true;
  }
  if (changed) {
    split.origin = origin;
    split.distance = distance;
  }
  return changed;
}

void NodeSplits::drop(Axis axis) {
  SmallVector<AxisList> wanted;
  for (Split &split : splits) {
    AxisList &axes = wanted.emplace_back(split.axes);
    axes.erase(find(axes, axis), axes.end());
    split.axes.clear();
    split.room = split.size;
  }
  otherAxes = 0;
  for (AxisMask &mask : summedAxes)
    mask = 0;
  // Again in any order in which outer factors come before inner ones.
  for (bool changed = true; changed;) {
    changed = false;
    for (auto [index, axes] : enumerate(wanted))
      changed |= extend(index, axes, splits[index].origin, splits[index].distance);
  }
}

} // namespace titan::sharding
