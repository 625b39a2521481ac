// Messages are planned on each rank alone: both ends must come to the same.
#include "runtime/collectives/mpi/MessagePlan.h"

#include "runtime/collectives/mpi/MpiPlane.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <tuple>

using namespace titan;
using namespace titan::mpi;
using format::Collective;
using format::Reduction;
using testing::HasSubstr;

namespace {

CollectiveOperation operationOf(Collective collective, int size, int64_t count) {
  const BufferAddress here = BufferAddress::relative(0, 0);
  const bool reduces =
      collective == Collective::allReduce || collective == Collective::reduceScatter;
  const bool manyFrom =
      collective == Collective::reduceScatter || collective == Collective::allToAll;
  const bool manyTo = collective == Collective::allGather || collective == Collective::allToAll;
  return {collective,
          reduces ? Reduction::sum : Reduction::none,
          collective == Collective::broadcast ? 0 : -1,
          {{DType::f32, here, here, count * (manyFrom ? size : 1), count * (manyTo ? size : 1)}}};
}

TEST(MessagePlan, BothEndsAgreeOnEveryMessage) {
  for (Collective collective : {Collective::allGather, Collective::reduceScatter,
                                Collective::allReduce, Collective::allToAll, Collective::broadcast})
    for (int size : {1, 2, 3, 8})
      for (int64_t count : {0, 1, 17, 1000}) {
        using Ends = std::pair<std::vector<int64_t>, std::vector<int64_t>>;
        std::map<std::tuple<size_t, int, int>, Ends> sizes; // phase, from, to: sent, received
        for (int rank = 0; rank < size; ++rank) {
          const MessagePlan plan =
              planMessages(operationOf(collective, size, count), size, rank, 256);
          for (size_t phase = 0; phase < plan.phases.size(); ++phase)
            for (const Message &message : plan.phases[phase].messages) {
              EXPECT_GT(message.bytes, 0);
              EXPECT_LE(message.bytes, 256);
              if (message.isSend)
                sizes[{phase, rank, message.peer}].first.push_back(message.bytes);
              else
                sizes[{phase, message.peer, rank}].second.push_back(message.bytes);
            }
        }
        for (const auto &[key, ends] : sizes)
          EXPECT_EQ(ends.first, ends.second);
      }
}

TEST(MessagePlan, CutsCountsAboveTwoToThe31) {
  const int64_t count = (int64_t{1} << 31) + 5, limit = int64_t{1} << 30;
  CollectiveOperation operation = operationOf(Collective::send, 2, count);
  operation.peer = 1;
  operation.pairs[0].destinationCount = 0;
  const MessagePlan plan = planMessages(operation, 2, 0, limit);
  int64_t expected = 0;
  for (const Message &message : plan.phases[0].messages) {
    EXPECT_EQ(message.offset, expected);
    expected += message.bytes;
  }
  EXPECT_EQ(expected, 4 * count);
  EXPECT_EQ(plan.phases[0].messages.size(), 9u);
}

TEST(MessagePlan, ReducesInPartsThatCoverTheWhole) {
  for (int size : {1, 2, 3, 7})
    for (int64_t count : {0, 1, 5, 100, 1001}) {
      int64_t next = 0;
      for (int rank = 0; rank < size; ++rank) {
        const MessagePlan plan =
            planMessages(operationOf(Collective::allReduce, size, count), size, rank, 1 << 20);
        for (const LocalReduction &part : plan.phases[0].reductions) {
          EXPECT_EQ(part.destinationOffset, next);
          EXPECT_EQ(part.sourceOffset, next);
          next += 4 * part.count;
        }
      }
      EXPECT_EQ(next, 4 * count);
    }
}

TEST(MpiPlane, AMissingPluginIsNamedWithWhatToInstall) {
  MpiOptions options;
  options.library = "/nowhere/libtitan_mpi.so";
  const auto plane = openMpiPlane(options);
  EXPECT_EQ(plane.status().code(), StatusCode::unavailable);
  EXPECT_THAT(plane.status().message(), HasSubstr("/nowhere/libtitan_mpi.so"));
  EXPECT_THAT(plane.status().message(), HasSubstr("libopenmpi-dev and openmpi-bin"));
}

} // namespace
