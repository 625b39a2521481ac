// What the plugin exports.
#include "runtime/device/cuda/CudaDevice.h"
#include "runtime/device/cuda/CudaPlugin.h"

#define TITAN_EXPORT extern "C" __attribute__((visibility("default")))

TITAN_EXPORT int titanCudaVersion() { return titan::kCudaInterfaceVersion; }

TITAN_EXPORT void titanCudaOpen(int ordinal, int threads, titan::Status &status,
                                std::unique_ptr<titan::Device> &device) {
  titan::cuda::CudaOptions options;
  options.ordinal = ordinal;
  options.threads = threads;
  auto opened = titan::cuda::CudaDevice::open(options);
  if (opened.ok())
    device = *std::move(opened);
  else
    status = opened.status();
}
