// Which mesh axes split the factors of one node.
#pragma once

#include "passes/sharding/Propagation.h"

namespace titan::sharding {

/// A factor of a node, or the flat form of a group of its tensors, and the axes that split it.
struct Split {
  AxisList axes;
  int64_t size; ///< 0 for a flat form, which any degree divides
  int64_t room; ///< size over the degree of the axes
  /// The terms of operands that have the factor.
  llvm::SmallVector<unsigned, 1> terms;
  unsigned distance = 0;
  Origin origin = Origin::variable;
  bool splittable;
  bool isReduction; ///< split, the results that lack the factor are partial sums
  bool inResult = false;

  bool isFlat() const { return size == 0; }
  /// Split, it makes nothing but partial sums: such a split in one term leaves the axis free for
  /// other terms.
  bool isSummed() const { return isReduction && !inResult; }
};

/// The splits of a node under construction. Tensors are numbered operands first, then results, and
/// the slots of a tensor are its dimensions and, last, its flat form. Invariants: an axis splits
/// one factor, except for summed factors of different terms; every dimension is a list of axes,
/// that is, an inner factor of a dimension is split only if the outer ones are split entirely.
///
/// Tensors whose dimensions have the same factors in the same order form a group with a flat form
/// if the node only treats them element by element or sums over them; their flat slices correspond.
class NodeSplits {
public:
  NodeSplits(const PropagationGraph &graph, unsigned node);

  unsigned getNumTensors() const { return node->operands.size() + node->results.size(); }
  bool isResult(unsigned tensor) const { return tensor >= node->operands.size(); }
  unsigned getValue(unsigned tensor) const;
  const TensorFactors &getFactors(unsigned tensor) const;
  /// The split that is the tensor's flat form, or -1.
  int getFlatSplit(unsigned tensor) const { return flatSplits[tensor]; }
  llvm::ArrayRef<Split> getSplits() const { return splits; }
  unsigned getNumTerms() const { return summedAxes.size(); }

  /// Calls `callback(split, axes)` for the parts of `axes` on `slot` that go to one factor each, as
  /// far as the axes divide the factors exactly.
  template <typename Callback>
  void forEachPart(unsigned tensor, unsigned slot, llvm::ArrayRef<Axis> axes,
                   Callback callback) const;

  /// Whether the split would have more axes, those that it has among them in their place.
  bool isExtension(unsigned split, llvm::ArrayRef<Axis> axes) const;

  /// Extends the split towards `axes` as far as the invariants allow; false if it did not change.
  bool extend(unsigned split, llvm::ArrayRef<Axis> axes, Origin origin, unsigned distance);

  /// Takes the axis, and what is inside it, from every factor.
  void drop(Axis axis);

  /// The axes of a slot.
  AxisList project(unsigned tensor, unsigned slot) const;
  /// The whole sharding, without partial sums.
  Sharding project(unsigned tensor) const;
  /// The splits of a slot, outer to inner.
  llvm::SmallVector<unsigned, 2> getParts(unsigned tensor, unsigned slot) const;

  bool usesBesidesSums(Axis axis) const { return otherAxes >> axis & 1; }
  bool sumsInTerm(unsigned term, Axis axis) const { return summedAxes[term] >> axis & 1; }
  /// Axes on summed factors of any term.
  AxisMask getSummedAxes() const;
  /// Axes of partial sums that the splits make of a result.
  AxisMask getPartialAxes(unsigned result) const;

private:
  void addFactors(const PropagationGraph &graph);
  void addFlatForms();
  void noteOccurrence(unsigned tensor, Split &split);
  bool mayTake(const Split &split, Axis axis) const;
  bool outerFactorsAreFull(unsigned split) const;
  void take(Split &split, Axis axis);

  const Mesh *mesh;
  const Node *node;
  llvm::SmallVector<Split, 0> splits;
  llvm::SmallVector<int, 4> flatSplits;      ///< by tensor
  llvm::SmallVector<AxisMask, 1> summedAxes; ///< by term
  AxisMask otherAxes = 0;
  bool hasCompound = false;
};

template <typename Callback>
void NodeSplits::forEachPart(unsigned tensor, unsigned slot, llvm::ArrayRef<Axis> axes,
                             Callback callback) const {
  const TensorFactors &factors = getFactors(tensor);
  if (slot == factors.size()) {
    if (flatSplits[tensor] >= 0 && !axes.empty())
      callback(static_cast<unsigned>(flatSplits[tensor]), axes);
    return;
  }
  for (unsigned factor : factors[slot]) {
    const Split &split = splits[factor];
    int64_t room = split.size;
    size_t taken = 0;
    while (split.splittable && taken < axes.size() && room % mesh->axes[axes[taken]].size == 0)
      room /= mesh->axes[axes[taken++]].size;
    if (taken)
      callback(factor, axes.take_front(taken));
    axes = axes.drop_front(taken);
    if (room != 1 || axes.empty())
      return;
  }
}

} // namespace titan::sharding
