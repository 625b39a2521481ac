// What holds of every propagation, on random graphs; and that large graphs take no longer than
// their size explains.
#include "test/unit/passes/PropagationTestGraph.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace titan::sharding {
namespace {

class RandomGraph {
public:
  RandomGraph(unsigned seed) : random(seed), graph({{{"a", 2}, {"b", 3}, {"c", 2}, {"d", 4}}}) {}

  TestGraph &build() {
    for (int i = 0; i < 6; ++i)
      addInput();
    for (int i = 0, count = 5 + pick(25); i < count; ++i)
      addNode();
    for (int i = 0; i < 3; ++i)
      addSink();
    return graph;
  }

private:
  unsigned pick(size_t count) { return static_cast<unsigned>(random() % count); }
  bool chance(unsigned percent) { return pick(100) < percent; }

  TestGraph::Shape pickShape() {
    static constexpr int64_t kExtents[] = {6, 8, 12, 24};
    TestGraph::Shape shape;
    for (unsigned i = 0, rank = 1 + pick(3); i < rank; ++i)
      shape.push_back(kExtents[pick(4)]);
    return shape;
  }

  /// A legal sharding as text.
  std::string pickSharding(llvm::ArrayRef<int64_t> shape) {
    static constexpr std::pair<const char *, int64_t> kAxes[] = {
        {"a", 2}, {"b", 3}, {"c", 2}, {"d", 4}};
    std::vector<std::string> dimensions(shape.size());
    std::vector<int64_t> rest(shape.begin(), shape.end());
    std::string partial, flat;
    for (auto [name, size] : kAxes) {
      if (chance(8)) {
        partial += std::string("+") + name;
      } else if (chance(10)) {
        flat += std::string("+") + name;
      } else if (!shape.empty() && chance(60)) {
        const unsigned dimension = pick(shape.size());
        if (rest[dimension] % size)
          continue;
        rest[dimension] /= size;
        dimensions[dimension] += std::string("+") + name;
      }
    }
    std::string text;
    for (const std::string &axes : dimensions)
      text += (axes.empty() ? "-" : axes) + " ";
    if (!partial.empty())
      text += "| partial " + partial;
    if (!flat.empty())
      text += "| flat " + flat;
    return text;
  }

  unsigned pickValue() { return values[pick(values.size())]; }
  void addInput() {
    const TestGraph::Shape shape = pickShape();
    values.push_back(chance(30) ? graph.openInput("open", shape)
                                : graph.input("input", shape, pickSharding(shape),
                                              chance(50) ? Origin::variable : Origin::annotation));
  }

  /// A value of a shape: one that there is, or a constant.
  unsigned pickLike(unsigned other) {
    std::vector<unsigned> alike;
    for (unsigned value : values)
      if (graph.shapeOf(value) == graph.shapeOf(other))
        alike.push_back(value);
    return chance(20) ? graph.full(graph.shapeOf(other)) : alike[pick(alike.size())];
  }

  void addNode() {
    const unsigned x = pickValue();
    const TestGraph::Shape shape = graph.shapeOf(x);
    const unsigned kind = pick(9);
    const unsigned y = kind < 3 ? pickLike(x) : x;
    const bool lastIsEven = !shape.empty() && shape.back() % 2 == 0;
    if (chance(15) && kind < 5)
      graph.fix(pickSharding(shape), chance(50) ? Origin::annotation : Origin::seed);
    switch (kind) {
    case 0:
      return values.push_back(graph.add(x, y));
    case 1:
      return values.push_back(graph.mul(x, y));
    case 2:
      return values.push_back(graph.siluGrad(x, y));
    case 3:
      return values.push_back(graph.cast(x));
    case 4:
      return values.push_back(graph.silu(x));
    case 5:
      if (lastIsEven)
        values.push_back(graph.splitLast(x, chance(50) ? 2 : shape.back() / 2));
      return;
    case 6:
      if (shape.size() > 1)
        values.push_back(graph.mergeLast(x));
      return;
    case 7:
      if (!shape.empty())
        values.push_back(graph.reduce(x, {pick(shape.size())}));
      return;
    default:
      return addContraction(x);
    }
  }

  void addContraction(unsigned x) {
    static constexpr const char *kLetters[] = {"", "k", "sk", "bsk", "bcsk"};
    const TestGraph::Shape shape = graph.shapeOf(x);
    if (shape.empty() || shape.size() > 4)
      return;
    const TestGraph::Shape weight = {12, shape.back()};
    const unsigned w = graph.input("weight", weight, pickSharding(weight));
    const std::string letters = kLetters[shape.size()];
    const std::string spec = letters + ",nk->" + letters.substr(0, letters.size() - 1) + "n";
    const unsigned y = graph.einsum(spec, x, w);
    values.push_back(chance(30) ? graph.einsum(spec, x, w, y) : y);
    if (chance(20))
      values.push_back(graph.sumOfSquares({x, y}));
    if (chance(20))
      values.push_back(graph.rmsNorm(x, graph.input("norm", {shape.back()}, "-")));
  }

  void addSink() {
    const unsigned value = pickValue();
    if (chance(50))
      graph.store("store", value, pickSharding(graph.shapeOf(value)));
    else
      graph.returnValue("return", value);
  }

  std::mt19937 random;
  TestGraph graph;
  std::vector<unsigned> values;
};

/// The sharding in which a node gets each operand: that of the value, unless a reshard says
/// otherwise.
class NodeView {
public:
  NodeView(const PropagationGraph &graph, const PropagationResult &result)
      : graph(graph), result(result) {
    for (const Reshard &reshard : result.reshards) {
      if (reshard.atDefinition)
        produced[reshard.value] = &reshard.from;
      for (const Use &use : reshard.uses)
        if (!use.isSink)
          resharded[{use.index, use.operand}] = &reshard.to;
    }
  }

  const Sharding &getOperand(unsigned node, unsigned operand) const {
    auto found = resharded.find({node, operand});
    return found != resharded.end() ? *found->second
                                    : result.shardings[graph.getNodes()[node].operands[operand]];
  }
  const Sharding &getResult(unsigned node, unsigned number) const {
    const unsigned value = graph.getNodes()[node].results[number];
    auto found = produced.find(value);
    return found != produced.end() ? *found->second : result.shardings[value];
  }

private:
  const PropagationGraph &graph;
  const PropagationResult &result;
  std::map<std::pair<unsigned, unsigned>, const Sharding *> resharded;
  std::map<unsigned, const Sharding *> produced;
};

/// Derives each factor's axes from every tensor of a node, on its own; empty if all agree and the
/// partial sums of the results follow.
std::string findContradiction(const PropagationGraph &graph, const NodeView &view, unsigned index) {
  const Mesh &mesh = graph.getMesh();
  const Node &node = graph.getNodes()[index];
  std::vector<std::optional<AxisList>> axesOf(node.rule.factors.size());
  auto checkTensor = [&](const TensorFactors &factors, const Sharding &sharding) -> std::string {
    for (auto [dimension, axes] : llvm::zip_equal(factors, sharding.dimensions)) {
      llvm::ArrayRef<Axis> left = axes;
      for (unsigned factor : dimension) {
        AxisList taken;
        int64_t room = node.rule.factors[factor].size;
        while (!left.empty() && room % mesh.axes[left.front()].size == 0) {
          room /= mesh.axes[left.front()].size;
          taken.push_back(left.front());
          left = left.drop_front();
        }
        if (axesOf[factor] && *axesOf[factor] != taken)
          return "factor " + std::to_string(factor) + " is split in two ways";
        axesOf[factor] = taken;
        const FactorKind kind = node.rule.factors[factor].kind;
        if (!taken.empty() && kind != FactorKind::passThrough && kind != FactorKind::reduction)
          return "factor " + std::to_string(factor) + " must not be split";
      }
      if (!left.empty())
        return "a dimension's axes do not fit its factors";
    }
    return {};
  };
  for (unsigned operand = 0; operand < node.operands.size(); ++operand) {
    const Sharding &sharding = view.getOperand(index, operand);
    if (std::string flaw = checkTensor(node.rule.operands[operand], sharding); !flaw.empty())
      return "operand " + std::to_string(operand) + ": " + flaw;
    if (!sharding.partial.empty() && !node.isLinear(operand))
      return "partial operand " + std::to_string(operand) + " of an op that is not linear in it";
  }
  for (unsigned number = 0; number < node.results.size(); ++number) {
    const Sharding &sharding = view.getResult(index, number);
    if (std::string flaw = checkTensor(node.rule.results[number], sharding); !flaw.empty())
      return "result " + std::to_string(number) + ": " + flaw;
    // Over each axis every term is partial, once, or none is: by a split or by an operand.
    for (Axis axis = 0; axis < mesh.axes.size(); ++axis) {
      const bool isPartial = llvm::is_contained(sharding.partial, axis);
      std::map<unsigned, unsigned> sums;
      std::set<unsigned> seen;
      for (unsigned operand = 0; operand < node.operands.size(); ++operand) {
        const unsigned term = node.getTerm(operand);
        const Sharding &other = view.getOperand(index, operand);
        sums[term] += llvm::is_contained(other.partial, axis);
        bool splits = false;
        for (auto [dimension, factors] : llvm::enumerate(node.rule.operands[operand]))
          for (unsigned factor : factors)
            splits |= node.rule.factors[factor].kind == FactorKind::reduction &&
                      llvm::is_contained(*axesOf[factor], axis);
        splits |= llvm::is_contained(other.flat, axis) && node.rule.results[number].empty();
        if (splits && seen.insert(term).second)
          ++sums[term];
      }
      for (auto [term, count] : sums)
        if (count != (isPartial ? 1u : 0u))
          return "result " + std::to_string(number) + " is " + (isPartial ? "" : "not ") +
                 "partial over '" + mesh.axes[axis].name + "', term " + std::to_string(term) +
                 " is " + std::to_string(count) + " times";
    }
  }
  return {};
}

TEST(PropagationRandom, EveryNodeIsConsistent) {
  for (unsigned seed = 0; seed < 1000; ++seed) {
    TestGraph graph = RandomGraph(seed).build();
    const PropagationResult result = propagateShardings(graph.get());
    ASSERT_EQ(findFlaw(graph.get(), result), "") << "seed " << seed;
    const NodeView view(graph.get(), result);
    for (unsigned node = 0; node < graph.get().getNodes().size(); ++node)
      ASSERT_EQ(findContradiction(graph.get(), view, node), "")
          << "seed " << seed << ", node " << node << ", " << graph.get().getNodes()[node].name;
    for (auto [value, sharding] : llvm::zip_equal(graph.get().getValues(), result.shardings))
      if (value.isFixed())
        ASSERT_EQ(sharding, *value.sharding) << "seed " << seed;
  }
}

TEST(PropagationRandom, ResultsAreDeterministic) {
  for (unsigned seed = 0; seed < 50; ++seed) {
    TestGraph graph = RandomGraph(seed).build();
    const PropagationResult first = propagateShardings(graph.get());
    const PropagationResult second = propagateShardings(graph.get());
    EXPECT_EQ(first.shardings, second.shardings);
    EXPECT_EQ(showReshards(graph, first), showReshards(graph, second));
  }
}

/// A chain of layers of five nodes each, known at its two ends and at the weights only.
TestGraph makeChain(int64_t layers) {
  TestGraph graph({{{"dp", 2}, {"tp", 4}}});
  unsigned x = graph.input("x", {8, 16, 32}, "dp - -");
  for (int64_t layer = 0; layer < layers; ++layer) {
    const unsigned y = graph.rmsNorm(x, graph.input("norm", {32}, "- | flat dp"));
    const unsigned w1 = graph.input("w1", {64, 32}, "tp - | flat dp");
    const unsigned w2 = graph.input("w2", {32, 64}, "- tp | flat dp");
    const unsigned hidden = graph.silu(graph.einsum("bsd,nd->bsn", y, w1));
    x = graph.add(x, graph.einsum("bsn,dn->bsd", hidden, w2));
  }
  graph.store("y", x, "dp tp -");
  return graph;
}

TEST(PropagationScaling, HundredThousandNodes) {
  const TestGraph graph = makeChain(20000);
  ASSERT_EQ(graph.get().getNodes().size(), 100000u);
  const PropagationResult result = propagateShardings(graph.get());
  // The store's split reaches the first layer's result. Each layer gathers three weights and its
  // norm, and scatters its sum; the first slices x instead of gathering its norm.
  EXPECT_EQ(result.reshards.size(), 5u * 20000);
  EXPECT_EQ(graph.show(result.reshards[0].from), "[{}] flat {dp}");
}

TEST(PropagationScaling, OneNodeOfManyOperands) {
  TestGraph graph({{{"dp", 2}, {"tp", 4}}});
  llvm::SmallVector<unsigned> gradients;
  for (int i = 0; i < 2000; ++i) {
    const unsigned gradient = i % 2 ? graph.input("matrix", {64, 32}, "tp - | flat dp")
                                    : graph.input("vector", {32}, "- | flat dp");
    gradients.push_back(graph.cast(gradient));
  }
  const unsigned norm = graph.sumOfSquares(gradients);
  const PropagationResult result = propagateShardings(graph.get());
  EXPECT_EQ(graph.show(result.shardings[norm]), "[] partial {dp, tp}");
  EXPECT_EQ(result.reshards.size(), 1000u);
}

} // namespace
} // namespace titan::sharding
