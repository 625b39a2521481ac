// Sharding propagation: from the shardings of a few values to those of all, with an explicit
// reshard where an operation needs a tensor otherwise than it was computed.
//
// The idea of propagating along factors, rather than along dimensions, is Shardy's
// (https://github.com/openxla/shardy) and, before it, GSPMD's (Xu et al. 2021, "GSPMD: general and
// scalable parallelization for ML computation graphs").
#pragma once

#include "passes/sharding/PropagationGraph.h"

namespace titan::sharding {

/// A tensor of a node asks for axes on one of the node's factors.
struct Candidate {
  unsigned factor; ///< of the rule; beyond its factors: the flat form of a group of tensors
  AxisList axes;
  Origin origin;
  unsigned distance; ///< nodes between the tensor and the sharding's origin
  bool fixed;        ///< the tensor itself has a fixed sharding
  bool isResult;
  unsigned tensor; ///< operand or result number
  int64_t elements;
};

/// A node could pass a partial sum on, instead of having it completed before.
struct PartialSum {
  unsigned numUses;    ///< of the operand; the largest, if several operands are partial
  unsigned numResults; ///< of the node
  int64_t operandElements, resultElements; ///< per device; all partial operands, all results
};

/// Decides where there is a choice. Implementations are stateless and deterministic.
class PropagationPolicy {
public:
  virtual ~PropagationPolicy() = default;

  /// A strict weak order: of two candidates that cannot both be granted (the same factor with
  /// different axes, or the same axis for different factors) the preferred one is.
  virtual bool prefers(const Candidate &a, const Candidate &b) const = 0;

  /// Whether to pass a partial sum on through a node that is linear in it.
  virtual bool passesOn(const PartialSum &sum) const = 0;
};

/// The earlier origin wins, then tensors with a fixed sharding, results before operands, larger
/// tensors, and nearer origins. Partial sums are passed on unless that makes more to communicate:
/// several uses or results, each of which would be summed on its own, or a larger result.
class DefaultPolicy : public PropagationPolicy {
public:
  bool prefers(const Candidate &a, const Candidate &b) const override;
  bool passesOn(const PartialSum &sum) const override;
};

/// Operand `operand` of node `index`, or sink `index`.
struct Use {
  bool isSink;
  unsigned index;
  unsigned operand;

  bool operator==(const Use &) const = default;
};

/// A value in another sharding, for one or more of its uses.
struct Reshard {
  unsigned value;
  Sharding from, to;
  /// The value is computed as `from` but fixed as `to`: the op's result has the sharding `from`,
  /// and the value that everything else sees is the reshard's. `uses` is empty then.
  bool atDefinition;
  llvm::SmallVector<Use, 2> uses; ///< in program order
  std::string reason;
};

struct PropagationResult {
  /// If there are any, nothing was propagated.
  std::vector<ShardingError> errors;
  /// Of each value, as its uses see it.
  std::vector<Sharding> shardings;
  /// In the order of their first use or their definition.
  std::vector<Reshard> reshards;
};

/// Splits are propagated along factors, from operands to results, from results to operands and
/// between operands, to a fixed point; what fits no factor exactly is not propagated. The flat
/// form follows the flow of data: through an op that treats its tensors element by element, or
/// sums them up. Partial sums are derived from the splits in program order. Every operand then
/// either is what its node needs or gets a reshard, which equal uses share. A zero that has one use
/// is a partial sum if that use wants one.
///
/// Example: y = einsum "sk,nk->sn"(x, w), z = add(y, r) with w fixed as [{}, {tp}] and z as
/// [{tp}, {}]. Factor k takes tp from w, so x becomes [{}, {tp}] and y [{}, {}] partial {tp};
/// factor s cannot have tp as well. The add has tp on its first factor from z, which makes r
/// [{tp}, {}] and needs one reshard of y, [{}, {}] partial {tp} to [{tp}, {}]: a reduce-scatter.
///
/// Time and memory are linear in the graph for meshes and ranks of bounded size.
PropagationResult propagateShardings(const PropagationGraph &graph,
                                     const PropagationPolicy &policy = DefaultPolicy());

} // namespace titan::sharding
