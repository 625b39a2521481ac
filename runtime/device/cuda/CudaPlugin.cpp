// The side of the CUDA plugin that every program has: it opens the plugin.
#include "runtime/device/cuda/CudaPlugin.h"

namespace titan {

StatusOr<CudaPlugin> openCudaDevice(int ordinal, int threads) {
  constexpr const char *name = "libtitan_cuda.so";
  auto library = DynamicLibrary::openPlugin(name);
  if (!library.ok())
    return Status(library.status().code(),
                  library.status().message() +
                      "; programs for GPUs run through this plugin of Titan: build the target "
                      "titan_cuda, or compile the job with --target=cpu");
  TITAN_ASSIGN_OR_RETURN(CudaVersionFunction *const version,
                         library->function<CudaVersionFunction>(kCudaVersionSymbol));
  if (version() != kCudaInterfaceVersion)
    return unavailable(std::string(name) + " is of another version of Titan: its interface is " +
                       std::to_string(version()) + ", this program's " +
                       std::to_string(kCudaInterfaceVersion) + "; build both together");
  TITAN_ASSIGN_OR_RETURN(CudaOpenFunction *const open,
                         library->function<CudaOpenFunction>(kCudaOpenSymbol));
  Status status;
  std::unique_ptr<Device> device;
  open(ordinal, threads, status, device);
  TITAN_RETURN_IF_ERROR(status);
  return CudaPlugin{*std::move(library), std::move(device)};
}

} // namespace titan
