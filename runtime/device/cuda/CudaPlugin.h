// GPUs, by way of a plugin: libtitan_cuda.so is opened when a program is for them, and itself opens
// the driver and NVIDIA's libraries. Nothing of Titan is linked with any of these.
#pragma once

#include "runtime/base/DynamicLibrary.h"
#include "runtime/device/Device.h"

namespace titan {

/// A device and the plugin that it comes from.
struct CudaPlugin {
  DynamicLibrary library; ///< outlives the device
  std::unique_ptr<Device> device;
};

/// Opens GPU number `ordinal` of those that the driver shows. `threads` of the host make initial
/// values; 0: one per core. Errors (unavailable) say what is missing: the plugin, the driver, a
/// GPU, or a library. A device is used by one thread at a time, the one that opened it.
StatusOr<CudaPlugin> openCudaDevice(int ordinal, int threads);

/// What the plugin exports under these names.
inline constexpr const char *kCudaVersionSymbol = "titanCudaVersion";
inline constexpr const char *kCudaOpenSymbol = "titanCudaOpen";
/// Of this interface: changes with any class that crosses it.
inline constexpr int kCudaInterfaceVersion = 1;
using CudaVersionFunction = int();
using CudaOpenFunction = void(int ordinal, int threads, Status &status,
                              std::unique_ptr<Device> &device);

} // namespace titan
