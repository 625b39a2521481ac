// The graphs of attention against cuDNN itself, which compiles for GPUs that are described and need
// not be here. Built where NVIDIA's headers are found; skipped without its libraries.
//
// The driver is the toolkit's stub of it, which refuses every call: an engine gets as far as
// loading the kernel that it has compiled.
#include "test/unit/device/cuda/AttentionGraphs.h"

#include <gmock/gmock.h>
#include <limits>

namespace titan::cuda {
namespace {

/// An H100, as cuDNN 9.19 and 9.27 describe GPUs; other versions may want more.
constexpr std::string_view kProperties =
    R"({"deviceName":"NVIDIA H100","deviceVer":900,"driverVer":13000,"cudaDeviceId":0,)"
    R"("pciDeviceId":0,"isTccDriver":0,"supportCoopLaunch":1,"multiProcessorCount":132,)"
    R"("warpSize":32,"regsPerBlock":65536,"maxRegistersPerSM":65536,"maxCtasPerSM":32,)"
    R"("maxThreadsPerBlock":1024,"maxThreadsPerSM":2048,"maxGridSize":[2147483647,65535,65535],)"
    R"("maxBlockSize":[1024,1024,64],"maxSharedMemoryPerBlock":49152,)"
    R"("maxSharedMemoryPerBlockOptin":232448,"reservedSharedMemoryPerBlock":1024,)"
    R"("totalGlobalMem":85017755648,"l2CacheSize":52428800,"smClockRateKHz":1980000,)"
    R"("memClockRateKHz":2619000,"memoryBusWidth":5120,"oversizedSharedMemoryPerBlock":0})";

TEST(CudnnLibraryTest, CompilesTheGraphs) {
  const auto driver = DynamicLibrary::open(TITAN_DRIVER_STUB);
  if (!driver.ok())
    GTEST_SKIP() << driver.status().message();
  const auto library = Cudnn::open("");
  if (!library.ok())
    GTEST_SKIP() << library.status().message();
  if ((*library)->version() < 90800)
    GTEST_SKIP() << "cuDNN before 9.8 describes no GPUs";
  DnnObject device(**library, kDnnDeviceProperties);
  const Status described =
      device.set(kDnnDeviceJson, kDnnTypeChar, std::span<const char>(kProperties)).finalize();
  if (!described.ok())
    GTEST_SKIP() << described.message();
  for (const auto &[name, problem] : recordedProblems()) {
    if (!problem.shape.causal)
      continue; // each takes a second
    DnnGraph graph(**library);
    buildAttention(graph, problem);
    const auto plan = graph.plan({nullptr, device.get()}, std::numeric_limits<int64_t>::max());
    if (!plan.ok())
      EXPECT_THAT(plan.status().message(), testing::HasSubstr("FAILED_CUDA_DRIVER")) << name;
  }
}

} // namespace
} // namespace titan::cuda
