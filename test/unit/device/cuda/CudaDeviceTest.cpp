// The device itself, on the stub: what is missing, memory, order, graphs, failures.
#include "test/unit/device/cuda/TestDevice.h"

#include "runtime/device/cuda/Nccl.h"

#include <array>
#include <gmock/gmock.h>
#include <numeric>

using namespace titan;
using namespace titan::cuda;
using testing::HasSubstr;
using testing::Not;

namespace {

/// Sets an environment variable for one scope.
class Setting {
public:
  Setting(const char *name, const char *value) : name(name) { ::setenv(name, value, 1); }
  ~Setting() { ::unsetenv(name); }

private:
  const char *name;
};

class CudaDeviceTest : public StubTest {
protected:
  static std::unique_ptr<CudaDevice> open() {
    auto device = CudaDevice::open(testOptions());
    EXPECT_TRUE(device.ok()) << device.status().message();
    return *std::move(device);
  }
  static std::string failure(const CudaOptions &options) {
    auto device = CudaDevice::open(options);
    return device.ok() ? "no failure" : device.status().message();
  }
};

TEST_F(CudaDeviceTest, SaysWhatIsMissing) {
  CudaOptions options = testOptions();
  options.driver = "libno-driver.so.1";
  EXPECT_THAT(failure(options), HasSubstr("NVIDIA's driver is missing: cannot load library "
                                          "'libno-driver.so.1'"));
  options = testOptions();
  options.blasLt = "libno-blas.so";
  EXPECT_THAT(failure(options), HasSubstr("cuBLASLt 12.1 or newer, which multiplies matrices on "
                                          "GPUs, is missing: tried cannot load library "
                                          "'libno-blas.so'"));
  EXPECT_THAT(failure(options), HasSubstr("as pip's nvidia-cublas-cu12 or -cu13"));
  const auto nccl = Nccl::open("libno-nccl.so");
  EXPECT_THAT(nccl.status().message(), HasSubstr("as pip's nvidia-nccl-cu12 or -cu13"));
  {
    const Setting oldest("TITAN_STUB_DRIVER", "12010");
    EXPECT_EQ(failure(testOptions()), "no failure") << "its own kernels too are for that driver";
  }
  const Setting old("TITAN_STUB_DRIVER", "12000");
  EXPECT_THAT(failure(testOptions()),
              HasSubstr("the driver is for CUDA 12.0; needed is one for CUDA 12.1 or newer"));
}

TEST_F(CudaDeviceTest, SaysWhichGpuIsMissing) {
  CudaOptions options = testOptions();
  options.ordinal = 2;
  options.gpusOfProcess = 3;
  EXPECT_THAT(failure(options), HasSubstr("GPU 2 does not exist: the driver shows 1 GPU, and each "
                                          "rank needs one"));
  {
    const Setting none("TITAN_STUB_GPUS", "0");
    EXPECT_THAT(failure(testOptions()), HasSubstr("cuInit: CUDA_ERROR_NO_DEVICE (100)"));
  }
  const Setting turing("TITAN_STUB_CAPABILITY", "75");
  EXPECT_THAT(failure(testOptions()),
              HasSubstr("has compute capability 7.5; Titan needs 8.0 (A100) or newer"));
}

TEST_F(CudaDeviceTest, OpensMemoryToGpusOfTheProcessAlone) {
  const StubControl stub = StubControl::open();
  const Setting four("TITAN_STUB_GPUS", "4");
  for (const int gpusOfProcess : {1, 3}) {
    CudaOptions options = testOptions();
    options.ordinal = 2;
    options.gpusOfProcess = gpusOfProcess;
    auto device = CudaDevice::open(options);
    ASSERT_TRUE(device.ok());
    const auto memory = (*device)->allocate(format::Space::device, 1);
    ASSERT_TRUE(memory.ok());
    const std::byte *data = (*memory)->data();
    EXPECT_TRUE(stub.canAccess(2, data));
    EXPECT_EQ(stub.canAccess(0, data), gpusOfProcess == 3);
    EXPECT_FALSE(stub.canAccess(3, data));
  }
}

TEST_F(CudaDeviceTest, LeavesNothingBehind) {
  const StubControl stub = StubControl::open();
  const long before = stub.objects();
  {
    const auto device = open();
    auto memory = device->allocate(format::Space::device, 100);
    auto pinned = device->allocate(format::Space::pinned, 100);
    ASSERT_TRUE(memory.ok() && pinned.ok());
    EXPECT_GT(stub.objects(), before);
  }
  EXPECT_EQ(stub.objects(), before);
  // Nor where opening ends in the middle, whatever fails.
  for (const char *function : {"cuStreamCreateWithPriority", "cuMemHostAlloc", "cuEventCreate",
                               "cuModuleLoadDataEx", "cuDevicePrimaryCtxRetain"}) {
    stub.fail(function, 1, kOutOfMemory);
    EXPECT_THAT(failure(testOptions()), HasSubstr(function));
    EXPECT_EQ(stub.objects(), before) << function;
  }
}

TEST_F(CudaDeviceTest, MemoryIsZeroAndCounted) {
  const auto device = open();
  const int64_t before = device->memoryUsed();
  auto memory = device->allocate(format::Space::device, 3 << 20);
  ASSERT_TRUE(memory.ok());
  EXPECT_EQ(device->memoryUsed() - before, 4 << 20) << "whole pages";
  std::vector<std::byte> bytes(3 << 20, std::byte{1});
  ASSERT_TRUE(device->copyToHost(bytes, (*memory)->data()).ok());
  EXPECT_EQ(bytes, std::vector<std::byte>(3 << 20));
  auto tooMuch = device->allocate(format::Space::device, int64_t{1} << 40);
  ASSERT_FALSE(tooMuch.ok());
  EXPECT_EQ(tooMuch.status().code(), StatusCode::unavailable);
  EXPECT_THAT(tooMuch.status().message(),
              HasSubstr("cannot allocate 1099511627776 bytes on the GPU: cuMemCreate: "
                        "CUDA_ERROR_OUT_OF_MEMORY"));
}

TEST_F(CudaDeviceTest, MemoryThatNetworkCardsCannotReachIsBetterThanNone) {
  const StubControl stub = StubControl::open();
  const auto device = open();
  const long before = stub.calls("cuMemCreate");
  stub.fail("cuMemCreate", 1, 801); // CUDA_ERROR_NOT_SUPPORTED
  const auto memory = device->allocate(format::Space::device, 64);
  EXPECT_TRUE(memory.ok()) << memory.status().message();
  EXPECT_EQ(stub.calls("cuMemCreate"), before + 2);
}

// More copies than there are staging buffers, of sizes around theirs: one that is used again too
// early would change what an earlier copy transfers.
TEST_F(CudaDeviceTest, CopiesKeepTheirOrder) {
  const StubControl stub = StubControl::open();
  const auto device = open();
  const int64_t sizes[] = {4, 1 << 20, (1 << 20) + 4, 5 << 20};
  for (const int64_t size : sizes) {
    auto memory = device->allocate(format::Space::device, 20 * size);
    ASSERT_TRUE(memory.ok());
    std::vector<uint32_t> values(static_cast<size_t>(size / 4));
    const long waits = stub.calls("cuStreamSynchronize");
    for (uint32_t i = 0; i < 20; ++i) {
      std::iota(values.begin(), values.end(), 1000000 * i);
      ASSERT_TRUE(
          device->copyToDevice((*memory)->data() + i * size, std::as_bytes(std::span(values)))
              .ok());
    }
    EXPECT_EQ(stub.calls("cuStreamSynchronize"), waits) << "writing does not wait for the GPU";
    for (uint32_t i = 0; i < 20; ++i) {
      std::vector<uint32_t> expected(values.size());
      std::iota(expected.begin(), expected.end(), 1000000 * i);
      ASSERT_TRUE(
          device
              ->copyToHost(std::as_writable_bytes(std::span(values)), (*memory)->data() + i * size)
              .ok());
      ASSERT_EQ(values, expected) << i << " of size " << size;
    }
  }
}

/// Two fills and a copy of one buffer into another.
struct Pieces {
  explicit Pieces(CudaDevice &device) {
    view = format::denseView(DType::f32, {64});
    auto memory = device.allocate(format::Space::device, 512);
    EXPECT_TRUE(memory.ok());
    this->memory = *std::move(memory);
    const Operand operands[] = {{this->memory->data(), &view}, {this->memory->data() + 256, &view}};
    format::Program program;
    program.target = "cuda";
    auto kernels = device.loadKernels(program);
    EXPECT_TRUE(kernels.ok());
    for (const format::Instruction &it :
         {format::Instruction(format::Fill{0, 5}), format::Instruction(format::Fill{1, 6}),
          format::Instruction(format::Copy{0, 1})}) {
      auto plan = device.prepare(it, operands, program, **kernels);
      EXPECT_TRUE(plan.ok());
      plans.push_back(*std::move(plan));
      pointers.push_back(plans.back().get());
    }
  }
  std::vector<float> read(CudaDevice &device) const {
    std::vector<float> values(128);
    EXPECT_TRUE(device.copyToHost(std::as_writable_bytes(std::span(values)), memory->data()).ok());
    return values;
  }

  format::View view;
  std::unique_ptr<DeviceMemory> memory;
  std::vector<std::unique_ptr<Plan>> plans;
  std::vector<Plan *> pointers;
};

TEST_F(CudaDeviceTest, GraphDoesWhatItsPlansDo) {
  const StubControl stub = StubControl::open();
  const auto device = open();
  const Pieces pieces(*device);
  auto graph = device->combine(pieces.pointers, "function 'f'");
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  EXPECT_EQ(pieces.read(*device), std::vector<float>(128, 0)) << "capturing runs nothing";
  auto queue = device->createQueue(QueueKind::compute, 0);
  ASSERT_TRUE(queue.ok());
  const long fills = stub.calls("cuMemsetD32Async");
  ASSERT_TRUE((*queue)->submit(**graph).ok());
  EXPECT_EQ(stub.calls("cuMemsetD32Async"), fills) << "one call, not one for each plan";
  EXPECT_EQ(pieces.read(*device), std::vector<float>(128, 5));
}

TEST_F(CudaDeviceTest, FailedCaptureEnds) {
  const StubControl stub = StubControl::open();
  const auto device = open();
  const Pieces pieces(*device);
  stub.fail("cuMemsetD32Async", 2, kInvalidValue);
  auto graph = device->combine(pieces.pointers, "function 'f'");
  ASSERT_FALSE(graph.ok());
  EXPECT_THAT(graph.status().message(), HasSubstr("cuMemsetD32Async: CUDA_ERROR_INVALID_VALUE"));
  EXPECT_TRUE(device->combine(pieces.pointers, "function 'f'").ok())
      << "the stream is no longer captured";
}

TEST_F(CudaDeviceTest, EventsOrderQueues) {
  const auto device = open();
  const Pieces pieces(*device);
  auto compute = device->createQueue(QueueKind::compute, 0);
  auto copies = device->createQueue(QueueKind::copy, 0);
  auto event = device->createEvent();
  ASSERT_TRUE(compute.ok() && copies.ok() && event.ok());
  ASSERT_TRUE((*compute)->submit(*pieces.plans[0]).ok());
  ASSERT_TRUE((*event)->record(**compute).ok());
  auto reached = (*event)->poll();
  ASSERT_TRUE(reached.ok());
  EXPECT_FALSE(*reached);
  ASSERT_TRUE((*event)->wait(**copies).ok());
  ASSERT_TRUE((*copies)->submit(*pieces.plans[2]).ok());
  ASSERT_TRUE((*copies)->synchronize().ok());
  EXPECT_TRUE(*(*event)->poll());
  EXPECT_EQ(pieces.read(*device), std::vector<float>(128, 5));
}

// A kernel that reads what is not there: the failure shows at the next wait, and stays.
TEST_F(CudaDeviceTest, FailureOfAKernelShowsAtTheNextWait) {
  const auto device = open();
  auto memory = device->allocate(format::Space::device, 1024);
  ASSERT_TRUE(memory.ok());
  const format::View tokens = format::denseView(DType::i32, {2});
  const format::View table = format::denseView(DType::f32, {1 << 20, 4});
  const format::View out = format::denseView(DType::f32, {2, 4});
  const std::array<int32_t, 2> far = {0, (1 << 20) - 1};
  ASSERT_TRUE(device->copyToDevice((*memory)->data(), std::as_bytes(std::span(far))).ok());
  const Operand operands[] = {{(*memory)->data(), &tokens},
                              {(*memory)->data() + 64, &table},
                              {(*memory)->data() + 512, &out}};
  format::Program program;
  program.target = "cuda";
  auto kernels = device->loadKernels(program);
  ASSERT_TRUE(kernels.ok());
  auto plan = device->prepare(format::Embedding{0, 1, 2}, operands, program, **kernels);
  ASSERT_TRUE(plan.ok()) << plan.status().message();
  auto queue = device->createQueue(QueueKind::compute, 0);
  ASSERT_TRUE(queue.ok());
  EXPECT_TRUE((*queue)->submit(**plan).ok());
  const Status status = (*queue)->synchronize();
  EXPECT_EQ(status.code(), StatusCode::internal);
  EXPECT_THAT(status.message(), HasSubstr("CUDA_ERROR_ILLEGAL_ADDRESS (700)"));
  EXPECT_THAT(status.message(), Not(HasSubstr("had begun"))) << "no combined plan ran";
  EXPECT_FALSE(device->fillBytes((*memory)->data(), 4, 0).ok());
}

TEST_F(CudaDeviceTest, FailureNamesTheCombinedPlan) {
  const auto device = open();
  const Pieces pieces(*device);
  auto first = device->combine(pieces.pointers, "function 'f', instructions 0 to 2");
  auto second = device->combine(pieces.pointers, "function 'g', instructions 3 to 5");
  auto third = device->combine(pieces.pointers, "function 'h', instructions 6 to 8");
  ASSERT_TRUE(first.ok() && second.ok() && third.ok());
  auto queue = device->createQueue(QueueKind::compute, 0);
  ASSERT_TRUE((*queue)->submit(**first).ok() && (*queue)->submit(**second).ok());
  ASSERT_TRUE((*queue)->synchronize().ok());
  StubControl::open().fail("cuStreamSynchronize", 1, kIllegalAddress);
  EXPECT_THAT((*queue)->synchronize().message(),
              HasSubstr("; the GPU had begun function 'g', instructions 3 to 5; --poison waits"));
}

TEST_F(CudaDeviceTest, RefusesProgramsOfOtherTargets) {
  const auto device = open();
  format::Program program;
  program.target = "cpu";
  auto load = [&] { return device->loadKernels(program).status().message(); };
  EXPECT_THAT(load(), HasSubstr("the program is for target 'cpu', this device is 'cuda': compile "
                                "the job again with --target=cuda:sm_120"));
  program.target = "cuda";
  program.kernels.emplace_back();
  program.images.push_back({"kernels", "cuda:sm_130", {}, std::string_view("ptx\0", 4)});
  EXPECT_THAT(load(), HasSubstr("no image of the program runs on stub of a GPU (sm_120), the first "
                                "is for cuda:sm_130"));
  program.images[0].target = "cuda:sm_9x";
  EXPECT_THAT(load(), HasSubstr("is for target 'cuda:sm_9x'"));
  program.images[0] = {"kernels", "cuda:sm_90", {}, std::string_view("no zero behind it", 5)};
  EXPECT_THAT(load(), HasSubstr("no image of the program runs"));
  program.images[0].contents = std::string_view("nonsense\0", 9);
  EXPECT_THAT(load(), HasSubstr("image 'kernels': cuModuleLoadDataEx"));
  EXPECT_THAT(load(), HasSubstr("unknown declaration")) << "the compiler's own words";
  // Machine code that the driver refuses is no reason to fail where there is PTX.
  program.kernels.clear();
  program.kernels.push_back({"k", {}, {{"k_0", 1, 32}}, {}, 0});
  const std::string ptx = ".version 8.1\n.target sm_90\n.visible .entry k_0(\n)\n{\nret;\n}\n";
  program.images[0].contents = std::string_view(ptx.c_str(), ptx.size() + 1);
  program.images.push_back({"kernels.cubin",
                            "cuda:sm_120",
                            {},
                            std::string_view("\x7f"
                                             "ELF")});
  EXPECT_TRUE(device->loadKernels(program).ok()) << load();
}

} // namespace
