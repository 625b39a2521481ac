#include "test/unit/passes/PropagationTestGraph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

using testing::ElementsAre;
using testing::IsEmpty;

namespace titan::sharding {
namespace {

Mesh getMesh() { return {{{"dp", 4}, {"one", 1}, {"tp", 2}}}; }

std::vector<std::string> getMessages(const PropagationGraph &graph) {
  std::vector<std::string> messages;
  for (const ShardingError &error : propagateShardings(graph).errors)
    messages.push_back(error.message);
  return messages;
}

TEST(PropagationGraph, ShardingsAsText) {
  TestGraph graph(getMesh());
  EXPECT_EQ(graph.show(graph.parse("dp+tp -")), "[{dp, tp}, {}]");
  EXPECT_EQ(graph.show(graph.parse("- tp | flat dp")), "[{}, {tp}] flat {dp}");
  EXPECT_EQ(graph.show(graph.parse("| partial dp+tp")), "[] partial {dp, tp}");
}

TEST(PropagationGraph, AxesOfSizeOneDisappear) {
  TestGraph graph(getMesh());
  const unsigned x = graph.input("x", {8, 6}, "one+dp one | partial one | flat one+tp");
  EXPECT_EQ(graph.show(*graph.get().getValues()[x].sharding), "[{dp}, {}] flat {tp}");
}

TEST(PropagationGraph, DimensionsDivide) {
  TestGraph graph(getMesh());
  graph.input("labels", {6, 128}, "dp -");
  graph.input("sound", {8, 128}, "dp+tp -");
  graph.input("weight", {3, 4}, "- dp+tp");
  EXPECT_THAT(
      getMessages(graph.get()),
      ElementsAre("'labels': dimension 0 of size 6 does not divide by degree 4 of 'dp'; legal "
                  "degrees are 1, 2, 3, 6",
                  "'weight': dimension 1 of size 4 does not divide by degree 8 of 'dp', 'tp'; "
                  "legal degrees are 1, 2, 4"));
  EXPECT_THAT(propagateShardings(graph.get()).reshards, IsEmpty());
}

TEST(PropagationGraph, FlatSlicesOfAnySize) {
  TestGraph graph(getMesh());
  graph.input("odd", {3, 5}, "- - | flat dp+tp");
  EXPECT_THAT(getMessages(graph.get()), IsEmpty());
}

TEST(PropagationGraph, ShardingsFitTheirTensorAndMesh) {
  TestGraph graph(getMesh());
  graph.input("rank", {8, 8}, "dp");
  graph.input("twice", {8, 8}, "dp - | partial dp");
  graph.input("again", {8, 8}, "dp - | flat tp+tp");
  PropagationGraph copy = graph.get();
  copy.addValue({"unknown", {8}, Sharding{{{7}}, {}, {}}, Origin::variable});
  EXPECT_THAT(getMessages(copy),
              ElementsAre("'rank': the sharding has 1 dimensions, the tensor 2",
                          "'twice': axis 'dp' occurs twice in the sharding, once is legal",
                          "'again': axis 'tp' occurs twice in the sharding, once is legal",
                          "'unknown': axis 7 is not one of the mesh's 3"));
}

TEST(PropagationGraph, LinearityFromRules) {
  Node node;
  node.operands = {0, 1, 2};
  node.rule.linear = {0, 2};
  node.setFromRule();
  EXPECT_TRUE(node.isLinear(0) && !node.isLinear(1) && node.isLinear(2));
  EXPECT_EQ(node.getTerm(2), 0u);
  node.rule.linear = {};
  node.rule.linearity = ShardingRule::Linearity::together;
  node.setFromRule();
  EXPECT_FALSE(node.isLinear(0));
  EXPECT_THAT(node.terms, ElementsAre(0u, 1u, 2u));
}

TEST(PropagationGraph, SinksAreCheckedToo) {
  TestGraph graph(getMesh());
  graph.store("gradient", graph.openInput("x", {6}), "dp");
  const std::vector<ShardingError> errors = propagateShardings(graph.get()).errors;
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_TRUE(errors[0].isSink);
  EXPECT_EQ(errors[0].index, 0u);
}

} // namespace
} // namespace titan::sharding
