#include "passes/memory/RematFrontier.h"

#include <gtest/gtest.h>

#include <random>

using namespace titan;

namespace {

/// A random forward of `numOps` ops, some with two results, some that may not run again. If
/// `isSplit`, I and W read it.
RematGraph makeGraph(std::mt19937 &random, unsigned numOps, bool isSplit = false) {
  RematGraph graph;
  // Microbatches in flight from the forward to I and from I to W; to W no more than both.
  const int64_t toInput = 1 + random() % 3, handed = 1 + random() % 3,
                toWeights = std::max(toInput, handed) + random() % (std::min(toInput, handed) + 1);
  auto setBytes = [&](RematValue &value) {
    const int64_t bytes = random() % 16;
    value.bytes = value.producer < 0 ? 0 : bytes * (isSplit ? toInput : 1);
    if (isSplit) {
      value.bytesToWeights = bytes * toWeights;
      value.bytesHanded = value.producer < 0 ? bytes * (toWeights - toInput) : bytes * handed;
      value.isNeededByWeights = random() % 3 == 0;
    }
    value.isNeeded = random() % 3 == 0;
  };
  graph.values.resize(1 + random() % 2);
  for (RematValue &value : graph.values)
    setBytes(value);
  for (unsigned i = 0; i < numOps; ++i) {
    RematOp op;
    op.work = op.workInWeights = random() % 3 ? random() % 20 : 0;
    op.mayRerun = random() % 8 != 0;
    for (unsigned count = 1 + random() % 3; count; --count)
      op.operands.push_back(random() % graph.values.size());
    for (unsigned count = 1 + random() % 4 / 3; count; --count) {
      RematValue value;
      value.producer = static_cast<int>(i);
      setBytes(value);
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
  auto expectThere = [&](unsigned value, bool inWeights) {
    const int producer = graph.values[value].producer;
    const bool isMade = producer >= 0 && (inWeights ? plan.rerunInWeights : plan.rerun)[producer];
    EXPECT_TRUE(isMade || (inWeights ? plan.carried[value] : producer < 0 || plan.kept[value]))
        << "value " << value << " inWeights " << inWeights;
  };
  for (unsigned i = 0; i < graph.values.size(); ++i) {
    const RematValue &value = graph.values[i];
    if (value.isNeeded)
      expectThere(i, false);
    if (value.isNeededByWeights)
      expectThere(i, true);
    if (plan.carried[i] && !plan.kept[i])
      expectThere(i, false);
    if (plan.carried[i] || plan.kept[i]) {
      EXPECT_TRUE(value.mayKeep || value.producer < 0) << "value " << i;
      bytes += !plan.carried[i] ? value.bytes
               : plan.kept[i]   ? value.bytesToWeights
                                : value.bytesHanded;
    }
  }
  for (unsigned i = 0; i < graph.ops.size(); ++i) {
    const RematOp &op = graph.ops[i];
    for (bool inWeights : {false, true}) {
      if (!(inWeights ? plan.rerunInWeights : plan.rerun)[i])
        continue;
      work += inWeights ? op.workInWeights : op.work;
      EXPECT_TRUE(op.mayRerun) << "op " << i;
      for (unsigned operand : op.operands)
        expectThere(operand, inWeights);
    }
  }
  EXPECT_EQ(plan.bytes, bytes);
  EXPECT_EQ(plan.work, work);
}

/// What a half reads if these ops run again in it.
std::vector<bool> findReads(const RematGraph &graph, unsigned set, bool inWeights) {
  std::vector<bool> isRead;
  for (const RematValue &value : graph.values)
    isRead.push_back(inWeights ? value.isNeededByWeights : value.isNeeded);
  for (unsigned op = 0; op < graph.ops.size(); ++op)
    if (set >> op & 1)
      for (unsigned operand : graph.ops[op].operands)
        isRead[operand] = true;
  return isRead;
}

/// Bytes and work if these ops run again in I and in W, the rest kept as needed; none if that is
/// not legal.
std::optional<RematFrontier::Point> evaluate(const RematGraph &graph, unsigned inInput,
                                             unsigned inWeights) {
  RematFrontier::Point point;
  for (unsigned op = 0; op < graph.ops.size(); ++op) {
    if (((inInput | inWeights) >> op & 1) && !graph.ops[op].mayRerun)
      return std::nullopt;
    point.work += (inInput >> op & 1) * graph.ops[op].work +
                  (inWeights >> op & 1) * graph.ops[op].workInWeights;
  }
  const std::vector<bool> first = findReads(graph, inInput, false),
                          second = findReads(graph, inWeights, true);
  for (unsigned i = 0; i < graph.values.size(); ++i) {
    const RematValue &value = graph.values[i];
    const bool isArgument = value.producer < 0;
    const bool inFirst = isArgument || (inInput >> value.producer & 1);
    const bool isCarried = second[i] && (isArgument || !(inWeights >> value.producer & 1));
    const bool isKept = (isCarried || first[i]) && !inFirst;
    if ((isKept || isCarried) && !value.mayKeep)
      return std::nullopt;
    if (isCarried)
      point.bytes += inFirst ? value.bytesHanded : value.bytesToWeights;
    else if (isKept)
      point.bytes += value.bytes;
  }
  return point;
}

/// Bytes and work of every legal pair of sets of ops that run again in I and in W.
std::vector<RematFrontier::Point> enumerate(const RematGraph &graph) {
  std::vector<RematFrontier::Point> all;
  const unsigned end = 1u << graph.ops.size();
  for (unsigned inInput = 0; inInput < end; ++inInput)
    for (unsigned inWeights = 0; inWeights < (graph.isSplit() ? end : 1); ++inWeights)
      if (auto point = evaluate(graph, inInput, inWeights))
        all.push_back(*point);
  return all;
}

/// What the backward needs.
RematValue makeNeeded(int64_t bytes, int producer) {
  return {.bytes = bytes, .producer = producer, .isNeeded = true};
}

/// Layers in a row, each of the values x -> norm -> a, b -> c -> next x.
RematGraph makeLayers(unsigned layers) {
  RematGraph graph;
  graph.values.push_back({});
  unsigned x = 0;
  auto add = [&](int64_t work, std::vector<unsigned> operands, int64_t bytes, bool isNeeded,
                 bool isBoundary = false) {
    graph.values.push_back(
        {.bytes = bytes, .producer = static_cast<int>(graph.ops.size()), .isNeeded = isNeeded});
    graph.ops.push_back({work, work, !isBoundary, std::move(operands)});
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
  graph.values = {{}, makeNeeded(6, 0), makeNeeded(6, 0)};
  graph.ops = {{10, 10, true, {0}}};
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

TEST(RematPlan, TwoHalvesAreNearBruteForceAtEveryPrice) {
  std::mt19937 random(5);
  for (int round = 0; round < 3000; ++round) {
    const RematGraph graph = makeGraph(random, 1 + random() % 6, /*isSplit=*/true);
    const int64_t bytePrice = 1 + random() % 9, workPrice = random() % 9;
    const RematPlan plan = planAtPrices(graph, bytePrice, workPrice);
    expectSound(graph, plan);
    int64_t best = INT64_MAX;
    for (const auto &point : enumerate(graph))
      best = std::min(best, point.bytes * bytePrice + point.work * workPrice);
    const int64_t cost = plan.bytes * bytePrice + plan.work * workPrice;
    ASSERT_GE(cost, best) << "round " << round;
    ASSERT_LE(100 * cost, 105 * best) << "round " << round;
  }
}

/// One op that costs 10 to run again; both halves read its result.
RematGraph makeShared(int64_t toInput, int64_t toWeights, int64_t handed) {
  RematGraph graph;
  graph.values = {{}, makeNeeded(toInput, 0)};
  graph.values[1].bytesToWeights = toWeights;
  graph.values[1].bytesHanded = handed;
  graph.values[1].isNeededByWeights = true;
  graph.ops = {{10, 10, true, {0}}};
  return graph;
}

TEST(RematPlan, ASecondHalfMayKeepWhatTheFirstOneMade) {
  // From the forward on the value costs 30: from I on 3, or nothing if W makes it too.
  const RematGraph graph = makeShared(20, 30, 3);
  const RematPlan least = planLeastWork(graph), once = planAtPrices(graph, 1, 1),
                  twice = planLeastBytes(graph);
  EXPECT_EQ(least.work, 0);
  EXPECT_EQ(least.bytes, 30);
  EXPECT_TRUE(once.rerun[0] && !once.rerunInWeights[0] && once.carried[1] && !once.kept[1]);
  EXPECT_EQ(once.work, 10);
  EXPECT_EQ(once.bytes, 3);
  EXPECT_TRUE(twice.rerun[0] && twice.rerunInWeights[0] && !twice.carried[1]);
  EXPECT_EQ(twice.work, 20);
  EXPECT_EQ(twice.bytes, 0);
}

TEST(RematPlan, TheFirstHalfMayKeepWhatTheSecondOneMakesAgain) {
  // To I it costs 1, and 20 more to W, which computes it again for 10.
  const RematPlan plan = planAtPrices(makeShared(1, 21, 20), 1, 1);
  EXPECT_TRUE(!plan.rerun[0] && plan.rerunInWeights[0] && plan.kept[1] && !plan.carried[1]);
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

TEST(RematFrontier, IsNearEveryPlanOfTwoHalves) {
  std::mt19937 random(6);
  for (int round = 0; round < 300; ++round) {
    const RematGraph graph = makeGraph(random, 1 + random() % 5, /*isSplit=*/true);
    const RematFrontier frontier(graph);
    const auto &points = frontier.getPoints();
    const auto all = enumerate(graph);
    for (size_t i = 0; i + 1 < points.size(); ++i) {
      expectSound(graph, frontier.getPlan(i));
      ASSERT_GT(points[i].bytes, points[i + 1].bytes);
      ASSERT_LT(points[i].work, points[i + 1].work);
      const int64_t bytePrice = points[i + 1].work - points[i].work,
                    workPrice = points[i].bytes - points[i + 1].bytes;
      auto cost = [&](const RematFrontier::Point &point) {
        return point.bytes * bytePrice + point.work * workPrice;
      };
      for (const auto &point : all)
        ASSERT_LE(100 * cost(points[i]), 105 * cost(point)) << "round " << round;
    }
    for (const auto &point : all) {
      ASSERT_LE(100 * points.back().bytes, 105 * point.bytes) << "round " << round;
      ASSERT_LE(100 * points.front().work, 105 * point.work) << "round " << round;
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
    const bool isSplit = round % 4 == 0;
    const RematGraph graph = makeGraph(random, 8 + random() % (isSplit ? 4 : 30), isSplit);
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
  graph.values = {{}, makeNeeded(100, 0), makeNeeded(30, 1)};
  graph.ops = {{10, 10, true, {0}}, {6, 6, true, {0}}};
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
