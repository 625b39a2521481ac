// Starting and awaiting allocates nothing, with recorder and injector in front.
#include "runtime/collectives/InstrumentedPlane.h"
#include "runtime/collectives/local/LocalPlane.h"
#include "test/unit/exec/AllocationCounter.h"

#include <gtest/gtest.h>

#include <barrier>
#include <thread>
#include <vector>

using namespace titan;
using format::Collective;
using format::Reduction;

namespace {

TEST(Allocation, NoneInStartAndAwait) {
  constexpr int kRanks = 3;
  auto planes = local::createLocalPlanes(kRanks);
  std::barrier barrier(kRanks);
  std::vector<int64_t> allocations(kRanks, -1);
  auto rankMain = [&](int rank) {
    FlightRecorder recorder(rank);
    FaultInjector injector(rank, std::nullopt, FaultInjector::Kill::thread);
    const auto plane = instrument(std::move(planes[size_t(rank)]), recorder, injector);
    const auto communicator = *plane->createCommunicator({"tp", {0, 1, 2}, 1}, {});
    std::vector<float> values(50'000, 1), all(3 * 1000);
    std::byte *base = reinterpret_cast<std::byte *>(values.data());
    const BufferAddress here = BufferAddress::relative(0, 0);
    const BufferAddress there = BufferAddress::fixed(reinterpret_cast<std::byte *>(all.data()));
    const OperationId reduced = *communicator->prepare(
        {Collective::allReduce, Reduction::sum, -1, {{DType::f32, here, here, 50'000, 50'000}}});
    const OperationId gathered = *communicator->prepare(
        {Collective::allGather, Reduction::none, -1, {{DType::f32, here, there, 1000, 3000}}});
    barrier.arrive_and_wait();
    const int64_t before = allocationCount();
    bool good = true;
    for (int i = 0; i < 20; ++i) {
      good = good && communicator->start(gathered, {&base, 1}).ok();
      good = good && communicator->await(gathered).ok();
      good = good && communicator->start(reduced, {&base, 1}).ok();
      good = good && communicator->await(reduced).ok();
    }
    allocations[size_t(rank)] = allocationCount() - before;
    barrier.arrive_and_wait();
    EXPECT_TRUE(good);
  };
  std::vector<std::thread> threads;
  for (int rank = 0; rank < kRanks; ++rank)
    threads.emplace_back(rankMain, rank);
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(allocations, std::vector<int64_t>(kRanks, 0));
}

} // namespace
