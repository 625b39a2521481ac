#include "test/unit/passes/PropagationTestGraph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

using testing::ElementsAre;
using testing::IsEmpty;

namespace titan::sharding {
namespace {

class PropagationTest : public testing::Test {
protected:
  PropagationTest() : graph({{{"dp", 2}, {"tp", 4}}}) {}

  void run(const PropagationPolicy &policy = DefaultPolicy()) {
    result = propagateShardings(graph.get(), policy);
    EXPECT_EQ(result.errors.size(), 0u);
  }
  void runAndCheck() {
    run();
    EXPECT_EQ(findFlaw(graph.get(), result), "");
  }
  std::string of(unsigned value) const { return graph.show(result.shardings[value]); }
  std::vector<std::string> getReshards() const { return showReshards(graph, result); }
  std::vector<std::string> getReasons() const {
    std::vector<std::string> reasons;
    for (const Reshard &reshard : result.reshards)
      reasons.push_back(reshard.reason);
    return reasons;
  }

  TestGraph graph;
  PropagationResult result;
};

//===----------------------------------------------------------------------===//
// Splits
//===----------------------------------------------------------------------===//

TEST_F(PropagationTest, FromOperandsToResults) {
  const unsigned x = graph.input("x", {8, 16}, "dp tp");
  const unsigned y = graph.silu(graph.cast(x));
  runAndCheck();
  EXPECT_EQ(of(y), "[{dp}, {tp}]");
  EXPECT_THAT(getReshards(), IsEmpty());
}

TEST_F(PropagationTest, FromResultsToOperands) {
  const unsigned x = graph.openInput("x", {8, 16});
  const unsigned y = graph.cast(x);
  graph.fix("dp tp").silu(y);
  runAndCheck();
  EXPECT_EQ(of(x), "[{dp}, {tp}]");
  EXPECT_EQ(of(y), "[{dp}, {tp}]");
}

TEST_F(PropagationTest, BetweenOperands) {
  const unsigned x = graph.input("x", {8, 16}, "dp tp");
  const unsigned y = graph.openInput("y", {8, 16});
  graph.add(x, y);
  runAndCheck();
  EXPECT_EQ(of(y), "[{dp}, {tp}]");
}

TEST_F(PropagationTest, ConstantsAreWhatTheirUsersWant) {
  const unsigned x = graph.input("x", {8, 16}, "dp - | flat tp");
  const unsigned one = graph.full({8, 16});
  graph.add(x, one);
  runAndCheck();
  EXPECT_EQ(of(one), "[{dp}, {}] flat {tp}");
  EXPECT_THAT(getReshards(), IsEmpty());
}

TEST_F(PropagationTest, NothingKnownNothingSplit) {
  const unsigned x = graph.openInput("x", {8, 16});
  const unsigned y = graph.rmsNorm(x, graph.openInput("w", {16}));
  runAndCheck();
  EXPECT_EQ(of(y), "[{}, {}]");
}

TEST_F(PropagationTest, AxesGoToTheOuterFactor) {
  const unsigned x = graph.input("x", {2, 32}, "- tp");
  const unsigned y = graph.splitLast(x, 8);
  runAndCheck();
  EXPECT_EQ(of(y), "[{}, {tp}, {}]");
}

TEST_F(PropagationTest, AxesGoOnToTheInnerFactorWhenTheOuterIsUsedUp) {
  const unsigned x = graph.input("x", {3, 32}, "- dp+tp");
  const unsigned y = graph.splitLast(x, 2);
  const unsigned back = graph.mergeLast(y);
  runAndCheck();
  EXPECT_EQ(of(y), "[{}, {dp}, {tp}]");
  EXPECT_EQ(of(back), "[{}, {dp, tp}]");
}

TEST_F(PropagationTest, FactorsOfSizeOneAreNoObstacle) {
  const unsigned x = graph.input("x", {3, 32}, "- tp");
  const unsigned y = graph.splitLast(x, 1);
  runAndCheck();
  EXPECT_EQ(of(y), "[{}, {}, {tp}]");
}

TEST_F(PropagationTest, NoAxisIsCutInTwo) {
  const unsigned x = graph.input("x", {3, 32}, "- tp");
  const unsigned y = graph.splitLast(x, 2);
  runAndCheck();
  EXPECT_EQ(of(y), "[{}, {}, {}]");
  EXPECT_THAT(getReasons(),
              ElementsAre("operand 0 of 'reshape' needs dimension 1 whole: degree 4 of 'tp' does "
                          "not divide its factors 2 x 16"));
}

TEST_F(PropagationTest, InnerFactorsWaitForOuterOnes) {
  // [{}, {tp}] of heads x dim is no list of axes on the merged dimension.
  const unsigned x = graph.input("x", {3, 2, 16}, "- - tp");
  const unsigned y = graph.mergeLast(x);
  runAndCheck();
  EXPECT_EQ(of(y), "[{}, {}]");
  EXPECT_THAT(getReshards(), ElementsAre("x: [{}, {}, {tp}] -> [{}, {}, {}]"));
}

TEST_F(PropagationTest, DegreesThatDoNotDivideAreNotPropagated) {
  const unsigned x = graph.input("x", {8, 12}, "- tp");
  const unsigned y = graph.splitLast(x, 6);
  const unsigned z = graph.silu(y);
  runAndCheck();
  EXPECT_EQ(of(z), "[{}, {}, {}]");
}

TEST_F(PropagationTest, NoAxisOnFactorsThatMustBeWhole) {
  const unsigned x = graph.input("x", {8, 16}, "dp tp");
  const unsigned y = graph.rmsNorm(x, graph.input("w", {16}, "-"));
  runAndCheck();
  EXPECT_EQ(of(y), "[{dp}, {}]");
  EXPECT_THAT(getReasons(), ElementsAre("operand 0 of 'rms_norm' needs dimension 1 whole: the op "
                                        "needs all of it at once"));
}

TEST_F(PropagationTest, NoAxisOnPermutedFactors) {
  ShardingRule rule;
  const unsigned inner = rule.addFactor(16);
  rule.operands = {{{rule.addFactor(8, FactorKind::permutation)}, {inner}}};
  rule.results = {{{rule.addFactor(4, FactorKind::permutation)}, {inner}}};
  const unsigned x = graph.input("x", {8, 16}, "dp tp");
  const unsigned y = graph.node("slice", {x}, rule, {0}).front();
  runAndCheck();
  EXPECT_EQ(of(y), "[{}, {tp}]");
  EXPECT_THAT(getReshards(), ElementsAre("x: [{dp}, {tp}] -> [{}, {tp}]"));
}

TEST_F(PropagationTest, MoreAxesWinOverFewerOfThem) {
  const unsigned x = graph.input("x", {16, 8}, "dp -");
  const unsigned y = graph.input("y", {16, 8}, "dp+tp -");
  const unsigned z = graph.mul(x, y);
  runAndCheck();
  EXPECT_EQ(of(z), "[{dp, tp}, {}]");
  EXPECT_THAT(getReasons(), ElementsAre("operand 0 of 'mul' needs dimension 0 split over 'tp' as "
                                        "dimension 0 of operand 1 is"));
}

TEST_F(PropagationTest, FixedValuesStopPropagation) {
  const unsigned x = graph.input("x", {8, 16}, "dp tp");
  const unsigned y = graph.fix("dp -").cast(x);
  const unsigned z = graph.silu(y);
  runAndCheck();
  EXPECT_EQ(of(z), "[{dp}, {}]");
  EXPECT_THAT(getReshards(), ElementsAre("cast: [{dp}, {tp}] -> [{dp}, {}]"));
  EXPECT_TRUE(result.reshards[0].atDefinition);
}

//===----------------------------------------------------------------------===//
// Conflicts
//===----------------------------------------------------------------------===//

TEST_F(PropagationTest, VariablesWinOverAnnotationsAndSeeds) {
  const unsigned x = graph.openInput("x", {8, 16});
  const unsigned w = graph.input("w", {32, 16}, "tp -");
  // The weight is three ops away, the annotation none.
  const unsigned far = graph.cast(graph.cast(graph.cast(w)));
  const unsigned y = graph.fix("tp -", Origin::annotation).einsum("sk,nk->sn", x, far);
  run();
  EXPECT_THAT(getReshards(), ElementsAre("einsum: [{}, {tp}] -> [{tp}, {}]"));
  EXPECT_EQ(of(y), "[{tp}, {}]");
}

TEST_F(PropagationTest, SeedsGiveWay) {
  const unsigned x = graph.input("x", {8, 16}, "- -");
  const unsigned w = graph.input("w", {32, 16}, "tp -");
  const unsigned y = graph.seed("tp -").einsum("sk,nk->sn", x, w);
  const unsigned z = graph.seed("dp -").cast(y);
  runAndCheck();
  EXPECT_EQ(of(y), "[{dp}, {tp}]");
  EXPECT_EQ(of(z), "[{dp}, {tp}]");
  EXPECT_THAT(getReasons(), ElementsAre("operand 0 of 'einsum' needs dimension 0 split over 'dp' "
                                        "as dimension 0 of result 0 is"));
}

TEST_F(PropagationTest, SeedsThatDoNotDivideAreIgnored) {
  const unsigned y = graph.seed("tp -").cast(graph.openInput("x", {6, 16}));
  runAndCheck();
  EXPECT_EQ(of(y), "[{}, {}]");
}

TEST_F(PropagationTest, ResultsWinOverOperands) {
  const unsigned x = graph.input("x", {64, 64}, "tp -", Origin::annotation);
  const unsigned y = graph.fix("- tp").cast(x);
  runAndCheck();
  EXPECT_EQ(of(y), "[{}, {tp}]");
  EXPECT_THAT(getReshards(), ElementsAre("x: [{tp}, {}] -> [{}, {tp}]"));
}

TEST_F(PropagationTest, LargerTensorsWinOverSmallerOnes) {
  const unsigned small = graph.input("small", {8, 16}, "tp -");
  const unsigned large = graph.input("large", {64, 16}, "tp -");
  const unsigned y = graph.einsum("mk,nk->mn", small, large);
  const unsigned z = graph.einsum("nk,mk->mn", large, small);
  runAndCheck();
  EXPECT_EQ(of(y), "[{}, {tp}]");
  EXPECT_EQ(of(z), "[{}, {tp}]");
  // One gather for both.
  EXPECT_THAT(getReshards(), ElementsAre("small: [{tp}, {}] -> [{}, {}]"));
}

TEST_F(PropagationTest, NearerOriginsWin) {
  const unsigned x = graph.input("x", {16, 16}, "tp -");
  const unsigned y = graph.input("y", {16, 16}, "- tp");
  const unsigned z = graph.add(graph.cast(graph.cast(x)), graph.cast(y));
  runAndCheck();
  EXPECT_EQ(of(z), "[{}, {tp}]");
}

TEST_F(PropagationTest, AnotherOrderOfAxesIsAConflict) {
  const unsigned x = graph.input("x", {16}, "dp+tp");
  const unsigned y = graph.input("y", {16}, "tp+dp");
  const unsigned z = graph.add(x, y);
  runAndCheck();
  EXPECT_EQ(of(z), "[{dp, tp}]");
  EXPECT_THAT(getReasons(),
              ElementsAre("operand 1 of 'add' needs dimension 0 split over 'dp', 'tp' in this "
                          "order"));
}

/// Grants small tensors their wishes and never passes partial sums on.
class SmallestFirst : public PropagationPolicy {
public:
  bool prefers(const Candidate &a, const Candidate &b) const override {
    return a.elements < b.elements;
  }
  bool passesOn(const PartialSum &) const override { return false; }
};

TEST_F(PropagationTest, ThePolicyDecides) {
  const unsigned small = graph.input("small", {8, 16}, "tp -");
  const unsigned large = graph.input("large", {64, 16}, "tp -");
  const unsigned y = graph.einsum("mk,nk->mn", small, large);
  const unsigned p = graph.input("p", {8}, "- | partial tp");
  const unsigned q = graph.cast(p);
  run(SmallestFirst());
  EXPECT_EQ(of(y), "[{tp}, {}]");
  EXPECT_EQ(of(q), "[{}]");
  run();
  EXPECT_EQ(of(y), "[{}, {tp}]");
  EXPECT_EQ(of(q), "[{}] partial {tp}");
}

TEST(PropagationPolicy, OrderOfPreference) {
  const DefaultPolicy policy;
  const Candidate base = {0, {0}, Origin::annotation, 2, false, false, 0, 100};
  auto better = [&](auto change) {
    Candidate other = base;
    change(other);
    return policy.prefers(other, base) && !policy.prefers(base, other);
  };
  EXPECT_FALSE(policy.prefers(base, base));
  EXPECT_TRUE(better([](Candidate &c) { c.origin = Origin::variable, c.elements = 1; }));
  EXPECT_TRUE(better([](Candidate &c) { c.fixed = true, c.elements = 1; }));
  EXPECT_TRUE(better([](Candidate &c) { c.isResult = true, c.elements = 1; }));
  EXPECT_TRUE(better([](Candidate &c) { c.elements = 101, c.distance = 9; }));
  EXPECT_TRUE(better([](Candidate &c) { c.distance = 1, c.tensor = 3; }));
  EXPECT_FALSE(better([](Candidate &c) { c.tensor = 1; }));
}

TEST(PropagationPolicy, PartialSumsArePassedOnWhileThatCostsNothing) {
  const DefaultPolicy policy;
  EXPECT_TRUE(policy.passesOn({1, 1, 100, 100}));
  EXPECT_FALSE(policy.passesOn({2, 1, 100, 100}));
  EXPECT_FALSE(policy.passesOn({1, 2, 100, 100}));
  EXPECT_FALSE(policy.passesOn({1, 1, 100, 101}));
}

//===----------------------------------------------------------------------===//
// Partial sums
//===----------------------------------------------------------------------===//

TEST_F(PropagationTest, SplitReductionsGivePartialSums) {
  const unsigned x = graph.input("x", {8, 16}, "dp tp");
  const unsigned total = graph.reduce(x, {1});
  const unsigned w = graph.input("w", {32, 16}, "- tp");
  const unsigned y = graph.einsum("sk,nk->sn", x, w);
  runAndCheck();
  EXPECT_EQ(of(total), "[{dp}] partial {tp}");
  EXPECT_EQ(of(y), "[{dp}, {}] partial {tp}");
  EXPECT_THAT(getReshards(), IsEmpty());
}

TEST_F(PropagationTest, TwoPartialSumsAreAddedFirst) {
  const unsigned a = graph.input("a", {8, 16}, "- - | partial tp");
  const unsigned b = graph.input("b", {8, 16}, "- - | partial tp");
  const unsigned sum = graph.add(a, b);
  graph.silu(sum);
  runAndCheck();
  EXPECT_EQ(of(sum), "[{}, {}] partial {tp}");
  EXPECT_THAT(getReasons(), ElementsAre("operand 0 of 'silu' must be summed over 'tp': the op is "
                                        "not linear in it"));
}

TEST_F(PropagationTest, APartialSumIsCompletedBeforeSomethingCompleteIsAdded) {
  const unsigned a = graph.input("a", {8, 16}, "- - | partial dp+tp");
  const unsigned b = graph.input("b", {8, 16}, "- - | partial dp");
  const unsigned sum = graph.add(a, b);
  runAndCheck();
  EXPECT_EQ(of(sum), "[{}, {}] partial {dp}");
  EXPECT_THAT(getReasons(), ElementsAre("operand 0 of 'add' must be summed over 'tp'"));
}

TEST_F(PropagationTest, PartialSumsAreScatteredWhereTheNodeIsSplit) {
  const unsigned a = graph.input("a", {8, 16}, "- - | partial tp");
  const unsigned b = graph.input("b", {8, 16}, "- tp");
  const unsigned sum = graph.add(a, b);
  runAndCheck();
  EXPECT_EQ(of(sum), "[{}, {tp}]");
  EXPECT_THAT(getReshards(), ElementsAre("a: [{}, {}] partial {tp} -> [{}, {tp}]"));
}

TEST_F(PropagationTest, AProductOfTwoPartialSumsIsNone) {
  const unsigned a = graph.input("a", {8}, "- | partial tp");
  const unsigned b = graph.input("b", {8}, "- | partial tp");
  const unsigned product = graph.mul(a, b);
  runAndCheck();
  EXPECT_EQ(of(product), "[{}]");
  EXPECT_EQ(result.reshards.size(), 2u);
}

TEST_F(PropagationTest, AProductWithSomethingCompleteIsAPartialSum) {
  const unsigned a = graph.input("a", {8}, "- | partial tp");
  const unsigned product = graph.mul(a, graph.input("b", {8}, "dp"));
  runAndCheck();
  EXPECT_EQ(of(product), "[{dp}] partial {tp}");
  EXPECT_THAT(getReshards(), ElementsAre("a: [{}] partial {tp} -> [{dp}] partial {tp}"));
}

TEST_F(PropagationTest, APartialSumTimesASplitOverTheSameAxis) {
  const unsigned a = graph.input("a", {8, 16}, "- - | partial tp");
  const unsigned w = graph.input("w", {4, 16}, "- tp");
  const unsigned y = graph.einsum("sk,nk->sn", a, w);
  runAndCheck();
  EXPECT_EQ(of(y), "[{}, {}] partial {tp}");
  EXPECT_THAT(getReshards(), ElementsAre("a: [{}, {}] partial {tp} -> [{}, {tp}]"));
}

TEST_F(PropagationTest, PartialSumsDoNotGrow) {
  const unsigned a = graph.input("a", {}, "| partial tp");
  const unsigned y = graph.broadcast(a, {8, 16});
  runAndCheck();
  EXPECT_EQ(of(y), "[{}, {}]");
  EXPECT_THAT(getReshards(), ElementsAre("a: [] partial {tp} -> []"));
}

TEST_F(PropagationTest, PartialSumsOfSeveralUsesAreCompletedOnce) {
  const unsigned a = graph.input("a", {8}, "- | partial tp");
  const unsigned x = graph.cast(a), y = graph.cast(a);
  runAndCheck();
  EXPECT_EQ(of(x), "[{}]");
  EXPECT_EQ(of(y), "[{}]");
  EXPECT_THAT(getReshards(), ElementsAre("a: [{}] partial {tp} -> [{}]"));
  EXPECT_THAT(result.reshards[0].uses, ElementsAre(Use{false, 0, 0}, Use{false, 1, 0}));
}

TEST_F(PropagationTest, FixedPartialSumsAreMet) {
  const unsigned a = graph.input("a", {8}, "- | partial tp");
  const unsigned x = graph.fix("- | partial tp").cast(a);
  const unsigned y = graph.fix("-").cast(a);
  runAndCheck();
  EXPECT_EQ(of(x), "[{}] partial {tp}");
  EXPECT_EQ(of(y), "[{}]");
  EXPECT_THAT(getReshards(), ElementsAre("a: [{}] partial {tp} -> [{}]"));
}

TEST_F(PropagationTest, AccumulatorsJoinPartialSums) {
  const unsigned x = graph.input("x", {8, 16}, "- tp");
  const unsigned w = graph.input("w", {32, 16}, "- tp");
  const unsigned complete = graph.input("complete", {8, 32}, "- -");
  const unsigned partial = graph.input("partial", {8, 32}, "- - | partial tp");
  const unsigned y = graph.einsum("sk,nk->sn", x, w, complete);
  const unsigned z = graph.einsum("sk,nk->sn", x, w, partial);
  runAndCheck();
  EXPECT_EQ(of(y), "[{}, {}] partial {tp}");
  EXPECT_EQ(of(z), "[{}, {}] partial {tp}");
  EXPECT_THAT(getReasons(), ElementsAre("operand 2 of 'einsum' joins partial sums over 'tp'"));
}

TEST_F(PropagationTest, AReductionThatAResultKeepsIsASplitThere) {
  const unsigned dy = graph.input("dy", {8, 16}, "tp -"), x = graph.input("x", {8, 16}, "tp -");
  auto [dx, dw] = graph.rmsNormGrad(dy, x, graph.input("w", {16}, "-"));
  runAndCheck();
  EXPECT_EQ(of(dx), "[{tp}, {}]");
  EXPECT_EQ(of(dw), "[{}] partial {tp}");
}

TEST_F(PropagationTest, CompleteResultsOfSplitReductions) {
  ShardingRule rule;
  const unsigned rows = rule.addFactor(8, FactorKind::reduction);
  const unsigned classes = rule.addFactor(16, FactorKind::reduction);
  rule.operands = {{{rows}, {classes}}};
  rule.results = {{}, {}, {{rows}}};
  rule.complete = {{0, classes}};
  const unsigned x = graph.input("x", {8, 16}, "dp tp");
  const auto results = graph.node("loss", {x}, rule, {});
  run();
  EXPECT_EQ(of(results[0]), "[] partial {dp}");
  EXPECT_EQ(of(results[1]), "[] partial {dp, tp}");
  EXPECT_EQ(of(results[2]), "[{dp}] partial {tp}");
}

TEST_F(PropagationTest, ZerosArePartialSums) {
  const unsigned a = graph.input("a", {8, 16}, "dp - | partial tp");
  const unsigned zero = graph.full({8, 16}, /*isZero=*/true);
  const unsigned sum = graph.add(zero, a);
  const unsigned stored = graph.full({8, 16}, /*isZero=*/true);
  graph.store("sum", stored, "dp - | partial tp");
  graph.fix("dp - | partial tp").full({8, 16}, /*isZero=*/true);
  runAndCheck();
  EXPECT_EQ(of(zero), "[{dp}, {}] partial {tp}");
  EXPECT_EQ(of(sum), "[{dp}, {}] partial {tp}");
  EXPECT_EQ(of(stored), "[{dp}, {}] partial {tp}");
  EXPECT_THAT(getReshards(), IsEmpty());
}

TEST_F(PropagationTest, OtherConstantsAreNot) {
  graph.add(graph.full({8, 16}), graph.input("a", {8, 16}, "dp - | partial tp"));
  runAndCheck();
  EXPECT_THAT(getReshards(), ElementsAre("a: [{dp}, {}] partial {tp} -> [{dp}, {}]"));
}

TEST_F(PropagationTest, AZeroOfSeveralUsesIsComplete) {
  const unsigned zero = graph.full({8}, /*isZero=*/true);
  graph.store("sum", zero, "- | partial tp");
  graph.store("whole", zero, "-");
  runAndCheck();
  EXPECT_EQ(of(zero), "[{}]");
  EXPECT_THAT(getReshards(), ElementsAre("full: [{}] -> [{}] partial {tp}"));
}

TEST_F(PropagationTest, VariablesMayHoldPartialSums) {
  const unsigned old = graph.input("sum", {}, "| partial dp");
  const unsigned x = graph.input("x", {8}, "dp");
  const unsigned sum = graph.add(old, graph.reduce(x, {0}));
  graph.store("sum", sum, "| partial dp");
  runAndCheck();
  EXPECT_EQ(of(sum), "[] partial {dp}");
  EXPECT_THAT(getReshards(), IsEmpty());
}

//===----------------------------------------------------------------------===//
// Flat storage
//===----------------------------------------------------------------------===//

TEST_F(PropagationTest, FlatSlicesStayFlatElementByElement) {
  const unsigned w = graph.input("w", {8, 15}, "tp - | flat dp");
  const unsigned m = graph.input("m", {8, 15}, "tp - | flat dp");
  const unsigned g = graph.input("g", {8, 15}, "tp - | flat dp");
  const unsigned rate = graph.input("rate", {}, "");
  const unsigned updated = graph.adam(graph.cast(w), g, m, rate);
  runAndCheck();
  EXPECT_EQ(of(updated), "[{tp}, {}] flat {dp}");
  EXPECT_THAT(getReshards(), IsEmpty());
}

TEST_F(PropagationTest, FlatSlicesSurviveReshapes) {
  const unsigned w = graph.input("w", {8, 15}, "tp - | flat dp");
  const unsigned y = graph.splitLast(w, 3);
  runAndCheck();
  EXPECT_EQ(of(y), "[{tp}, {}, {}] flat {dp}");
}

TEST_F(PropagationTest, WholeTensorsAreSlicedToMeetFlatOnes) {
  const unsigned w = graph.input("w", {8, 15}, "- - | flat dp");
  const unsigned y = graph.mul(w, graph.input("x", {8, 15}, "- -"));
  runAndCheck();
  EXPECT_EQ(of(y), "[{}, {}] flat {dp}");
  EXPECT_THAT(getReasons(), ElementsAre("operand 1 of 'mul' needs flat slices over 'dp'"));
}

TEST_F(PropagationTest, SumsOfFlatSlicesArePartial) {
  const unsigned w = graph.input("w", {8, 15}, "tp - | flat dp");
  const unsigned sum = graph.reduce(w, {0, 1});
  const unsigned rows = graph.reduce(w, {1});
  runAndCheck();
  EXPECT_EQ(of(sum), "[] partial {dp, tp}");
  EXPECT_EQ(of(rows), "[{tp}]");
  EXPECT_THAT(getReshards(), ElementsAre("w: [{tp}, {}] flat {dp} -> [{tp}, {}]"));
}

TEST_F(PropagationTest, TermsThatCannotBeSlicedKeepTheOthersFromIt) {
  // A sum of f(x) and g(y), where y must be whole.
  ShardingRule rule;
  rule.operands = {{{rule.addFactor(8, FactorKind::reduction)}},
                   {{rule.addFactor(8, FactorKind::needReplication)}}};
  rule.results = {{}};
  const unsigned x = graph.input("x", {8}, "tp"), y = graph.input("y", {8}, "-");
  const unsigned sum = graph.node("sum", {x, y}, rule, {}, {0, 1}).front();
  runAndCheck();
  EXPECT_EQ(of(sum), "[]");
  EXPECT_THAT(getReshards(), ElementsAre("x: [{tp}] -> [{}]"));
}

//===----------------------------------------------------------------------===//
// Sinks
//===----------------------------------------------------------------------===//

TEST_F(PropagationTest, StoresAreMetAndSuggestTheirSplits) {
  const unsigned x = graph.openInput("x", {8, 16});
  const unsigned y = graph.cast(x);
  graph.store("variable", y, "- tp | flat dp");
  run();
  EXPECT_EQ(of(y), "[{}, {tp}]");
  EXPECT_THAT(getReasons(), ElementsAre("'variable' is kept as [{}, {tp}] flat {dp}"));
  EXPECT_TRUE(result.reshards[0].uses[0].isSink);
}

TEST_F(PropagationTest, ReturnedValuesAreComplete) {
  const unsigned a = graph.input("a", {8, 16}, "- - | partial tp");
  const unsigned x = graph.cast(a);
  graph.returnValue("x", x);
  runAndCheck();
  EXPECT_THAT(getReshards(), ElementsAre("cast: [{}, {}] partial {tp} -> [{}, {}]"));
}

TEST_F(PropagationTest, ReturnedValuesShareTheReshardOfOtherUses) {
  const unsigned a = graph.input("a", {8, 16}, "- - | partial tp");
  const unsigned b = graph.input("b", {8, 16}, "tp -");
  graph.mul(graph.silu(a), b);
  graph.returnValue("a", a);
  runAndCheck();
  EXPECT_THAT(getReshards(), ElementsAre("a: [{}, {}] partial {tp} -> [{tp}, {}]"));
  EXPECT_EQ(result.reshards[0].uses.size(), 2u);
}

} // namespace
} // namespace titan::sharding
