// The suite on GPUs: each rank is a thread with a GPU, of the stubs or, where TITAN_TEST_GPU is
// set, of this machine, as far as it has so many.
#include "runtime/device/cuda/NcclPlane.h"
#include "runtime/world/LocalWorld.h"
#include "test/conformance/Harness.h"
#include "test/unit/device/cuda/TestDevice.h"

#include <barrier>
#include <map>
#include <optional>
#include <thread>
#include <vector>

namespace titan::test {
namespace {

using cuda::CudaDevice;

constexpr int kMaxRanks = 9;

/// The GPUs of the process, opened when they are first used; they outlive every plane.
class Gpus {
public:
  int count() const { return static_cast<int>(devices.size()); }
  CudaDevice &operator[](int ordinal) { return *devices[static_cast<size_t>(ordinal)]; }

  static Gpus &all() {
    static Gpus instance;
    return instance;
  }

private:
  Gpus() {
    if (!cuda::onRealGpu())
      ::setenv("TITAN_STUB_GPUS", std::to_string(kMaxRanks).c_str(), 1);
    cuda::CudaOptions options = cuda::testOptions();
    options.gpusOfProcess = kMaxRanks;
    for (; options.ordinal < kMaxRanks; ++options.ordinal) {
      auto device = CudaDevice::open(options);
      if (!device.ok())
        break;
      devices.push_back(*std::move(device));
    }
  }

  std::vector<std::unique_ptr<CudaDevice>> devices;
};

/// A communicator whose await() is done when the GPU is.
class WaitingCommunicator final : public Communicator {
public:
  WaitingCommunicator(std::unique_ptr<Communicator> inner, DataPlane &plane, CudaDevice &device)
      : inner(std::move(inner)), plane(plane), device(device) {}

  int size() const override { return inner->size(); }
  int rank() const override { return inner->rank(); }
  const std::string &describe() const override { return inner->describe(); }
  StatusOr<OperationId> prepare(const CollectiveOperation &operation) override {
    TITAN_ASSIGN_OR_RETURN(const OperationId id, inner->prepare(operation));
    // So that only operations run into the timeouts of these tests. Ranks that send to each other
    // have prepared all their transfers when they start the first.
    if (isPointToPoint(operation.collective))
      hasUnconnected = true;
    else
      TITAN_RETURN_IF_ERROR(plane.connect(std::chrono::minutes(1)));
    return id;
  }
  Status start(OperationId id, std::span<std::byte *const> bases) override {
    if (std::exchange(hasUnconnected, false))
      TITAN_RETURN_IF_ERROR(plane.connect(std::chrono::minutes(1)));
    return inner->start(id, bases);
  }
  Status await(OperationId id) override {
    TITAN_RETURN_IF_ERROR(inner->await(id));
    TITAN_CUDA_CHECK(device.api(), cuStreamSynchronize(device.computeStream()));
    return inner->poll();
  }
  uint64_t sequence(OperationId id) const override { return inner->sequence(id); }
  Status poll() const override { return inner->poll(); }
  void abort(const std::string &reason) override { inner->abort(reason); }

private:
  std::unique_ptr<Communicator> inner;
  DataPlane &plane;
  CudaDevice &device;
  bool hasUnconnected = false;
};

class WaitingPlane final : public DataPlane {
public:
  WaitingPlane(std::unique_ptr<DataPlane> inner, CudaDevice &device)
      : inner(std::move(inner)), device(device) {}

  int rank() const override { return inner->rank(); }
  int size() const override { return inner->size(); }
  std::string describe() const override { return inner->describe(); }
  StatusOr<std::unique_ptr<Communicator>>
  createCommunicator(const CommunicatorGroup &group, const CommunicatorOptions &options) override {
    TITAN_ASSIGN_OR_RETURN(std::unique_ptr<Communicator> made,
                           inner->createCommunicator(group, options));
    return std::unique_ptr<Communicator>(
        std::make_unique<WaitingCommunicator>(std::move(made), *inner, device));
  }
  void abort(const std::string &reason) override { inner->abort(reason); }

private:
  std::unique_ptr<DataPlane> inner;
  CudaDevice &device;
};

class NcclHarness final : public Harness {
public:
  void run(int ranks, FunctionRef<void(DataPlane &plane)> body) override {
    if (ranks > Gpus::all().count()) {
      EXPECT_TRUE(cuda::onRealGpu());
      GTEST_SKIP() << "needs " << ranks << " GPUs";
    }
    const auto group = *LocalGroup::create(ranks, {});
    barrier.emplace(ranks);
    std::vector<std::thread> threads;
    for (int rank = 0; rank < ranks; ++rank)
      threads.emplace_back([&, rank] { runRank(*group, rank, body); });
    for (std::thread &thread : threads)
      thread.join();
  }
  void meet() override { barrier->arrive_and_wait(); }
  bool knowsWhoIsAwaited() const override { return false; }

private:
  std::optional<std::barrier<>> barrier; ///< of the ranks that run

  static void runRank(LocalGroup &group, int rank, FunctionRef<void(DataPlane &plane)> body) {
    CudaDevice &device = Gpus::all()[rank];
    ASSERT_EQ(device.api().cuCtxSetCurrent(device.currentContext()), cuda::kSuccess);
    const std::unique_ptr<World> world = *group.join(rank);
    {
      auto plane = cuda::NcclPlane::open(device, storeOf(*world));
      ASSERT_TRUE(plane.ok()) << plane.status().message();
      WaitingPlane waiting(*std::move(plane), device);
      body(waiting);
    }
    const Status left = world->leave(std::chrono::minutes(1));
    EXPECT_TRUE(left.ok()) << left.message();
  }
};

} // namespace

std::unique_ptr<Harness> createHarness() { return std::make_unique<NcclHarness>(); }

std::shared_ptr<std::byte> allocateMemory(size_t bytes) {
  const cuda::Driver &driver = Gpus::all()[0].api();
  void *memory = nullptr;
  EXPECT_EQ(driver.cuMemHostAlloc(&memory, bytes, cuda::kPortable), cuda::kSuccess);
  return {static_cast<std::byte *>(memory), [&driver](void *data) { driver.cuMemFreeHost(data); }};
}

} // namespace titan::test
