#include "test/unit/passes/PropagationTestGraph.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringExtras.h"

#include <set>

using namespace llvm;

namespace titan::sharding {

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

static AxisList parseAxes(const Mesh &mesh, StringRef text) {
  AxisList axes;
  SmallVector<StringRef> names;
  text.split(names, '+', -1, /*KeepEmpty=*/false);
  for (StringRef name : names)
    for (auto [index, axis] : enumerate(mesh.axes))
      if (axis.name == name)
        axes.push_back(index);
  return axes;
}

Sharding TestGraph::parse(StringRef text) const {
  SmallVector<StringRef> parts, words;
  text.split(parts, '|');
  Sharding sharding;
  parts.front().split(words, ' ', -1, /*KeepEmpty=*/false);
  for (StringRef word : words)
    sharding.dimensions.push_back(parseAxes(mesh(), word));
  for (StringRef part : ArrayRef(parts).drop_front()) {
    part = part.trim();
    if (part.consume_front("partial "))
      sharding.partial = parseAxes(mesh(), part);
    else if (part.consume_front("flat "))
      sharding.flat = parseAxes(mesh(), part);
  }
  return sharding;
}

unsigned TestGraph::input(StringRef name, const Shape &shape, StringRef sharding, Origin origin) {
  return graph.addValue({name.str(), shape, parse(sharding), origin});
}

unsigned TestGraph::openInput(StringRef name, const Shape &shape) {
  return graph.addValue({name.str(), shape, std::nullopt, Origin::annotation});
}

TestGraph &TestGraph::fix(StringRef sharding, Origin origin) {
  nextSharding = parse(sharding);
  nextOrigin = origin;
  return *this;
}

TestGraph &TestGraph::called(StringRef name) {
  nextName = name.str();
  return *this;
}

void TestGraph::store(StringRef name, unsigned value, StringRef sharding) {
  graph.addSink({name.str(), value, parse(sharding), Origin::variable});
}

void TestGraph::returnValue(StringRef name, unsigned value) {
  graph.addSink({name.str(), value, std::nullopt, Origin::annotation});
}

//===----------------------------------------------------------------------===//
// Nodes
//===----------------------------------------------------------------------===//

SmallVector<unsigned, 2> TestGraph::node(StringRef name, ArrayRef<unsigned> operands,
                                         ShardingRule rule, ArrayRef<unsigned> linear,
                                         ArrayRef<unsigned> terms) {
  Node node;
  node.name = nextName.empty() ? name.str() : std::exchange(nextName, {});
  node.operands.append(operands.begin(), operands.end());
  node.linearOperands.resize(operands.size());
  for (unsigned operand : linear)
    node.linearOperands.set(operand);
  node.terms.append(terms.begin(), terms.end());
  SmallVector<unsigned, 2> results;
  for (const TensorFactors &factors : rule.results) {
    TensorValue value;
    value.name = node.name;
    for (const DimensionFactors &dimension : factors) {
      int64_t extent = 1;
      for (unsigned factor : dimension)
        extent *= rule.factors[factor].size;
      value.shape.push_back(extent);
    }
    value.sharding = std::exchange(nextSharding, std::nullopt);
    value.origin = nextOrigin;
    results.push_back(graph.addValue(std::move(value)));
  }
  node.results = results;
  node.rule = std::move(rule);
  graph.addNode(std::move(node));
  return results;
}

static TensorFactors addFactors(ShardingRule &rule, ArrayRef<int64_t> shape,
                                FactorKind kind = FactorKind::passThrough) {
  TensorFactors factors;
  for (int64_t extent : shape)
    factors.push_back({rule.addFactor(extent, kind)});
  return factors;
}

unsigned TestGraph::full(const Shape &shape, bool isZero) {
  ShardingRule rule;
  rule.isZero = isZero;
  rule.results = {addFactors(rule, shape)};
  return node("full", {}, std::move(rule), {}).front();
}

unsigned TestGraph::pointwise(StringRef name, ArrayRef<unsigned> operands,
                              ArrayRef<unsigned> linear, ArrayRef<unsigned> terms) {
  ShardingRule rule;
  const unsigned largest = *max_element(
      operands, [&](unsigned a, unsigned b) { return shapeOf(a).size() < shapeOf(b).size(); });
  const TensorFactors factors = addFactors(rule, shapeOf(largest));
  for (unsigned operand : operands)
    rule.operands.push_back(shapeOf(operand).empty() ? TensorFactors() : factors);
  rule.results = {factors};
  return node(name, operands, std::move(rule), linear, terms).front();
}

unsigned TestGraph::einsum(StringRef spec, unsigned a, unsigned b, std::optional<unsigned> acc) {
  auto [inputs, out] = spec.split("->");
  auto [lhs, rhs] = inputs.split(',');
  ShardingRule rule;
  std::map<char, unsigned> factors;
  auto toDimensions = [&](StringRef letters, ArrayRef<int64_t> shape) {
    TensorFactors dimensions;
    for (auto [index, letter] : enumerate(letters)) {
      if (!factors.contains(letter))
        factors[letter] = rule.addFactor(
            shape[index], out.contains(letter) ? FactorKind::passThrough : FactorKind::reduction);
      dimensions.push_back({factors[letter]});
    }
    return dimensions;
  };
  rule.operands = {toDimensions(lhs, shapeOf(a)), toDimensions(rhs, shapeOf(b))};
  rule.results = {toDimensions(out, {})};
  if (!acc)
    return node("einsum", {a, b}, std::move(rule), {0, 1}).front();
  rule.operands.push_back(rule.results.front());
  return node("einsum", {a, b, *acc}, std::move(rule), {0, 1, 2}, {0, 0, 1}).front();
}

unsigned TestGraph::reduce(unsigned x, ArrayRef<unsigned> dimensions) {
  ShardingRule rule;
  TensorFactors input, result;
  for (auto [dimension, extent] : enumerate(shapeOf(x))) {
    const bool reduced = is_contained(dimensions, dimension);
    input.push_back(
        {rule.addFactor(extent, reduced ? FactorKind::reduction : FactorKind::passThrough)});
    if (!reduced)
      result.push_back(input.back());
  }
  rule.operands = {input};
  rule.results = {result};
  return node("reduce", {x}, std::move(rule), {0}).front();
}

unsigned TestGraph::broadcast(unsigned scalar, const Shape &shape) {
  ShardingRule rule;
  rule.results = {addFactors(rule, shape)};
  rule.operands = {{}};
  return node("broadcast", {scalar}, std::move(rule), {0}).front();
}

unsigned TestGraph::splitLast(unsigned x, int64_t outer) {
  ShardingRule rule;
  const Shape &shape = shapeOf(x);
  TensorFactors input = addFactors(rule, ArrayRef(shape).drop_back());
  TensorFactors result = input;
  const unsigned head = rule.addFactor(outer), inner = rule.addFactor(shape.back() / outer);
  input.push_back({head, inner});
  result.append({{head}, {inner}});
  rule.operands = {input};
  rule.results = {result};
  return node("reshape", {x}, std::move(rule), {0}).front();
}

unsigned TestGraph::mergeLast(unsigned x) {
  ShardingRule rule;
  TensorFactors input = addFactors(rule, shapeOf(x));
  TensorFactors result = input;
  const DimensionFactors last = result.pop_back_val();
  result.back().append(last);
  rule.operands = {input};
  rule.results = {result};
  return node("reshape", {x}, std::move(rule), {0}).front();
}

unsigned TestGraph::rmsNorm(unsigned x, unsigned weight) {
  ShardingRule rule;
  const Shape &shape = shapeOf(x);
  const TensorFactors rows = addFactors(rule, ArrayRef(shape).drop_back());
  TensorFactors input = rows;
  input.push_back({rule.addFactor(shape.back(), FactorKind::needReplication)});
  rule.operands = {input, {input.back()}};
  rule.results = {input, rows};
  return node("rms_norm", {x, weight}, std::move(rule), {}).front();
}

std::pair<unsigned, unsigned> TestGraph::rmsNormGrad(unsigned dy, unsigned x, unsigned weight) {
  ShardingRule rule;
  const Shape &shape = shapeOf(x);
  TensorFactors input = addFactors(rule, ArrayRef(shape).drop_back(), FactorKind::reduction);
  input.push_back({rule.addFactor(shape.back(), FactorKind::needReplication)});
  rule.operands = {input, input, {input.back()}};
  rule.results = {input, {input.back()}};
  const auto results = node("rms_norm_grad", {dy, x, weight}, std::move(rule), {0});
  return {results[0], results[1]};
}

/// Factors of q [b, s, h, d] and of k and v [b, s, g, d].
static std::pair<TensorFactors, TensorFactors> addAttentionFactors(ShardingRule &rule,
                                                                   const TestGraph::Shape &q,
                                                                   const TestGraph::Shape &k,
                                                                   FactorKind groupKind) {
  const unsigned batch = rule.addFactor(q[0]), kvHeads = rule.addFactor(k[2]);
  const unsigned group = rule.addFactor(q[2] / k[2], groupKind);
  const unsigned queries = rule.addFactor(q[1], FactorKind::needReplication);
  const unsigned keys = rule.addFactor(k[1], FactorKind::needReplication);
  const unsigned dim = rule.addFactor(q[3], FactorKind::needReplication);
  return {{{batch}, {queries}, {kvHeads, group}, {dim}}, {{batch}, {keys}, {kvHeads}, {dim}}};
}

unsigned TestGraph::attention(unsigned q, unsigned k, unsigned v) {
  ShardingRule rule;
  auto [query, key] = addAttentionFactors(rule, shapeOf(q), shapeOf(k), FactorKind::passThrough);
  rule.operands = {query, key, key};
  rule.results = {query, {query[0], query[2], query[1]}};
  return node("attention", {q, k, v}, std::move(rule), {}).front();
}

std::array<unsigned, 3> TestGraph::attentionGrad(unsigned q, unsigned k, unsigned v,
                                                 unsigned dout) {
  ShardingRule rule;
  auto [query, key] = addAttentionFactors(rule, shapeOf(q), shapeOf(k), FactorKind::reduction);
  rule.operands = {query, key, key, query};
  rule.results = {query, key, key};
  const auto results = node("attention_grad", {q, k, v, dout}, std::move(rule), {3});
  return {results[0], results[1], results[2]};
}

unsigned TestGraph::embedding(unsigned tokens, unsigned table) {
  ShardingRule rule;
  TensorFactors indices = addFactors(rule, shapeOf(tokens)), result = indices;
  const unsigned vocabulary = rule.addFactor(shapeOf(table)[0], FactorKind::reduction);
  const unsigned width = rule.addFactor(shapeOf(table)[1]);
  result.push_back({width});
  rule.operands = {indices, {{vocabulary}, {width}}};
  rule.results = {result};
  return node("embedding", {tokens, table}, std::move(rule), {1}).front();
}

/// Factors of x, weight and labels.
static SmallVector<TensorFactors> addHeadFactors(ShardingRule &rule, const TestGraph::Shape &x,
                                                 const TestGraph::Shape &weight) {
  const TensorFactors labels = addFactors(rule, ArrayRef(x).drop_back(), FactorKind::reduction);
  TensorFactors input = labels;
  const unsigned classes = rule.addFactor(weight[0], FactorKind::reduction);
  input.push_back({rule.addFactor(weight[1], FactorKind::needReplication)});
  return {input, {{classes}, input.back()}, labels};
}

unsigned TestGraph::headLoss(unsigned x, unsigned weight, unsigned labels) {
  ShardingRule rule;
  rule.operands = addHeadFactors(rule, shapeOf(x), shapeOf(weight));
  rule.results = {{}, {}};
  const unsigned classes = rule.operands[1][0][0];
  rule.complete = {{0, classes}, {1, classes}};
  return node("head_loss", {x, weight, labels}, std::move(rule), {}).front();
}

std::pair<unsigned, unsigned> TestGraph::headLossGrad(unsigned x, unsigned weight, unsigned labels,
                                                      unsigned scale) {
  ShardingRule rule;
  rule.operands = addHeadFactors(rule, shapeOf(x), shapeOf(weight));
  rule.results = {{}, {}, rule.operands[0], rule.operands[1]};
  rule.operands.emplace_back();
  const unsigned classes = rule.operands[1][0][0];
  rule.complete = {{0, classes}, {1, classes}};
  const auto results = node("head_loss_grad", {x, weight, labels, scale}, std::move(rule), {});
  return {results[2], results[3]};
}

unsigned TestGraph::sumOfSquares(ArrayRef<unsigned> xs) {
  ShardingRule rule;
  for (unsigned x : xs)
    rule.operands.push_back(addFactors(rule, shapeOf(x), FactorKind::reduction));
  rule.results = {{}};
  return node("sum_of_squares", xs, std::move(rule), {}, to_vector(seq<unsigned>(0, xs.size())))
      .front();
}

unsigned TestGraph::adam(unsigned parameter, unsigned gradient, unsigned first, unsigned rate) {
  ShardingRule rule;
  const TensorFactors tensor = addFactors(rule, shapeOf(parameter));
  rule.operands = {tensor, tensor, tensor, {}};
  rule.results = {tensor, tensor};
  return node("adam_update", {parameter, gradient, first, rate}, std::move(rule), {}).front();
}

//===----------------------------------------------------------------------===//
// Results
//===----------------------------------------------------------------------===//

std::vector<std::string> showReshards(const TestGraph &graph, const PropagationResult &result) {
  std::vector<std::string> lines;
  for (const Reshard &reshard : result.reshards)
    lines.push_back(graph.get().getValues()[reshard.value].name + ": " + graph.show(reshard.from) +
                    " -> " + graph.show(reshard.to));
  return lines;
}

PropagationGraph applyReshards(const PropagationGraph &graph, const PropagationResult &result,
                               std::vector<unsigned> &original) {
  PropagationGraph applied(graph.getMesh());
  original.clear();
  auto addCopy = [&](unsigned value, const Sharding &sharding) {
    TensorValue copy = graph.getValues()[value];
    if (!copy.isFixed())
      copy.origin = Origin::annotation;
    copy.sharding = sharding;
    original.push_back(value);
    return applied.addValue(std::move(copy));
  };
  std::vector<unsigned> defined, seen;
  for (unsigned value = 0; value < graph.getValues().size(); ++value)
    defined.push_back(addCopy(value, result.shardings[value]));
  seen = defined;
  std::map<std::pair<unsigned, unsigned>, unsigned> operands;
  std::map<unsigned, unsigned> sinks;
  for (const Reshard &reshard : result.reshards) {
    if (reshard.atDefinition) {
      defined[reshard.value] = addCopy(reshard.value, reshard.from);
      continue;
    }
    const unsigned copy = addCopy(reshard.value, reshard.to);
    for (const Use &use : reshard.uses)
      if (use.isSink)
        sinks[use.index] = copy;
      else
        operands[{use.index, use.operand}] = copy;
  }
  for (auto [index, node] : enumerate(graph.getNodes())) {
    Node copy = node;
    for (auto [number, operand] : enumerate(copy.operands)) {
      auto found = operands.find({index, number});
      operand = found != operands.end() ? found->second : seen[operand];
    }
    for (unsigned &value : copy.results)
      value = defined[value];
    applied.addNode(std::move(copy));
  }
  for (auto [index, sink] : enumerate(graph.getSinks())) {
    Sink copy = sink;
    auto found = sinks.find(index);
    copy.value = found != sinks.end() ? found->second : seen[sink.value];
    applied.addSink(std::move(copy));
  }
  return applied;
}

std::string findFlaw(const PropagationGraph &graph, const PropagationResult &result) {
  if (!result.errors.empty())
    return result.errors.front().message;
  const Mesh &mesh = graph.getMesh();
  std::set<std::tuple<unsigned, std::string, bool>> known;
  for (const Reshard &reshard : result.reshards) {
    const std::string text = graph.getValues()[reshard.value].name + ": " +
                             toString(mesh, reshard.from) + " -> " + toString(mesh, reshard.to);
    if (reshard.from == reshard.to)
      return "nothing changes: " + text;
    if (reshard.uses.empty() != reshard.atDefinition)
      return "wrong number of uses: " + text;
    if (reshard.reason.empty() || StringRef(reshard.reason).ends_with("' "))
      return "no reason: " + text;
    if (!known.insert({reshard.value, toString(mesh, reshard.to), reshard.atDefinition}).second)
      return "twice: " + text;
  }
  std::vector<unsigned> original;
  const PropagationGraph applied = applyReshards(graph, result, original);
  const PropagationResult again = propagateShardings(applied);
  if (!again.errors.empty())
    return again.errors.front().message;
  for (const Reshard &reshard : again.reshards)
    return "another reshard, " + reshard.reason + ": " + toString(mesh, reshard.from) + " -> " +
           toString(mesh, reshard.to);
  return {};
}

} // namespace titan::sharding
