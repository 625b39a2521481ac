// The side of the CUDA plugin that every program has: it opens the plugin.
#include "runtime/device/cuda/CudaPlugin.h"

#include <cstdlib>

namespace titan {

static constexpr PluginDescription kPlugin = {
    "libtitan_cuda.so", kCudaVersionSymbol, kCudaInterfaceVersion,
    "; programs for GPUs run through this plugin of Titan: build the target titan_cuda, or compile "
    "the job with --target=cpu"};

void setGpuEnvironment() {
  ::setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", /*replace=*/0); // the most that there are
  ::setenv("NCCL_RUNTIME_CONNECT", "0", /*replace=*/0);
}

StatusOr<CudaPlugin> openCudaDevice(const GpuOptions &options) {
  TITAN_ASSIGN_OR_RETURN(DynamicLibrary library, DynamicLibrary::openPlugin(kPlugin));
  TITAN_ASSIGN_OR_RETURN(CudaOpenFunction *const open,
                         library.function<CudaOpenFunction>(kCudaOpenSymbol));
  Status status;
  std::unique_ptr<Device> device;
  open(options, status, device);
  TITAN_RETURN_IF_ERROR(status);
  return CudaPlugin{std::move(library), std::move(device)};
}

StatusOr<std::unique_ptr<DataPlane>> CudaPlugin::connect() const {
  TITAN_ASSIGN_OR_RETURN(CudaConnectFunction *const connect,
                         library.function<CudaConnectFunction>(kCudaConnectSymbol));
  Status status;
  std::unique_ptr<DataPlane> plane;
  connect(*device, status, plane);
  TITAN_RETURN_IF_ERROR(status);
  return plane;
}

} // namespace titan
