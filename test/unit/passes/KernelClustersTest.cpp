#include "passes/kernels/KernelClusters.h"
#include "passes/kernels/AcyclicGraph.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

using namespace titan;

namespace {

using Groups = std::vector<std::vector<unsigned>>;

/// Builds graphs of nodes over loops; a value has the number of the node that computes it, inputs
/// from outside have numbers from 1000.
class Graph {
public:
  using Bounds = llvm::SmallVector<int64_t, 4>;

  unsigned pointwise(const Bounds &bounds, const std::vector<unsigned> &inputs) {
    FusionNode node;
    node.isFusible = node.canBePulled = true;
    node.bounds = bounds;
    for (unsigned input : inputs)
      node.inputs.push_back(read(input, bounds));
    return add(node, bounds);
  }
  /// Reduces the trailing dimensions of a tensor of shape `bounds`; `rows` stay.
  unsigned rowReduction(const Bounds &bounds, unsigned rows, unsigned input) {
    FusionNode node;
    node.isFusible = true;
    node.kind = LoopKind::rowReduction;
    node.bounds = bounds;
    node.numRows = rows;
    node.inputs.push_back(read(input, bounds));
    return add(node, Bounds(llvm::ArrayRef<int64_t>(bounds).take_front(rows)));
  }
  unsigned columnSum(const Bounds &bounds, unsigned rows, unsigned input) {
    FusionNode node;
    node.isFusible = true;
    node.kind = LoopKind::columnSum;
    node.bounds = bounds;
    node.numRows = rows;
    node.inputs.push_back(read(input, bounds));
    return add(node, Bounds(llvm::ArrayRef<int64_t>(bounds).drop_front(rows)));
  }
  unsigned opaque(const std::vector<unsigned> &inputs) {
    FusionNode node;
    for (unsigned input : inputs)
      node.after.push_back(input);
    return add(node, {});
  }
  /// Reads the value `input`, whose dimensions are the consumer's leading loops.
  void broadcastInto(unsigned consumer, unsigned input) {
    FusionInput access = read(input, shapes[input]);
    access.readsOwnElement = shapes[input] == nodes[consumer].bounds;
    nodes[consumer].inputs.push_back(access);
  }

  Groups form(FusionOptions options = {}) const {
    Groups groups;
    for (auto &group : formClusters(nodes, options).groups)
      groups.push_back({group.begin(), group.end()});
    return groups;
  }
  const std::vector<FusionNode> &all() const { return nodes; }

private:
  FusionInput read(unsigned value, const Bounds &bounds) const {
    int64_t elements = 1;
    for (int64_t bound : bounds)
      elements *= bound;
    return {value < 1000 ? static_cast<int>(value) : -1, value, elements,
            static_cast<unsigned>(bounds.size()), true};
  }
  unsigned add(const FusionNode &node, const Bounds &shape) {
    nodes.push_back(node);
    shapes.push_back(shape);
    return nodes.size() - 1;
  }

  std::vector<FusionNode> nodes;
  std::vector<Bounds> shapes;
};

} // namespace

TEST(KernelClusters, NormIsOneGroup) {
  Graph graph;
  unsigned sum = graph.pointwise({8, 64}, {1000, 1001});
  unsigned square = graph.pointwise({8, 64}, {sum});
  unsigned reduced = graph.rowReduction({8, 64}, 1, square);
  unsigned root = graph.pointwise({8}, {reduced});
  unsigned scaled = graph.pointwise({8, 64}, {sum});
  graph.broadcastInto(scaled, root);
  EXPECT_EQ(graph.form(), (Groups{{0, 1, 2, 3, 4}}));
}

TEST(KernelClusters, PathThroughAnotherNodeKeepsApart) {
  Graph graph;
  unsigned first = graph.pointwise({8, 64}, {1000});
  unsigned product = graph.opaque({first});
  graph.pointwise({8, 64}, {first, product});
  EXPECT_EQ(graph.form(), (Groups{{0}, {1}, {2}}));
}

TEST(KernelClusters, SiblingsShareWhatTheyRead) {
  Graph graph;
  graph.pointwise({8, 64}, {1000});
  graph.pointwise({8, 64}, {1000});
  graph.pointwise({8, 32}, {1001}); // reads something else
  EXPECT_EQ(graph.form(), (Groups{{0, 1}, {2}}));
}

TEST(KernelClusters, SumsOverRowsAreFollowedByWhatHasTheirShape) {
  Graph graph;
  unsigned product = graph.pointwise({8, 64}, {1000});
  unsigned sum = graph.columnSum({8, 64}, 1, product);
  unsigned total = graph.pointwise({64}, {sum, 1001});
  unsigned later = graph.pointwise({64}, {total});
  EXPECT_EQ(graph.form(), (Groups{{product, sum, total, later}}));
}

TEST(KernelClusters, WhatFollowsFromSeveralSumsBelongsToNone) {
  Graph graph;
  unsigned one = graph.columnSum({8, 64}, 1, 1000);
  unsigned other = graph.columnSum({16, 64}, 1, 1001);
  unsigned total = graph.pointwise({64}, {one, other});
  EXPECT_EQ(graph.form(), (Groups{{one}, {other}, {total}}));
}

TEST(KernelClusters, SumsOverRowsAreNotReadByTheirOwnRows) {
  Graph graph;
  unsigned sum = graph.columnSum({64, 64}, 1, 1000);
  unsigned reader = graph.pointwise({64, 64}, {1000});
  graph.broadcastInto(reader, sum);
  EXPECT_EQ(graph.form(), (Groups{{0}, {1}}));
}

TEST(KernelClusters, ReductionsAgreeOnTheRows) {
  Graph graph;
  unsigned wide = graph.pointwise({4, 8, 64}, {1000});
  graph.rowReduction({4, 8, 64}, 2, wide);
  graph.rowReduction({4, 8, 64}, 1, wide);
  EXPECT_EQ(graph.form(), (Groups{{0, 1}, {2}}));
}

TEST(KernelClusters, SizeIsLimited) {
  Graph graph;
  unsigned last = graph.pointwise({64}, {1000});
  for (int step = 0; step < 9; ++step)
    last = graph.pointwise({64}, {last});
  FusionOptions options;
  options.maxNodes = 4;
  EXPECT_EQ(graph.form(options), (Groups{{0, 1, 2, 3}, {4, 5, 6, 7}, {8, 9}}));
}

// Whatever the graph, the groups hold every node once and come in a legal order.
TEST(KernelClusters, RandomGraphsStayAcyclic) {
  std::mt19937 generator(7);
  for (int round = 0; round < 200; ++round) {
    Graph graph;
    std::vector<unsigned> full;
    auto pick = [&]() -> unsigned {
      if (full.empty() || generator() % 4 == 0)
        return 1000 + generator() % 5;
      return full[generator() % full.size()];
    };
    for (int node = 0; node < 60; ++node) {
      const unsigned kind = generator() % 6;
      if (kind == 0) {
        unsigned value = pick();
        full.push_back(
            graph.opaque(value < 1000 ? std::vector<unsigned>{value} : std::vector<unsigned>{}));
      } else if (kind == 1) {
        graph.rowReduction({8, 64}, 1, pick());
      } else if (kind == 2) {
        graph.columnSum({8, 64}, 1, pick());
      } else {
        full.push_back(graph.pointwise({8, 64}, {pick(), pick()}));
      }
    }
    Groups groups = graph.form();
    std::vector<int> place(graph.all().size(), -1);
    for (size_t group = 0; group < groups.size(); ++group)
      for (unsigned node : groups[group]) {
        ASSERT_EQ(place[node], -1);
        place[node] = static_cast<int>(group);
      }
    for (size_t node = 0; node < graph.all().size(); ++node) {
      ASSERT_NE(place[node], -1);
      for (const FusionInput &input : graph.all()[node].inputs)
        if (input.producer >= 0)
          ASSERT_LE(place[input.producer], place[node]);
      for (unsigned earlier : graph.all()[node].after)
        ASSERT_LT(place[earlier], place[node]);
    }
    EXPECT_EQ(groups, graph.form());
  }
}

TEST(AcyclicGraph, MergesUnlessACycleWouldClose) {
  AcyclicGraph graph(5);
  graph.addInitialEdge(0, 1);
  graph.addInitialEdge(1, 2);
  graph.addInitialEdge(0, 2);
  graph.addInitialEdge(3, 4);
  EXPECT_FALSE(graph.merge(0, 2, 100)); // 1 lies between
  EXPECT_TRUE(graph.merge(2, 3, 100));  // now 1 -> 23 -> 4
  EXPECT_FALSE(graph.merge(1, 4, 100));
  EXPECT_TRUE(graph.merge(0, 1, 100));
  EXPECT_TRUE(graph.merge(0, 2, 100));
  EXPECT_EQ(graph.find(0), graph.find(3));
  EXPECT_NE(graph.find(0), graph.find(4));
}

// Against reachability computed from scratch.
TEST(AcyclicGraph, AgreesWithExhaustiveSearch) {
  std::mt19937 generator(3);
  for (int round = 0; round < 100; ++round) {
    const unsigned size = 24;
    AcyclicGraph graph(size);
    std::vector<std::pair<unsigned, unsigned>> edges;
    for (int edge = 0; edge < 40; ++edge) {
      unsigned a = generator() % size, b = generator() % size;
      if (a == b)
        continue;
      edges.push_back({std::min(a, b), std::max(a, b)});
      graph.addInitialEdge(edges.back().first, edges.back().second);
    }
    auto reaches = [&](unsigned from, unsigned to) {
      std::set<unsigned> seen;
      std::vector<unsigned> stack;
      for (auto [a, b] : edges)
        if (graph.find(a) == from && graph.find(b) != from && graph.find(b) != to)
          stack.push_back(graph.find(b));
      while (!stack.empty()) {
        unsigned node = stack.back();
        stack.pop_back();
        if (node == to)
          return true;
        if (!seen.insert(node).second)
          continue;
        for (auto [a, b] : edges)
          if (graph.find(a) == node && graph.find(b) != node)
            stack.push_back(graph.find(b));
      }
      return false;
    };
    for (int merge = 0; merge < 60; ++merge) {
      const unsigned a = graph.find(generator() % size), b = graph.find(generator() % size);
      if (a == b)
        continue;
      const bool expected = !reaches(a, b) && !reaches(b, a);
      ASSERT_EQ(graph.merge(a, b, 10000).has_value(), expected);
    }
  }
}
