#include "runtime/collectives/MeshGroups.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

using namespace titan;
using testing::ElementsAre;
using testing::HasSubstr;

namespace {

const std::vector<format::Axis> kMesh{{"dp_replicate", 2}, {"dp_shard", 3}, {"tp", 2}};

TEST(MeshGroups, SizeIsTheProduct) {
  EXPECT_EQ(*meshSize(kMesh), 12);
  EXPECT_EQ(*meshSize({}), 1);
}

TEST(MeshGroups, RanksAreRowMajor) {
  EXPECT_THAT(*meshCoordinates(kMesh, 0), ElementsAre(0, 0, 0));
  EXPECT_THAT(*meshCoordinates(kMesh, 7), ElementsAre(1, 0, 1));
  EXPECT_THAT(*meshCoordinates(kMesh, 11), ElementsAre(1, 2, 1));
  EXPECT_THAT(*meshCoordinates({}, 0), ElementsAre());
  for (int rank = 0; rank < 12; ++rank)
    EXPECT_EQ(*meshRank(kMesh, *meshCoordinates(kMesh, rank)), rank);
}

TEST(MeshGroups, MembersStandInMeshOrder) {
  const auto members = [](std::vector<std::string> axes, int rank) {
    return meshGroup(kMesh, axes, rank)->ranks;
  };
  EXPECT_THAT(members({"tp"}, 7), ElementsAre(6, 7));
  EXPECT_THAT(members({"dp_shard"}, 7), ElementsAre(7, 9, 11));
  EXPECT_THAT(members({"dp_replicate"}, 7), ElementsAre(1, 7));
  EXPECT_THAT(members({"dp_replicate", "tp"}, 4), ElementsAre(4, 5, 10, 11));
  EXPECT_THAT(members({"tp", "dp_replicate"}, 4), ElementsAre(4, 5, 10, 11));
  EXPECT_THAT(members({}, 4), ElementsAre(4));
  EXPECT_THAT(members({"dp_replicate", "dp_shard", "tp"}, 4),
              ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
}

TEST(MeshGroups, EveryRankFindsItselfAndTheSameMembers) {
  for (const std::vector<std::string> &axes :
       {std::vector<std::string>{"tp"}, {"dp_shard"}, {"dp_shard", "tp"}, {"dp_replicate", "tp"}})
    for (int rank = 0; rank < 12; ++rank) {
      const MeshGroup group = *meshGroup(kMesh, axes, rank);
      EXPECT_EQ(group.ranks[size_t(group.index)], rank);
      for (int member : group.ranks)
        EXPECT_EQ(meshGroup(kMesh, axes, member)->ranks, group.ranks);
    }
}

TEST(MeshGroups, MasksTellSubsetsApart) {
  std::set<int> masks;
  for (const std::vector<std::string> &axes :
       {std::vector<std::string>{}, {"tp"}, {"dp_shard"}, {"dp_shard", "tp"}})
    masks.insert(*axesMask(kMesh, axes));
  EXPECT_THAT(masks, ElementsAre(0, 2, 4, 6));
}

TEST(MeshGroups, ErrorsNameTheRule) {
  const auto message = [](const auto &result) {
    EXPECT_EQ(result.status().code(), StatusCode::invalidArgument);
    return result.status().message();
  };
  using Axes = std::vector<format::Axis>;
  using Names = std::vector<std::string>;
  EXPECT_EQ(message(meshSize(Axes{{"tp", 0}})), "mesh axis 'tp' has size 0; it is at least 1");
  EXPECT_EQ(message(meshSize(Axes{{"tp", 1}, {"tp", 2}})), "the mesh has axis 'tp' twice");
  EXPECT_THAT(message(meshSize(Axes{{"a", 1 << 20}, {"b", 1 << 20}})), HasSubstr("2147483647"));
  EXPECT_EQ(message(meshCoordinates(kMesh, 12)), "rank 12 is not on the mesh of 12 ranks");
  EXPECT_EQ(message(meshCoordinates(kMesh, -1)), "rank -1 is not on the mesh of 12 ranks");
  EXPECT_EQ(message(meshRank(kMesh, std::vector<int64_t>{0, 3, 0})),
            "coordinate 3 of axis 'dp_shard' is outside [0, 3)");
  EXPECT_EQ(message(meshRank(kMesh, std::vector<int64_t>{0})),
            "a rank of this mesh has 3 coordinates, found 1");
  EXPECT_EQ(message(meshGroup(kMesh, Names{"pp"}, 0)),
            "the mesh has no axis 'pp', only dp_replicate, dp_shard, tp");
  EXPECT_EQ(message(meshGroup(kMesh, Names{"tp", "tp"}, 0)), "axis 'tp' is named twice");
  EXPECT_EQ(message(axesMask(kMesh, Names{"pp"})),
            "the mesh has no axis 'pp', only dp_replicate, dp_shard, tp");
  EXPECT_THAT(message(axesMask(Axes(11), {})), HasSubstr("at most 10"));
}

} // namespace
