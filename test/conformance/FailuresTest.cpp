// What every data plane must do when something goes wrong.
#include "test/conformance/Cases.h"
#include "test/conformance/Harness.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

using namespace titan;
using namespace titan::test;
using format::Collective;
using format::Reduction;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

namespace {

const Case kReduce{Collective::allReduce, Reduction::sum, -1, true, false, {{DType::f32, 100}}};

CommunicatorGroup firstRanks(int ranks, int id) {
  CommunicatorGroup group{"dp_shard", std::vector<int>(size_t(ranks)), id};
  std::iota(group.ranks.begin(), group.ranks.end(), 0);
  return group;
}

/// All ranks but the last start; when all have, each awaits, and its failure goes to `check`. The
/// last goes when the others are done.
void lastNeverArrives(const CommunicatorOptions &options, int id,
                      FunctionRef<void(Communicator &)> meanwhile,
                      FunctionRef<void(const Status &, int rank)> check) {
  constexpr int kRanks = 3;
  const std::unique_ptr<Harness> harness = createHarness();
  harness->run(kRanks, [&](DataPlane &plane) {
    auto communicator = plane.createCommunicator(firstRanks(kRanks, id), options);
    ASSERT_TRUE(communicator.ok());
    CaseMemory memory(kReduce, kRanks, plane.rank());
    auto operation = (*communicator)->prepare(memory.operation());
    ASSERT_TRUE(operation.ok());
    memory.fill(1);
    if (plane.rank() == kRanks - 1) {
      harness->meet();
      meanwhile(**communicator);
      return harness->meet();
    }
    EXPECT_TRUE((*communicator)->start(*operation).ok());
    harness->meet();
    std::thread other([&] { meanwhile(**communicator); });
    const Status status = (*communicator)->await(*operation);
    other.join();
    harness->meet();
    EXPECT_FALSE(status.ok());
    check(status, plane.rank());
    // It is over for good, and says so to all who ask.
    EXPECT_EQ((*communicator)->poll().code(), status.code());
    EXPECT_EQ((*communicator)->start(*operation).code(), status.code());
  });
}

TEST(Failures, ATimeoutNamesWhoDidNotCome) {
  CommunicatorOptions options;
  options.timeout = std::chrono::milliseconds(100);
  lastNeverArrives(
      options, 700, [](Communicator &) {},
      [](const Status &status, int rank) {
        EXPECT_EQ(status.code(), StatusCode::deadlineExceeded);
        EXPECT_THAT(status.message(),
                    AllOf(HasSubstr("rank " + std::to_string(rank) +
                                    ", all_reduce over dp_shard of ranks 0, 1 and 2, sequence "
                                    "number 1: "),
                          HasSubstr("waited 100 ms for "), HasSubstr("rank 2")));
        EXPECT_THAT(status.message(), Not(HasSubstr("for rank 0")));
      });
}

TEST(Failures, AbortWakesWhoWaits) {
  lastNeverArrives(
      {}, 701,
      [](Communicator &communicator) {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        communicator.abort("the job was stopped");
      },
      [](const Status &status, int rank) {
        EXPECT_EQ(status.code(), StatusCode::unavailable);
        EXPECT_THAT(status.message(),
                    AllOf(HasSubstr("rank " + std::to_string(rank) + ", all_reduce over dp_shard"),
                          HasSubstr("sequence number 1"), HasSubstr("the job was stopped")));
        if (createHarness()->knowsWhoIsAwaited())
          EXPECT_THAT(status.message(), AllOf(HasSubstr("waiting for "), HasSubstr("2)")));
      });
}

// What hangs in one group does not keep another from its end.
TEST(Failures, ATimeoutEndsAllGroups) {
  const std::unique_ptr<Harness> harness = createHarness();
  harness->run(2, [&](DataPlane &plane) {
    CommunicatorOptions options;
    options.timeout = std::chrono::milliseconds(100);
    std::vector<CaseMemory> memories;
    std::vector<std::unique_ptr<Communicator>> groups;
    std::vector<OperationId> operations;
    for (const int id : {705, 706}) {
      auto communicator = plane.createCommunicator(firstRanks(2, id), options);
      ASSERT_TRUE(communicator.ok());
      memories.emplace_back(kReduce, 2, plane.rank());
      memories.back().fill(1);
      auto operation = (*communicator)->prepare(memories.back().operation());
      ASSERT_TRUE(operation.ok());
      operations.push_back(*operation);
      groups.push_back(*std::move(communicator));
    }
    if (plane.rank() == 0) {
      for (size_t i = 0; i < groups.size(); ++i)
        EXPECT_TRUE(groups[i]->start(operations[i]).ok());
      for (size_t i = 0; i < groups.size(); ++i)
        EXPECT_EQ(groups[i]->await(operations[i]).code(), StatusCode::deadlineExceeded);
    }
    harness->meet();
    groups[0]->abort("the test is over"); // so that no end waits for the other rank's
  });
}

TEST(Failures, WrongOperationsAreRefused) {
  createHarness()->run(2, [&](DataPlane &plane) {
    auto communicator = plane.createCommunicator(firstRanks(2, 702), {});
    ASSERT_TRUE(communicator.ok());
    std::byte data[64];
    const BufferAddress here = BufferAddress::fixed(data);
    auto refused = [&](const CollectiveOperation &operation, const char *rule) {
      const auto id = (*communicator)->prepare(operation);
      EXPECT_EQ(id.status().code(), StatusCode::invalidArgument);
      EXPECT_THAT(id.status().message(), HasSubstr(rule));
    };
    refused({Collective::allGather, Reduction::none, -1, {{DType::f32, here, here, 2, 3}}},
            "pair 0: the destination holds 2 times the source, found 2 and 3 elements");
    refused({Collective::reduceScatter, Reduction::sum, -1, {{DType::f32, here, here, 3, 2}}},
            "the source holds 2 times the destination");
    refused({Collective::allToAll, Reduction::none, -1, {{DType::f32, here, here, 3, 3}}},
            "source and destination hold the same multiple of 2");
    refused({Collective::allReduce, Reduction::sum, -1, {{DType::f32, here, here, 3, 4}}},
            "source and destination hold the same");
    refused({Collective::allReduce, Reduction::none, -1, {}}, "all_reduce: needs a reduction");
    refused({Collective::allGather, Reduction::sum, -1, {}}, "has no reduction, found sum");
    refused({Collective::allReduce, Reduction::sum, -1, {{DType::i8, here, here, 4, 4}}},
            "pair 0 has type i8, which cannot be reduced; f32, f64, bf16, f16, i32 and i64 can");
    refused({Collective::allReduce, Reduction::sum, 1, {}}, "has no peer, found 1");
    refused({Collective::broadcast, Reduction::none, 2, {}}, "peer is in [0, 2), found 2");
    refused({Collective::send, Reduction::none, plane.rank(), {}}, "is the rank itself");
    refused({Collective::send, Reduction::none, 1 - plane.rank(), {{DType::f32, here, here, 1, 1}}},
            "a send has no destination");
    refused({Collective::allReduce, Reduction::sum, -1, {{DType::f32, {}, here, 1, 1}}},
            "source has no address");
    refused({Collective::allReduce, Reduction::sum, -1, {{DType::f32, here, here, -1, -1}}},
            "a count is not negative");
    refused({Collective::allReduce,
             Reduction::sum,
             -1,
             {{DType::f32, here, here, int64_t(1) << 62, int64_t(1) << 62}}},
            "its bytes are below 2^63");
  });
}

TEST(Failures, WrongUseIsRefusedAndHarmsNothing) {
  CommunicatorOptions options;
  options.maxInFlight = 1;
  createHarness()->run(2, [&](DataPlane &plane) {
    auto opened = plane.createCommunicator(firstRanks(2, 703), options);
    ASSERT_TRUE(opened.ok());
    Communicator &communicator = **opened;
    Case bound = kReduce;
    bound.bound = true;
    CaseMemory memory(bound, 2, plane.rank()), other(kReduce, 2, plane.rank());
    auto id = communicator.prepare(memory.operation()),
         second = communicator.prepare(other.operation());
    ASSERT_TRUE(id.ok() && second.ok());
    memory.fill(1);
    other.fill(2);
    auto refused = [&](const Status &status, const char *rule) {
      EXPECT_EQ(status.code(), StatusCode::invalidArgument);
      EXPECT_THAT(status.message(), HasSubstr(rule));
    };
    refused(communicator.start(5), "operation 5 was never prepared; there are 2");
    refused(communicator.await(-1), "operation -1 was never prepared");
    refused(communicator.await(*id), "operation 0 (all_reduce) is not in flight");
    refused(communicator.start(*id), "refers to 1 bases, found 0");
    ASSERT_TRUE(communicator.start(*id, memory.bases()).ok());
    refused(communicator.start(*id, memory.bases()), "is in flight already");
    refused(communicator.start(*second), "at most 1 operations are in flight");
    EXPECT_TRUE(communicator.await(*id).ok());
    EXPECT_EQ(memory.check(1), "");
    EXPECT_TRUE(communicator.start(*second).ok());
    EXPECT_TRUE(communicator.await(*second).ok());
    EXPECT_EQ(other.check(2), "");
  });
}

TEST(Failures, WrongGroupsAreRefused) {
  createHarness()->run(2, [&](DataPlane &plane) {
    auto refused = [&](const CommunicatorGroup &group, const CommunicatorOptions &options,
                       const char *rule) {
      const auto opened = plane.createCommunicator(group, options);
      EXPECT_EQ(opened.status().code(), StatusCode::invalidArgument);
      EXPECT_THAT(opened.status().message(), HasSubstr(rule));
    };
    const int rank = plane.rank();
    refused({"tp", {1 - rank}, 1}, {}, "group 'tp': rank");
    refused({"tp", {rank, 99}, 1}, {}, "there is no rank 99");
    refused({"tp", {rank, rank}, 1}, {}, "is named twice");
    refused({"tp", {0, 1}, 1024}, {}, "the id is from 0 to 1023, found 1024");
    CommunicatorOptions none;
    none.maxInFlight = 0;
    refused({"tp", {0, 1}, 1}, none, "at least 1 operation is in flight, found 0");
    auto first = plane.createCommunicator({"tp", {rank}, 1}, {});
    ASSERT_TRUE(first.ok());
    refused({"dp", {rank}, 1}, {}, "has a communicator with id 1 already");
    *first = nullptr;
    EXPECT_TRUE(plane.createCommunicator({"dp", {rank}, 1}, {}).ok());
  });
}

} // namespace
