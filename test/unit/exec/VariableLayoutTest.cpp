#include "runtime/exec/VariableLayout.h"

#include <gmock/gmock.h>

using namespace titan;
using testing::ElementsAre;

namespace {

using Piece = std::tuple<int64_t, int64_t, int64_t>;

const std::vector<format::Axis> kMesh = {{"dp_shard", 2}, {"tp", 2}};

/// A variable of which a rank holds `local`.
format::Variable variable(std::initializer_list<int64_t> local, format::Sharding sharding) {
  format::Variable result{
      "w", format::denseView(DType::f32, local), format::Role::parameter, {}, {}};
  result.sharding = std::move(sharding);
  return result;
}

std::vector<Piece> runsOf(const format::Variable &variable, int rank) {
  std::vector<Piece> runs;
  VariableLayout(variable, kMesh, rank)
      .forEachRun([&](int64_t local, int64_t global, int64_t count) {
        runs.emplace_back(local, global, count);
      });
  return runs;
}

TEST(VariableLayout, ColumnsAreOneRunPerRow) {
  const auto w = variable({4, 3}, {{4, 6}, {{}, {"tp"}}, {}, {}});
  EXPECT_THAT(runsOf(w, 1),
              ElementsAre(Piece{0, 3, 3}, Piece{3, 9, 3}, Piece{6, 15, 3}, Piece{9, 21, 3}));
  EXPECT_TRUE(VariableLayout(w, kMesh, 1).isFirstHolder());
  EXPECT_FALSE(VariableLayout(w, kMesh, 3).isFirstHolder());
}

TEST(VariableLayout, SlicesLeavePaddingOut) {
  // 3 x 3 in two slices of 8 elements.
  const auto w = variable({8}, {{3, 3}, {{}, {}}, {}, {"dp_shard"}, 8});
  EXPECT_THAT(runsOf(w, 0), ElementsAre(Piece{0, 0, 8}));
  EXPECT_THAT(runsOf(w, 2), ElementsAre(Piece{0, 8, 1}));
}

TEST(VariableLayout, RowsOfPaddingBelongToNobody) {
  // 5 rows of 3 and one of padding, of which each tp rank has three.
  const auto w = variable({3, 3}, {{6, 3}, {{"tp"}, {}}, {}, {}, 1, 1});
  EXPECT_THAT(runsOf(w, 0), ElementsAre(Piece{0, 0, 9}));
  EXPECT_THAT(runsOf(w, 1), ElementsAre(Piece{0, 9, 6}));
  const format::View global = VariableLayout(w, kMesh, 1).global();
  EXPECT_EQ(global.numElements(), 15);
  EXPECT_EQ(global.shape[0], 5);
}

TEST(VariableLayout, ARankMayHoldPaddingAlone) {
  // One row and three of padding; a part of two rows is in two slices of 4 elements.
  const auto w = variable({4}, {{4, 3}, {{"tp"}, {}}, {}, {"dp_shard"}, 4, 3});
  EXPECT_THAT(runsOf(w, 0), ElementsAre(Piece{0, 0, 3}));
  EXPECT_THAT(runsOf(w, 1), ElementsAre());
  EXPECT_THAT(runsOf(w, 2), ElementsAre());
}

} // namespace
