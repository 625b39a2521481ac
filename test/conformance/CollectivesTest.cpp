// What every data plane must do: the collectives themselves.
#include "test/conformance/Cases.h"
#include "test/conformance/Harness.h"

#include <gtest/gtest.h>

#include <numeric>

using namespace titan;
using namespace titan::test;
using format::Collective;
using format::Reduction;

namespace {

constexpr int kMaxRanks = 9;

CommunicatorGroup firstRanks(int ranks) {
  CommunicatorGroup group{"all", std::vector<int>(size_t(ranks)), 1};
  std::iota(group.ranks.begin(), group.ranks.end(), 0);
  return group;
}

std::unique_ptr<Communicator> open(DataPlane &plane, const CommunicatorGroup &group,
                                   const CommunicatorOptions &options = {}) {
  auto communicator = plane.createCommunicator(group, options);
  EXPECT_TRUE(communicator.ok()) << communicator.status().message();
  return communicator.ok() ? *std::move(communicator) : nullptr;
}

/// Prepares, runs and checks one case on the rank.
void runCase(Communicator &communicator, const Case &given, uint64_t seed) {
  CaseMemory memory(given, communicator.size(), communicator.rank());
  auto id = communicator.prepare(memory.operation());
  ASSERT_TRUE(id.ok()) << id.status().message();
  memory.fill(seed);
  Status status = communicator.start(*id, memory.bases());
  ASSERT_TRUE(status.ok()) << status.message();
  status = communicator.await(*id);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(memory.check(seed), "");
}

/// One pair of every type that the collective takes, of about `count` elements each.
std::vector<CasePair> pairsOfAllTypes(bool reduced, int64_t count) {
  std::vector<CasePair> pairs;
  if (reduced)
    for (DType type : kReducedTypes)
      pairs.push_back({type, count + int64_t(pairs.size() % 2)});
  else
    for (DType type : kAllTypes)
      pairs.push_back({type, count + int64_t(pairs.size() % 3)});
  return pairs;
}

/// In place and not, bound to a slot and not.
std::vector<Case> variants(const Case &given) {
  std::vector<Case> all;
  for (bool inPlace : {false, true})
    for (bool bound : {false, true}) {
      if (inPlace && !canBeInPlace(given.collective))
        continue;
      all.push_back(given);
      all.back().inPlace = inPlace;
      all.back().bound = bound;
    }
  return all;
}

/// The collective with every root or reduction it has.
std::vector<Case> kinds(Collective collective, int ranks) {
  if (collective == Collective::allReduce || collective == Collective::reduceScatter)
    return {{collective, Reduction::sum}, {collective, Reduction::max}};
  if (collective == Collective::broadcast && ranks > 1)
    return {{collective, Reduction::none, 0}, {collective, Reduction::none, ranks - 1}};
  if (collective == Collective::broadcast)
    return {{collective, Reduction::none, 0}};
  return {{collective}};
}

class Collectives : public testing::TestWithParam<Collective> {};

TEST_P(Collectives, MoveEveryTypeOnOneToNineRanks) {
  auto harness = createHarness();
  for (int ranks = 1; ranks <= kMaxRanks; ++ranks)
    harness->run(ranks, [&](DataPlane &plane) {
      auto communicator = open(plane, firstRanks(ranks));
      uint64_t seed = 1;
      for (Case kind : kinds(GetParam(), ranks))
        for (int64_t count : {0, 1, 37}) {
          kind.pairs = pairsOfAllTypes(kind.hasReduction(), count);
          for (const Case &variant : variants(kind))
            runCase(*communicator, variant, seed++);
        }
    });
}

TEST_P(Collectives, MoveOnePairOfEachType) {
  createHarness()->run(3, [&](DataPlane &plane) {
    auto communicator = open(plane, firstRanks(3));
    for (Case kind : kinds(GetParam(), 3))
      for (const CasePair &pair : pairsOfAllTypes(kind.hasReduction(), 5)) {
        kind.pairs = {pair};
        runCase(*communicator, kind, 7);
      }
    Case empty = kinds(GetParam(), 3)[0];
    runCase(*communicator, empty, 7);
  });
}

TEST_P(Collectives, MoveMuch) {
  auto harness = createHarness();
  for (int ranks : {2, 3})
    harness->run(ranks, [&](DataPlane &plane) {
      auto communicator = open(plane, firstRanks(ranks));
      Case kind = kinds(GetParam(), ranks)[0];
      kind.pairs = {{DType::f32, 60'003}, {DType::bf16, 1}, {DType::f16, 40'001}};
      for (const Case &variant : variants(kind))
        runCase(*communicator, variant, 3);
    });
}

constexpr Collective kOfWholeGroups[] = {Collective::allGather, Collective::reduceScatter,
                                         Collective::allReduce, Collective::allToAll,
                                         Collective::broadcast};

INSTANTIATE_TEST_SUITE_P(All, Collectives, testing::ValuesIn(kOfWholeGroups),
                         [](const testing::TestParamInfo<Collective> &info) {
                           return std::string(toString(info.param));
                         });

/// Every rank sends to `to` and receives from `from` at the same time.
void exchange(Communicator &communicator, int to, int from, Case given, uint64_t seed) {
  given.collective = Collective::send;
  given.peer = to;
  CaseMemory sent(given, communicator.size(), communicator.rank());
  given.collective = Collective::receive;
  given.peer = from;
  CaseMemory received(given, communicator.size(), communicator.rank());
  auto send = communicator.prepare(sent.operation());
  auto receive = communicator.prepare(received.operation());
  ASSERT_TRUE(send.ok() && receive.ok());
  sent.fill(seed);
  received.fill(seed);
  ASSERT_TRUE(communicator.start(*send, sent.bases()).ok());
  ASSERT_TRUE(communicator.start(*receive, received.bases()).ok());
  Status status = communicator.await(*receive);
  EXPECT_TRUE(status.ok()) << status.message();
  status = communicator.await(*send);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(received.check(seed), "");
  EXPECT_EQ(sent.check(seed), "");
}

//===----------------------------------------------------------------------===//
// More elements than an int counts: gigabytes, so by hand (docs/launching.md)
//===----------------------------------------------------------------------===//

constexpr int64_t kHuge = (int64_t(1) << 31) + 5;

/// Element i of a rank's source; a period that no power of two divides, so that parts cannot be
/// exchanged unnoticed.
uint8_t hugeValue(int rank, int64_t i) { return static_cast<uint8_t>((i % 61 + 7 * rank) % 64); }

void runPrepared(Communicator &communicator, const CollectiveOperation &operation) {
  auto id = communicator.prepare(operation);
  ASSERT_TRUE(id.ok()) << id.status().message();
  ASSERT_TRUE(communicator.start(*id).ok());
  const Status status = communicator.await(*id);
  ASSERT_TRUE(status.ok()) << status.message();
}

template <typename T> BufferAddress addressOf(std::vector<T> &memory, int64_t element = 0) {
  return BufferAddress::fixed(reinterpret_cast<std::byte *>(memory.data() + element));
}

TEST(Huge, DISABLED_AllReduce) {
  createHarness()->run(2, [&](DataPlane &plane) {
    auto communicator = open(plane, firstRanks(2));
    std::vector<uint16_t> sum(kHuge);
    for (int64_t i = 0; i < kHuge; ++i)
      sum[size_t(i)] = toBFloat16(hugeValue(plane.rank(), i)); // and sums are exact
    runPrepared(*communicator, {Collective::allReduce,
                                Reduction::sum,
                                -1,
                                {{DType::bf16, addressOf(sum), addressOf(sum), kHuge, kHuge}}});
    int64_t wrong = 0;
    for (int64_t i = 0; i < kHuge; ++i)
      wrong += sum[size_t(i)] != toBFloat16(float(hugeValue(0, i) + hugeValue(1, i)));
    EXPECT_EQ(wrong, 0);
  });
}

TEST(Huge, DISABLED_AllGather) {
  createHarness()->run(2, [&](DataPlane &plane) {
    auto communicator = open(plane, firstRanks(2));
    constexpr int64_t part = kHuge / 2 + 1;
    std::vector<uint8_t> all(2 * part);
    const int64_t own = plane.rank() * part;
    for (int64_t i = 0; i < part; ++i)
      all[size_t(own + i)] = hugeValue(plane.rank(), i);
    runPrepared(*communicator,
                {Collective::allGather,
                 Reduction::none,
                 -1,
                 {{DType::u8, addressOf(all, own), addressOf(all), part, 2 * part}}});
    int64_t wrong = 0;
    for (int64_t i = 0; i < 2 * part; ++i)
      wrong += all[size_t(i)] != hugeValue(int(i / part), i % part);
    EXPECT_EQ(wrong, 0);
  });
}

TEST(Huge, DISABLED_SendAndReceive) {
  createHarness()->run(2, [&](DataPlane &plane) {
    auto communicator = open(plane, firstRanks(2));
    std::vector<uint8_t> memory(kHuge);
    const bool sends = plane.rank() == 0;
    for (int64_t i = 0; sends && i < kHuge; ++i)
      memory[size_t(i)] = hugeValue(1, i);
    runPrepared(*communicator, {sends ? Collective::send : Collective::receive,
                                Reduction::none,
                                sends ? 1 : 0,
                                {{DType::u8, addressOf(memory), addressOf(memory),
                                  sends ? kHuge : 0, sends ? 0 : kHuge}}});
    int64_t wrong = 0;
    for (int64_t i = 0; i < kHuge; ++i)
      wrong += memory[size_t(i)] != hugeValue(1, i);
    EXPECT_EQ(wrong, 0);
  });
}

TEST(PointToPoint, SendsEveryTypeAroundTheRing) {
  auto harness = createHarness();
  for (int ranks = 2; ranks <= kMaxRanks; ++ranks)
    harness->run(ranks, [&](DataPlane &plane) {
      auto communicator = open(plane, firstRanks(ranks));
      const int rank = communicator->rank();
      uint64_t seed = 1;
      for (int distance : {1, ranks - 1})
        for (int64_t count : {0, 1, 37})
          for (bool bound : {false, true}) {
            Case given{Collective::send};
            given.bound = bound;
            given.pairs = pairsOfAllTypes(false, count);
            exchange(*communicator, (rank + distance) % ranks, (rank + ranks - distance) % ranks,
                     given, seed++);
          }
    });
}

TEST(PointToPoint, SendsMuch) {
  createHarness()->run(3, [&](DataPlane &plane) {
    auto communicator = open(plane, firstRanks(3));
    Case given{Collective::send};
    given.pairs = {{DType::f32, 300'003}, {DType::i8, 1}, {DType::f64, 50'001}};
    exchange(*communicator, (communicator->rank() + 1) % 3, (communicator->rank() + 2) % 3, given,
             5);
  });
}

TEST(PointToPoint, MatchesInOrderPerPairAndIgnoresOtherTraffic) {
  constexpr int kMessages = 5;
  createHarness()->run(3, [&](DataPlane &plane) {
    auto communicator = open(plane, firstRanks(3));
    const int rank = communicator->rank();
    std::vector<std::unique_ptr<CaseMemory>> memories;
    std::vector<OperationId> ids;
    auto add = [&](Case given) {
      memories.push_back(std::make_unique<CaseMemory>(given, 3, rank));
      auto id = communicator->prepare(memories.back()->operation());
      ASSERT_TRUE(id.ok()) << id.status().message();
      ids.push_back(*id);
    };
    // Rank 1 takes no part in what 0 sends to 2; the all_reduces between are of all three.
    for (int i = 0; i < kMessages; ++i) {
      if (rank == 0)
        add({Collective::send, Reduction::none, 2, false, false, {{DType::i32, 10}}});
      if (rank == 2)
        add({Collective::receive, Reduction::none, 0, false, false, {{DType::i32, 10}}});
      add({Collective::allReduce, Reduction::sum, -1, false, false, {{DType::f32, 3}}});
    }
    for (size_t i = 0; i < ids.size(); ++i) {
      const uint64_t message = rank == 1 ? i : i / 2;
      memories[i]->fill(message);
      ASSERT_TRUE(communicator->start(ids[i]).ok());
      EXPECT_EQ(communicator->sequence(ids[i]), message + 1);
    }
    for (size_t i = ids.size(); i-- > 0;) {
      const Status status = communicator->await(ids[i]);
      ASSERT_TRUE(status.ok()) << status.message();
      EXPECT_EQ(memories[i]->check(rank == 1 ? i : i / 2), "");
    }
  });
}

/// Every collective, several pairs at a time, and messages around the ring. `seed` differs between
/// groups, so that data of another group is wrong.
void runEverything(Communicator &communicator, uint64_t seed) {
  const int ranks = communicator.size(), rank = communicator.rank();
  bool alternate = false;
  for (Collective collective : kOfWholeGroups)
    for (Case kind : kinds(collective, ranks)) {
      alternate = !alternate;
      kind.inPlace = alternate && canBeInPlace(collective);
      kind.bound = !alternate;
      kind.pairs = {{DType::f32, 11}, {DType::bf16, 3}, {DType::i64, 1}};
      runCase(communicator, kind, seed++);
    }
  if (ranks == 1)
    return;
  Case message{Collective::send};
  message.pairs = {{DType::f32, 7}, {DType::i8, 13}};
  exchange(communicator, (rank + 1) % ranks, (rank + ranks - 1) % ranks, message, seed);
}

/// The groups of all sets of axes of a mesh, all groups of a set at once.
void checkSubGroups(const std::vector<format::Axis> &mesh) {
  auto size = meshSize(mesh);
  ASSERT_TRUE(size.ok());
  createHarness()->run(*size, [&](DataPlane &plane) {
    std::vector<std::unique_ptr<Communicator>> communicators;
    std::vector<uint64_t> seeds;
    for (int mask = 0; mask < 1 << mesh.size(); ++mask) {
      std::vector<std::string> axes;
      for (size_t i = 0; i < mesh.size(); ++i)
        if (mask >> i & 1)
          axes.push_back(mesh[i].name);
      auto group = meshGroup(mesh, axes, plane.rank());
      auto id = axesMask(mesh, axes);
      ASSERT_TRUE(group.ok() && id.ok());
      communicators.push_back(open(plane, {"axes", group->ranks, *id}));
      ASSERT_TRUE(communicators.back());
      EXPECT_EQ(communicators.back()->rank(), group->index);
      seeds.push_back(static_cast<uint64_t>(100 * group->ranks.front()));
    }
    for (size_t i = 0; i < communicators.size(); ++i)
      runEverything(*communicators[i], seeds[i]);
  });
}

TEST(SubGroups, OfEveryAxisOfAMesh) {
  checkSubGroups({{"dp_replicate", 2}, {"dp_shard", 2}, {"tp", 2}});
  checkSubGroups({{"dp_shard", 3}, {"tp", 3}});
  checkSubGroups({{"pp", 2}, {"dp_shard", 2}, {"cp", 1}, {"tp", 2}});
}

TEST(InFlight, ManyOperationsAwaitedInAnyOrder) {
  constexpr int kOperations = 6;
  createHarness()->run(4, [&](DataPlane &plane) {
    auto communicator = open(plane, firstRanks(4));
    const Case given{Collective::allReduce, Reduction::sum, -1, false, false, {{DType::f32, 1000}}};
    std::vector<std::unique_ptr<CaseMemory>> memories;
    std::vector<OperationId> ids;
    for (int i = 0; i < kOperations; ++i) {
      memories.push_back(std::make_unique<CaseMemory>(given, 4, communicator->rank()));
      auto id = communicator->prepare(memories.back()->operation());
      ASSERT_TRUE(id.ok());
      ids.push_back(*id);
    }
    for (int round = 0; round < 3; ++round) {
      for (int i = 0; i < kOperations; ++i) {
        memories[size_t(i)]->fill(uint64_t(i));
        ASSERT_TRUE(communicator->start(ids[size_t(i)]).ok());
      }
      // Each rank in an order of its own.
      for (int i = 0; i < kOperations; ++i) {
        const size_t which = size_t((i * 5 + communicator->rank()) % kOperations);
        const Status status = communicator->await(ids[which]);
        ASSERT_TRUE(status.ok()) << status.message();
        EXPECT_EQ(memories[which]->check(which), "");
      }
    }
  });
}

TEST(InFlight, CommunicatorsDoNotWaitForEachOther) {
  createHarness()->run(2, [&](DataPlane &plane) {
    CommunicatorGroup group = firstRanks(2);
    auto first = open(plane, group);
    group.id = 2;
    auto second = open(plane, group);
    const Case given{Collective::allReduce, Reduction::sum, -1, true, false, {{DType::f32, 100}}};
    CaseMemory a(given, 2, first->rank()), b(given, 2, second->rank());
    auto idA = first->prepare(a.operation()), idB = second->prepare(b.operation());
    ASSERT_TRUE(idA.ok() && idB.ok());
    a.fill(1);
    b.fill(2);
    ASSERT_TRUE(first->start(*idA).ok());
    ASSERT_TRUE(second->start(*idB).ok());
    if (plane.rank() == 0) {
      EXPECT_TRUE(first->await(*idA).ok());
      EXPECT_TRUE(second->await(*idB).ok());
    } else {
      EXPECT_TRUE(second->await(*idB).ok());
      EXPECT_TRUE(first->await(*idA).ok());
    }
    EXPECT_EQ(a.check(1), "");
    EXPECT_EQ(b.check(2), "");
  });
}

TEST(InFlight, AnOperationRunsManyTimes) {
  CommunicatorOptions options;
  options.maxInFlight = 2;
  createHarness()->run(3, [&](DataPlane &plane) {
    auto communicator = open(plane, firstRanks(3), options);
    const Case given{Collective::allReduce, Reduction::sum, -1, true, true, {{DType::f32, 10}}};
    CaseMemory even(given, 3, communicator->rank()), odd(given, 3, communicator->rank());
    auto id = communicator->prepare(even.operation());
    ASSERT_TRUE(id.ok());
    for (uint64_t i = 0; i < 20; ++i) {
      CaseMemory &memory = i % 2 ? odd : even; // the same operation, bound to one slot or the other
      memory.fill(i);
      ASSERT_TRUE(communicator->start(*id, memory.bases()).ok());
      const Status status = communicator->await(*id);
      ASSERT_TRUE(status.ok()) << status.message();
      EXPECT_EQ(memory.check(i), "");
      EXPECT_EQ(communicator->sequence(*id), i + 1);
    }
  });
}

} // namespace
