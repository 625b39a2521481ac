#include "passes/memory/RematPlan.h"

#include <gtest/gtest.h>

#include <random>

using namespace titan;

namespace {

/// A random forward of `numOps` ops, some with two results, some that may not run again.
RematGraph makeGraph(std::mt19937 &random, unsigned numOps) {
  RematGraph graph;
  graph.values.resize(1 + random() % 2);
  for (unsigned i = 0; i < numOps; ++i) {
    RematOp op;
    op.work = random() % 3 ? random() % 20 : 0;
    op.mayRerun = random() % 8 != 0;
    for (unsigned count = 1 + random() % 3; count; --count)
      op.operands.push_back(random() % graph.values.size());
    for (unsigned count = 1 + random() % 4 / 3; count; --count) {
      RematValue value;
      value.bytes = random() % 16;
      value.producer = static_cast<int>(i);
      value.isNeeded = random() % 3 == 0;
      value.mayKeep = !op.mayRerun || random() % 6 != 0;
      graph.values.push_back(value);
    }
    graph.ops.push_back(op);
  }
  return graph;
}

/// Whether all that is read is there, and what the plan says about itself is true.
void expectSound(const RematGraph &graph, const RematPlan &plan) {
  int64_t bytes = 0, work = 0;
  auto expectThere = [&](unsigned value) {
    const int producer = graph.values[value].producer;
    EXPECT_TRUE(producer < 0 || plan.kept[value] || plan.rerun[producer]) << "value " << value;
  };
  for (unsigned value = 0; value < graph.values.size(); ++value) {
    if (graph.values[value].isNeeded)
      expectThere(value);
    if (plan.kept[value]) {
      bytes += graph.values[value].bytes;
      EXPECT_TRUE(graph.values[value].mayKeep) << "value " << value;
    }
  }
  for (unsigned op = 0; op < graph.ops.size(); ++op)
    if (plan.rerun[op]) {
      work += graph.ops[op].work;
      EXPECT_TRUE(graph.ops[op].mayRerun) << "op " << op;
      for (unsigned operand : graph.ops[op].operands)
        expectThere(operand);
    }
  EXPECT_EQ(plan.bytes, bytes);
  EXPECT_EQ(plan.work, work);
}

/// Bytes and work of every legal set of ops that run again, the rest kept as needed.
std::vector<RematFrontier::Point> enumerate(const RematGraph &graph) {
  std::vector<RematFrontier::Point> all;
  for (unsigned set = 0; set < 1u << graph.ops.size(); ++set) {
    std::vector<bool> isRead(graph.values.size());
    for (unsigned value = 0; value < graph.values.size(); ++value)
      isRead[value] = graph.values[value].isNeeded;
    RematFrontier::Point point;
    bool isLegal = true;
    for (unsigned op = 0; op < graph.ops.size(); ++op)
      if (set >> op & 1) {
        isLegal &= graph.ops[op].mayRerun;
        point.work += graph.ops[op].work;
        for (unsigned operand : graph.ops[op].operands)
          isRead[operand] = true;
      }
    for (unsigned value = 0; value < graph.values.size(); ++value) {
      const int producer = graph.values[value].producer;
      if (!isRead[value] || producer < 0 || (set >> producer & 1))
        continue;
      isLegal &= graph.values[value].mayKeep;
      point.bytes += graph.values[value].bytes;
    }
    if (isLegal)
      all.push_back(point);
  }
  return all;
}

/// Layers in a row, each of the values x -> norm -> a, b -> c -> next x.
RematGraph makeLayers(unsigned layers) {
  RematGraph graph;
  graph.values.push_back({});
  unsigned x = 0;
  auto add = [&](int64_t work, std::vector<unsigned> operands, int64_t bytes, bool isNeeded,
                 bool isBoundary = false) {
    graph.values.push_back({bytes, static_cast<int>(graph.ops.size()), isNeeded, true});
    graph.ops.push_back({work, !isBoundary, std::move(operands)});
    return static_cast<unsigned>(graph.values.size() - 1);
  };
  for (unsigned i = 0; i < layers; ++i) {
    const unsigned norm = add(1, {x}, 10, true);
    const unsigned a = add(100, {norm}, 30, true), b = add(100, {norm}, 30, true);
    const unsigned c = add(3, {a, b}, 30, true);
    x = add(100, {c, x}, 10, true, true);
  }
  return graph;
}

TEST(RematPlan, KeepsWhatIsNeededAtNoWork) {
  RematGraph graph = makeLayers(1);
  RematPlan plan = planLeastWork(graph);
  EXPECT_EQ(plan.bytes, 10 + 3 * 30 + 10);
  EXPECT_EQ(plan.work, 0);
  EXPECT_EQ(plan.rerun, std::vector<bool>(5));
}

TEST(RematPlan, LeastBytesKeepsOnlyBoundaries) {
  RematPlan plan = planLeastBytes(makeLayers(2));
  EXPECT_EQ(plan.bytes, 2 * 10);
  EXPECT_EQ(plan.work, 2 * 204);
}

TEST(RematPlan, CountsAnOpWithSeveralResultsOnce) {
  RematGraph graph;
  graph.values = {{}, {6, 0, true, true}, {6, 0, true, true}};
  graph.ops = {{10, true, {0}}};
  EXPECT_TRUE(planAtPrices(graph, 1, 1).rerun[0]); // 10 < 12, though 10 > 6
  EXPECT_FALSE(planAtPrices(graph, 3, 4).rerun[0]);
}

TEST(RematPlan, EqualsBruteForceAtEveryPrice) {
  std::mt19937 random(1);
  for (int round = 0; round < 3000; ++round) {
    const RematGraph graph = makeGraph(random, 1 + random() % 12);
    const auto all = enumerate(graph);
    ASSERT_FALSE(all.empty());
    const int64_t bytePrice = 1 + random() % 9, workPrice = random() % 9;
    const RematPlan plan = planAtPrices(graph, bytePrice, workPrice);
    expectSound(graph, plan);
    int64_t best = INT64_MAX;
    for (const auto &point : all)
      best = std::min(best, point.bytes * bytePrice + point.work * workPrice);
    ASSERT_EQ(plan.bytes * bytePrice + plan.work * workPrice, best) << "round " << round;
  }
}

TEST(RematFrontier, HoldsEveryPlanThatIsBestAtSomePrice) {
  std::mt19937 random(2);
  for (int round = 0; round < 500; ++round) {
    const RematGraph graph = makeGraph(random, 1 + random() % 10);
    const RematFrontier frontier(graph);
    const auto &points = frontier.getPoints();
    for (size_t i = 0; i < points.size(); ++i) {
      const RematPlan plan = frontier.getPlan(i);
      expectSound(graph, plan);
      ASSERT_EQ(plan.bytes, points[i].bytes);
      ASSERT_EQ(plan.work, points[i].work);
    }
    for (const auto &point : enumerate(graph)) {
      // No plan lies below the line through two neighbours, or beyond the ends.
      ASSERT_GE(point.bytes, points.back().bytes);
      ASSERT_GE(point.work, points.front().work);
      for (size_t i = 0; i + 1 < points.size(); ++i) {
        const int64_t bytePrice = points[i + 1].work - points[i].work,
                      workPrice = points[i].bytes - points[i + 1].bytes;
        ASSERT_GE(point.bytes * bytePrice + point.work * workPrice,
                  points[i].bytes * bytePrice + points[i].work * workPrice)
            << "round " << round;
      }
    }
  }
}

TEST(RematFrontier, PlansAreNested) {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    const RematFrontier frontier(makeGraph(random, 40));
    RematPlan previous = frontier.getPlan(0);
    for (size_t i = 1; i < frontier.getPoints().size(); ++i) {
      RematPlan plan = frontier.getPlan(i);
      for (size_t op = 0; op < plan.rerun.size(); ++op)
        ASSERT_LE(previous.rerun[op], plan.rerun[op]) << "round " << round;
      previous = std::move(plan);
    }
  }
}

TEST(RematFrontier, LessBytesNeverMeanMoreBytesOrLessWork) {
  std::mt19937 random(4);
  for (int round = 0; round < 300; ++round) {
    const RematGraph graph = makeGraph(random, 8 + random() % 30);
    const RematFrontier frontier(graph);
    const int64_t least = frontier.getPoints().back().bytes,
                  most = frontier.getPoints().front().bytes;
    EXPECT_FALSE(frontier.planWithin(least - 1).has_value());
    RematPlan previous = frontier.planWithin(most).value();
    EXPECT_EQ(previous.work, frontier.getPoints().front().work);
    for (int64_t bytes = most; bytes >= least; --bytes) {
      const RematPlan plan = frontier.planWithin(bytes).value();
      ASSERT_LE(plan.bytes, bytes);
      ASSERT_LE(plan.bytes, previous.bytes);
      ASSERT_GE(plan.work, previous.work);
      previous = plan;
    }
  }
}

TEST(RematFrontier, BetweenNeighboursFillsTheKnapsack) {
  // Two independent ops: 100 bytes for 10 work, 30 bytes for 6. For 20 bytes less the second is
  // cheaper, though the first saves more per work.
  RematGraph graph;
  graph.values = {{}, {100, 0, true, true}, {30, 1, true, true}};
  graph.ops = {{10, true, {0}}, {6, true, {0}}};
  const RematFrontier frontier(graph);
  EXPECT_EQ(frontier.planWithin(110)->work, 6);
  EXPECT_EQ(frontier.planWithin(99)->work, 10);
  EXPECT_EQ(frontier.planWithin(0)->work, 16);
}

TEST(RematFrontier, EarlierLayersRunAgainFirst) {
  const RematFrontier frontier(makeLayers(4));
  const int64_t perLayer = 100, boundaries = 4 * 10;
  const RematPlan plan = frontier.planWithin(boundaries + 4 * perLayer - 2 * 30).value();
  EXPECT_TRUE(plan.rerun[3]); // c of the first two layers: 30 bytes for 3 each
  EXPECT_TRUE(plan.rerun[8]);
  EXPECT_FALSE(plan.rerun[13]);
  EXPECT_FALSE(plan.rerun[18]);
}

TEST(RematFrontier, ManyEqualLayersAreSolvedOnce) {
  const RematGraph graph = makeLayers(2000);
  const RematFrontier frontier(graph);
  const auto &points = frontier.getPoints();
  EXPECT_EQ(points.front().bytes, 2000 * 110);
  EXPECT_EQ(points.back().bytes, 2000 * 10);
  const RematPlan half = frontier.planWithin(2000 * 60).value();
  EXPECT_LE(half.bytes, 2000 * 60);
  EXPECT_GT(half.bytes, 2000 * 60 - 100);
}

} // namespace
