// The suite under mpirun: every process runs all tests, and is one rank of each.
#include "runtime/collectives/mpi/MpiPlane.h"
#include "test/conformance/Harness.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <numeric>

namespace titan::test {

namespace {

/// Set by main(): a process connects once.
DataPlane *processPlane = nullptr;

constexpr int kAllId = 1023, kRunningId = 1022;

class MpiHarness final : public Harness {
public:
  void run(int ranks, FunctionRef<void(DataPlane &plane)> body) override {
    ASSERT_LE(ranks, processPlane->size()) << "run this with mpirun -n 9";
    running = ranks;
    if (processPlane->rank() < ranks)
      body(*processPlane);
    meet(processPlane->size(), kAllId);
  }
  void meet() override { meet(running, kRunningId); }

private:
  static void meet(int ranks, int groupId) {
    CommunicatorGroup group{"the processes that meet", std::vector<int>(size_t(ranks)), groupId};
    std::iota(group.ranks.begin(), group.ranks.end(), 0);
    auto communicator = processPlane->createCommunicator(group, {});
    ASSERT_TRUE(communicator.ok()) << communicator.status().message();
    int32_t sum = 1;
    const BufferAddress here = BufferAddress::fixed(reinterpret_cast<std::byte *>(&sum));
    auto id = (*communicator)
                  ->prepare({format::Collective::allReduce,
                             format::Reduction::sum,
                             -1,
                             {{DType::i32, here, here, 1, 1}}});
    ASSERT_TRUE(id.ok());
    ASSERT_TRUE((*communicator)->start(*id).ok());
    const Status status = (*communicator)->await(*id);
    ASSERT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(sum, ranks);
  }

  int running = 0; ///< ranks that run the body
};

/// What ranks other than 0 print.
class FailurePrinter final : public testing::EmptyTestEventListener {
public:
  explicit FailurePrinter(int rank) : rank(rank) {}
  void OnTestPartResult(const testing::TestPartResult &result) override {
    if (result.failed())
      std::fprintf(stderr, "rank %d: %s:%d: %s\n", rank, result.file_name(), result.line_number(),
                   result.message());
  }

private:
  const int rank;
};

} // namespace

std::unique_ptr<Harness> createHarness() { return std::make_unique<MpiHarness>(); }

std::shared_ptr<std::byte> allocateMemory(size_t bytes) { return allocateHostMemory(bytes); }

} // namespace titan::test

int main(int argc, char **argv) {
  using namespace titan;
  testing::InitGoogleTest(&argc, argv);
  MpiOptions options;
  options.finalizeAfterFailure = true;
  options.maxMessageBytes = 100'000; // so that large ones are cut
  if (argc > 1)
    options.library = argv[1];
  if (argc > 2)
    options.maxMessageBytes = std::atoll(argv[2]);
  auto plane = openMpiPlane(options);
  if (!plane.ok()) {
    std::fprintf(stderr, "%s\n", plane.status().message().c_str());
    return 1;
  }
  test::processPlane = plane->get();
  auto &listeners = testing::UnitTest::GetInstance()->listeners();
  if ((*plane)->rank() == 0) {
    std::printf("%s\n", (*plane)->describe().c_str());
  } else {
    delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new test::FailurePrinter((*plane)->rank()));
  }
  return RUN_ALL_TESTS();
}
