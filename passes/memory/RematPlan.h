// What the backward recomputes: the algorithm of titan-rematerialize, on plain data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace titan {

/// An op of the forward.
struct RematOp {
  int64_t work = 0;          ///< what it costs to run again, at least 0; the unit is the caller's
  int64_t workInWeights = 0; ///< the same in the second half of the backward
  bool mayRerun = true;      ///< otherwise what is needed of its results is kept
  std::vector<unsigned> operands;
};

/// A result of an op, or a value that the backward has anyway. A backward in two halves is I and
/// then W, for the gradients of weights: what W needs is kept by the forward, or computed again by
/// I and kept from there, or computed again by W. Where the backward is whole, it counts as I.
struct RematValue {
  int64_t bytes = 0;          ///< what it costs to keep from the forward to I, at least 0
  int64_t bytesToWeights = 0; ///< from the forward to W, at least as much as either of the others
  int64_t bytesHanded = 0;    ///< from I to W
  int producer = -1;          ///< the op; -1: the backward has it, and I hands it to W
  bool isNeeded = false;      ///< I reads it
  bool isNeededByWeights = false; ///< W reads it
  bool mayKeep = true;            ///< otherwise its producer, if any, must be one that may rerun
};

/// The forward as the backward sees it; operands have lower numbers than their users' results.
struct RematGraph {
  std::vector<RematOp> ops;
  std::vector<RematValue> values;

  /// Whether anything is needed in W.
  bool isSplit() const;
};

/// Which ops run again in the backward. All that they read and all that the backward needs is
/// there: kept, or the result of an op that runs again in the same half, or handed over.
struct RematPlan {
  std::vector<bool> rerun;          ///< by op: in I
  std::vector<bool> rerunInWeights; ///< by op: in W
  std::vector<bool> kept;           ///< by value: from the forward on
  std::vector<bool> carried;        ///< by value: to W, from the forward if kept, otherwise from I
  int64_t bytes = 0;                ///< of what is kept and handed over
  int64_t work = 0;                 ///< of what runs again
};

/// The plan in which these ops run again and what they and the backward read besides is kept.
RematPlan completePlan(const RematGraph &graph, std::vector<bool> rerun,
                       std::vector<bool> rerunInWeights);

/// The plan that minimizes bytes * bytePrice + work * workPrice; of several the one with the fewest
/// ops. If the backward is whole it is exact, the minimum cut of a network with a node for every
/// value (is it there?) and every op (does it run again?), in which a value costs its bytes unless
/// its op runs again:
///
///     source -> value   infinite, if needed          value -> its op   bytes
///     op -> operand     infinite                     op -> sink        work
///
/// Unlike a cut over values alone it counts an op with several results once. (Recomputation in
/// backpropagation: Chen, Xu, Zhang, Guestrin, "Training deep nets with sublinear memory cost",
/// 2016. As a minimum cut: Moses et al., "Reverse-mode automatic differentiation and optimization
/// of GPU kernels via Enzyme", 2021; He and Yu, "Transformers for sequence modeling with min-cut
/// rematerialization in functorch", 2022.)
///
/// With two halves W has a value if it runs its op again *or* I has it, which no cut can say. But
/// each half's best choice, given the other's, is such a cut, and so is the best that both do
/// alike. From several beginnings, of which that is one, the halves choose in turns until neither
/// gains; then again with each op in turn held to run again in one of them, or not to. Of 60,000
/// random graphs of up to 6 ops none cost more than 1.05 times the least.
RematPlan planAtPrices(const RematGraph &graph, int64_t bytePrice, int64_t workPrice);

/// Least work first, then fewest bytes; and the other way round.
RematPlan planLeastWork(const RematGraph &graph);
RematPlan planLeastBytes(const RematGraph &graph);

} // namespace titan
