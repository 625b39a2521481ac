// What ranks in one process add to the conformance suite.
#include "runtime/collectives/local/LocalPlane.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace titan;
using format::Collective;
using format::Reduction;
using testing::AllOf;
using testing::HasSubstr;

namespace {

void runRanks(int ranks, FunctionRef<void(DataPlane &)> body) {
  const auto planes = local::createLocalPlanes(ranks);
  std::vector<std::thread> threads;
  for (const auto &plane : planes)
    threads.emplace_back([&] { body(*plane); });
  for (std::thread &thread : threads)
    thread.join();
}

BufferAddress at(std::vector<float> &values) {
  return BufferAddress::fixed(reinterpret_cast<std::byte *>(values.data()));
}

CollectiveOperation sumInPlace(std::vector<float> &values) {
  const int64_t count = int64_t(values.size());
  return {Collective::allReduce,
          Reduction::sum,
          -1,
          {{DType::f32, at(values), at(values), count, count}}};
}

CommunicatorOptions shortTimeout() {
  CommunicatorOptions options;
  options.timeout = std::chrono::milliseconds(100);
  return options;
}

TEST(LocalPlane, Describes) {
  EXPECT_EQ(local::createLocalPlanes(1)[0]->describe(), "local, 1 rank");
  const auto planes = local::createLocalPlanes(3);
  EXPECT_EQ(planes[2]->describe(), "local, 3 ranks");
  EXPECT_EQ(planes[2]->rank(), 2);
  const auto group = planes[0]->createCommunicator({"tp", {0, 2}, 1}, {});
  EXPECT_EQ((*group)->describe(), "tp of ranks 0 and 2");
}

TEST(LocalPlane, RanksThatDisagreeAreNamed) {
  runRanks(2, [](DataPlane &plane) {
    auto communicator = *plane.createCommunicator({"tp", {0, 1}, 1}, {});
    std::vector<float> values(plane.rank() == 0 ? 4 : 6);
    const auto id = *communicator->prepare(sumInPlace(values));
    // The later of the two finds it at its start, or at its await: both fail.
    if (!communicator->start(id).ok())
      return;
    const Status status = communicator->await(id);
    EXPECT_EQ(status.code(), StatusCode::invalidArgument);
    EXPECT_THAT(status.message(), HasSubstr("the ranks disagree on sequence number 1 over tp of "
                                            "ranks 0 and 1: rank 0 started all_reduce of 16 bytes, "
                                            "rank 1 started all_reduce of 24 bytes"));
  });
}

TEST(LocalPlane, ARankThatLeavesBeforeItsStartIsNamed) {
  runRanks(2, [](DataPlane &plane) {
    auto communicator = *plane.createCommunicator({"tp", {0, 1}, 1}, shortTimeout());
    if (plane.rank() == 1)
      return;
    std::vector<float> values(4);
    const auto id = *communicator->prepare(sumInPlace(values));
    ASSERT_TRUE(communicator->start(id).ok());
    const Status status = communicator->await(id);
    EXPECT_EQ(status.code(), StatusCode::deadlineExceeded);
    EXPECT_THAT(status.message(), HasSubstr("waited 100 ms for rank 1"));
  });
}

TEST(LocalPlane, ARankThatLeavesBetweenStartAndAwaitTakesItsMemoryWithIt) {
  // Either the other rank has finished the operation by then, or it fails and names the one who
  // left; it never touches memory that is gone (which the address sanitizer would tell).
  for (int round = 0; round < 8; ++round)
    runRanks(2, [&](DataPlane &plane) {
      auto values = std::make_unique<std::vector<float>>(100'000 + round, 1.0f);
      auto communicator = *plane.createCommunicator({"tp", {0, 1}, 1}, shortTimeout());
      const auto id = *communicator->prepare(sumInPlace(*values));
      ASSERT_TRUE(communicator->start(id).ok());
      if (plane.rank() == 1) {
        communicator = nullptr;
        values = nullptr;
        return;
      }
      const Status status = communicator->await(id);
      if (status.ok())
        EXPECT_EQ((*values)[7], 2.0f);
      else
        EXPECT_THAT(status.message(), HasSubstr("for rank 1"));
    });
}

TEST(LocalPlane, AbortOfOnePlaneEndsAllCommunicatorsAndLaterOnes) {
  runRanks(3, [](DataPlane &plane) {
    const int rank = plane.rank();
    if (rank == 2) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      plane.abort("rank 2 found the end of the data");
    } else {
      auto communicator = *plane.createCommunicator({"tp", {0, 1, 2}, 1}, {});
      std::vector<float> values(4);
      const auto id = *communicator->prepare(sumInPlace(values));
      const Status started = communicator->start(id);
      const Status status = started.ok() ? communicator->await(id) : started;
      EXPECT_EQ(status.code(), StatusCode::unavailable);
      EXPECT_THAT(status.message(), HasSubstr("rank 2 found the end of the data"));
    }
    auto later = *plane.createCommunicator({"dp", {rank}, 2}, {});
    EXPECT_THAT(later->poll().message(), HasSubstr("rank 2 found the end of the data"));
  });
}

TEST(LocalPlane, WorkerThreadsHelpWithMuchAndNotWithLittle) {
  std::atomic<int> helped{0};
  runRanks(2, [&](DataPlane &plane) {
    int calls = 0;
    CommunicatorOptions options;
    options.threads = 2;
    options.parallelFor = [&](int64_t blocks, FunctionRef<void(int64_t, int64_t)> body) {
      EXPECT_EQ(blocks, 2);
      std::thread other([&] { body(1, 2); });
      body(0, 1);
      other.join();
      ++calls;
    };
    auto communicator = *plane.createCommunicator({"tp", {0, 1}, 1}, options);
    std::vector<float> much(1'000'000, float(plane.rank() + 1)), little(10, 1);
    for (std::vector<float> *values : {&much, &little}) {
      const int before = calls;
      const auto id = *communicator->prepare(sumInPlace(*values));
      ASSERT_TRUE(communicator->start(id).ok());
      ASSERT_TRUE(communicator->await(id).ok());
      if (values == &much)
        helped += calls - before;
      else
        EXPECT_EQ(calls, before);
    }
    EXPECT_EQ(std::count(much.begin(), much.end(), 3.0f), int64_t(much.size()));
    EXPECT_EQ(little[9], 2.0f);
  });
  EXPECT_GT(helped.load(), 0);
}

/// More address space than memory: the same megabyte over and over.
class Repeated {
public:
  static constexpr int64_t kPeriod = int64_t{1} << 20;

  explicit Repeated(int64_t bytes) : size(bytes) {
    file = ::memfd_create("repeated", MFD_CLOEXEC);
    EXPECT_EQ(::ftruncate(file, kPeriod), 0);
    const int64_t space = (bytes + kPeriod - 1) / kPeriod * kPeriod;
    void *reserved = ::mmap(nullptr, size_t(space), PROT_NONE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    EXPECT_NE(reserved, MAP_FAILED);
    memory = static_cast<std::byte *>(reserved);
    // The last period has memory of its own: what is written there was not written elsewhere.
    for (int64_t at = 0; at < space; at += kPeriod)
      EXPECT_NE(::mmap(memory + at, size_t(kPeriod), PROT_READ | PROT_WRITE,
                       at + kPeriod < space ? MAP_SHARED | MAP_FIXED
                                            : MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                       at + kPeriod < space ? file : -1, 0),
                MAP_FAILED);
    mapped = space;
  }
  ~Repeated() {
    ::munmap(memory, size_t(mapped));
    ::close(file);
  }
  std::byte *last() const { return memory + mapped - kPeriod; }
  int64_t lastBytes() const { return size - (mapped - kPeriod); }

  std::byte *memory = nullptr;

private:
  int64_t size, mapped = 0;
  int file = -1;
};

TEST(LocalPlane, CountsAboveTwoToThe31) {
  const int64_t count = (int64_t{1} << 31) + 12'345; // bytes
  runRanks(2, [&](DataPlane &plane) {
    auto communicator = *plane.createCommunicator({"pp", {0, 1}, 1}, {});
    Repeated memory(count);
    const BufferAddress here = BufferAddress::fixed(memory.memory);
    CollectiveOperation operation{Collective::receive, Reduction::none, 0, {}};
    if (plane.rank() == 0) {
      std::memset(memory.memory, 3, Repeated::kPeriod);
      std::memset(memory.last(), 5, size_t(memory.lastBytes()));
      operation = {Collective::send, Reduction::none, 1, {{DType::u8, here, {}, count, 0}}};
    } else {
      operation.pairs = {{DType::u8, {}, here, 0, count}};
    }
    const auto id = *communicator->prepare(operation);
    ASSERT_TRUE(communicator->start(id).ok());
    ASSERT_TRUE(communicator->await(id).ok());
    EXPECT_EQ(memory.memory[0], std::byte{3});
    EXPECT_TRUE(std::all_of(memory.last(), memory.last() + memory.lastBytes(),
                            [](std::byte b) { return b == std::byte{5}; }));
  });
}

} // namespace
