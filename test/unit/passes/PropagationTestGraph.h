// Builds propagation graphs in the words of the dialect, with shardings as text.
#pragma once

#include "passes/sharding/Propagation.h"

#include <map>

namespace titan::sharding {

/// Shapes by letter, such as {{'b', 8}, {'s', 16}}; values are numbers, as in the graph.
class TestGraph {
public:
  explicit TestGraph(Mesh mesh) : graph(std::move(mesh)) {}

  using Shape = llvm::SmallVector<int64_t, 4>;

  /// `dp_replicate+dp_shard tp - | partial tp | flat dp_shard`: one word per dimension, axes of one
  /// dimension joined by +, then the optional parts.
  Sharding parse(llvm::StringRef text) const;

  /// A value that no node computes.
  unsigned input(llvm::StringRef name, const Shape &shape, llvm::StringRef sharding,
                 Origin origin = Origin::variable);
  unsigned openInput(llvm::StringRef name, const Shape &shape);

  /// The next node's (first) result is fixed, or seeded.
  TestGraph &fix(llvm::StringRef sharding, Origin origin = Origin::annotation);
  TestGraph &seed(llvm::StringRef sharding) { return fix(sharding, Origin::seed); }
  /// The next node's name; without it nodes are called as their ops.
  TestGraph &called(llvm::StringRef name);

  unsigned full(const Shape &shape, bool isZero = false);
  unsigned add(unsigned a, unsigned b) { return pointwise("add", {a, b}, {0, 1}, {0, 1}); }
  unsigned mul(unsigned a, unsigned b) { return pointwise("mul", {a, b}, {0, 1}, {0, 0}); }
  unsigned cast(unsigned x) { return pointwise("cast", {x}, {0}, {}); }
  unsigned silu(unsigned x) { return pointwise("silu", {x}, {}, {}); }
  unsigned siluGrad(unsigned x, unsigned dy) { return pointwise("silu_grad", {x, dy}, {1}, {}); }
  /// Operands of rank 0 are scalars for all elements.
  unsigned pointwise(llvm::StringRef name, llvm::ArrayRef<unsigned> operands,
                     llvm::ArrayRef<unsigned> linear, llvm::ArrayRef<unsigned> terms);
  unsigned einsum(llvm::StringRef spec, unsigned a, unsigned b,
                  std::optional<unsigned> acc = std::nullopt);
  /// Sums the given dimensions.
  unsigned reduce(unsigned x, llvm::ArrayRef<unsigned> dimensions);
  unsigned broadcast(unsigned scalar, const Shape &shape);
  /// [..., h * k] to [..., h, k] and back.
  unsigned splitLast(unsigned x, int64_t outer);
  unsigned mergeLast(unsigned x);
  unsigned rmsNorm(unsigned x, unsigned weight);
  /// dx and dweight.
  std::pair<unsigned, unsigned> rmsNormGrad(unsigned dy, unsigned x, unsigned weight);
  unsigned attention(unsigned q, unsigned k, unsigned v);
  std::array<unsigned, 3> attentionGrad(unsigned q, unsigned k, unsigned v, unsigned dout);
  unsigned embedding(unsigned tokens, unsigned table);
  /// Two scalars, of which the first is returned.
  unsigned headLoss(unsigned x, unsigned weight, unsigned labels);
  /// dx and dweight.
  std::pair<unsigned, unsigned> headLossGrad(unsigned x, unsigned weight, unsigned labels,
                                             unsigned scale);
  unsigned sumOfSquares(llvm::ArrayRef<unsigned> xs);
  unsigned adam(unsigned parameter, unsigned gradient, unsigned first, unsigned rate);
  void store(llvm::StringRef name, unsigned value, llvm::StringRef sharding);
  void returnValue(llvm::StringRef name, unsigned value);

  /// A node of any kind; results get the shapes of the rule.
  llvm::SmallVector<unsigned, 2> node(llvm::StringRef name, llvm::ArrayRef<unsigned> operands,
                                      ShardingRule rule, llvm::ArrayRef<unsigned> linear,
                                      llvm::ArrayRef<unsigned> terms = {});

  const PropagationGraph &get() const { return graph; }
  const Mesh &mesh() const { return graph.getMesh(); }
  const Shape &shapeOf(unsigned value) const { return graph.getValues()[value].shape; }
  std::string show(const Sharding &sharding) const { return toString(mesh(), sharding); }

private:
  PropagationGraph graph;
  std::optional<Sharding> nextSharding;
  Origin nextOrigin = Origin::annotation;
  std::string nextName;
};

/// `name: from -> to`, one per reshard; the name is that of the value, which is that of its node.
std::vector<std::string> showReshards(const TestGraph &graph, const PropagationResult &result);

/// The graph with the result's reshards as values of their own and every sharding fixed; `original`
/// receives for each value the one it stands for.
PropagationGraph applyReshards(const PropagationGraph &graph, const PropagationResult &result,
                               std::vector<unsigned> &original);

/// The first violation of what a result must be, as text; empty if there is none: errors absent,
/// shardings legal, each reshard changes something, has uses and a reason and occurs once, and the
/// graph with the reshards applied needs no others.
std::string findFlaw(const PropagationGraph &graph, const PropagationResult &result);

} // namespace titan::sharding
