// The fixed point of splits: which axes split the factors of every node.
#pragma once

#include "passes/sharding/NodeSplits.h"

#include <deque>

namespace titan::sharding {

class SplitPropagation {
public:
  SplitPropagation(const PropagationGraph &graph, const PropagationPolicy &policy);

  void run();

  const NodeSplits &getSplits(unsigned node) const { return nodes[node]; }
  NodeSplits &getSplits(unsigned node) { return nodes[node]; }
  /// What a value's neighbours want, whatever it is computed as.
  Sharding getWish(unsigned value) const;

private:
  /// What is known of a dimension, or of the flat form, of a value.
  struct Wish {
    AxisList axes;
    Origin origin = Origin::variable;
    unsigned distance = 0;
  };
  struct ValueState {
    llvm::SmallVector<Wish, 4> slots; ///< the dimensions and the flat form
    AxisMask axes = 0;
    bool isFixed = false;
    bool isVisible = true; ///< a fixed sharding takes part from its origin's turn on
  };

  void introduce(Origin origin);
  void suggest(unsigned value, const Sharding &sharding, bool withFlat, Origin origin,
               unsigned distance);
  bool extend(unsigned value, unsigned slot, llvm::ArrayRef<Axis> axes, Origin origin,
              unsigned distance);
  void enqueue(unsigned node);
  void enqueueNeighbours(unsigned value, std::optional<unsigned> except = std::nullopt);
  void visit(unsigned node);
  void collect(unsigned node, llvm::SmallVectorImpl<Candidate> &candidates) const;
  void pushOut(unsigned node);
  void pushOut(unsigned node, unsigned tensor);
  void coverTerms(unsigned node);

  const PropagationGraph &graph;
  const PropagationPolicy &policy;
  std::vector<NodeSplits> nodes;
  std::vector<ValueState> values;
  std::deque<unsigned> queue;
  std::vector<bool> isQueued;
};

} // namespace titan::sharding
