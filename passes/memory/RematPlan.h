// What the backward recomputes: the algorithm of titan-rematerialize, on plain data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace titan {

/// An op of the forward.
struct RematOp {
  int64_t work = 0;     ///< what it costs to run again, at least 0; the unit is the caller's
  bool mayRerun = true; ///< otherwise what is needed of its results is kept
  std::vector<unsigned> operands;
};

/// A result of an op, or a value that the backward has anyway.
struct RematValue {
  int64_t bytes = 0;     ///< what it costs to keep, at least 0
  int producer = -1;     ///< the op; -1: the backward has it
  bool isNeeded = false; ///< the backward reads it
  bool mayKeep = true;   ///< otherwise its producer, if any, must be one that may rerun
};

/// The forward as the backward sees it; operands have lower numbers than their users' results.
struct RematGraph {
  std::vector<RematOp> ops;
  std::vector<RematValue> values;
};

/// Which ops run again in the backward. All that they read and all that the backward needs is
/// there: kept, or the result of an op that runs again.
struct RematPlan {
  std::vector<bool> rerun; ///< by op
  std::vector<bool> kept;  ///< by value
  int64_t bytes = 0;       ///< of what is kept
  int64_t work = 0;        ///< of what runs again
};

/// The plan in which these ops run again and what they and the backward read besides is kept.
RematPlan completePlan(const RematGraph &graph, std::vector<bool> rerun);

/// The plan that minimizes bytes * bytePrice + work * workPrice; of several the one with the fewest
/// ops. Exact: it is the minimum cut of a network with a node for every value (is it there?) and
/// every op (does it run again?), in which a value costs its bytes unless its op runs again:
///
///     source -> value   infinite, if needed          value -> its op   bytes
///     op -> operand     infinite                     op -> sink        work
///
/// Unlike a cut over values alone it counts an op with several results once. (Recomputation in
/// backpropagation: Chen, Xu, Zhang, Guestrin, "Training deep nets with sublinear memory cost",
/// 2016. As a minimum cut: Moses et al., "Reverse-mode automatic differentiation and optimization
/// of GPU kernels via Enzyme", 2021; He and Yu, "Transformers for sequence modeling with min-cut
/// rematerialization in functorch", 2022.)
RematPlan planAtPrices(const RematGraph &graph, int64_t bytePrice, int64_t workPrice);

/// Least work first, then fewest bytes; and the other way round.
RematPlan planLeastWork(const RematGraph &graph);
RematPlan planLeastBytes(const RematGraph &graph);

/// All that is worth choosing between the least work and the least bytes. The graph falls apart
/// where values are needed anyway, as between the layers of a model; in each part the price of work
/// is searched for every plan that is best at some price (the lower convex hull of bytes over
/// work), alike parts once. A plan of the whole is a choice of one per part. From the least work
/// on, parts take their next plan in the order of bytes saved per work, earlier parts first: the
/// sequence of these choices is best at every price.
class RematFrontier {
public:
  explicit RematFrontier(const RematGraph &graph);

  struct Point {
    int64_t bytes = 0, work = 0;
  };
  /// Bytes fall and work rises from one to the next.
  const std::vector<Point> &getPoints() const { return points; }
  /// Plans of neighbouring points are nested: what ran again runs again.
  RematPlan getPlan(size_t point) const;

  /// The least work that keeps at most so many bytes; none if there is no such plan. Between two
  /// neighbouring points it is a knapsack over the next plans of the parts, exact for the 16 of
  /// them that save most per work. With less bytes a plan never has more bytes or less work.
  std::optional<RematPlan> planWithin(int64_t bytes) const;

private:
  /// The part of a graph, whose numbers these are, and its plans from least work to least bytes.
  struct Part {
    std::vector<unsigned> ops, values;
    size_t hull; ///< index into `hulls`; equal for equal parts
  };
  struct Step {
    unsigned part;
    size_t plan; ///< that the part goes to, from the one before
    int64_t savedBytes, addedWork;
  };

  void splitIntoParts();
  void buildHulls();
  void sortSteps();
  std::vector<size_t> choicesAt(size_t point) const;
  RematPlan assemble(const std::vector<size_t> &choices) const;
  std::vector<Step> nextSteps(const std::vector<size_t> &choices) const;

  RematGraph graph;
  std::vector<Part> parts;
  std::vector<std::vector<RematPlan>> hulls;
  std::vector<Step> steps;
  std::vector<Point> points;
};

} // namespace titan
