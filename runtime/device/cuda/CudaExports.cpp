// What the plugin exports.
#include "runtime/device/cuda/CudaDevice.h"
#include "runtime/device/cuda/NcclPlane.h"

#define TITAN_EXPORT extern "C" __attribute__((visibility("default")))

/// The value of `found`, or its failure.
template <typename Found, typename Value>
static void give(titan::StatusOr<Found> found, titan::Status &status, Value &value) {
  if (found.ok())
    value = *std::move(found);
  else
    status = found.status();
}

TITAN_EXPORT int titanCudaVersion() { return titan::kCudaInterfaceVersion; }

TITAN_EXPORT void titanCudaOpen(const titan::GpuOptions &options, titan::Status &status,
                                std::unique_ptr<titan::Device> &device) {
  titan::cuda::CudaOptions all;
  static_cast<titan::GpuOptions &>(all) = options;
  give(titan::cuda::CudaDevice::open(all), status, device);
}

TITAN_EXPORT void titanCudaConnect(titan::Device &device, titan::Status &status,
                                   std::unique_ptr<titan::DataPlane> &plane) {
  auto &gpu = static_cast<titan::cuda::CudaDevice &>(device);
  give(titan::cuda::NcclPlane::open(gpu, gpu.settings().store), status, plane);
}
