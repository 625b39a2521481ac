// GPUs, by way of a plugin: libtitan_cuda.so is opened when a program is for them, and itself opens
// the driver and NVIDIA's libraries. Nothing of Titan is linked with any of these.
#pragma once

#include "runtime/base/DynamicLibrary.h"
#include "runtime/collectives/Communicator.h"
#include "runtime/device/Device.h"

#include <chrono>
#include <filesystem>
#include <functional>
#include <string_view>

namespace titan {

/// What the ranks of a job tell each other while they load: functions of their World. Empty ones
/// are never called for one rank.
struct KeyValueStore {
  int rank = 0, size = 1;
  std::function<Status(std::string_view key, std::string_view value)> set;
  /// Waits for the key.
  std::function<StatusOr<std::string>(std::string_view key, std::chrono::milliseconds timeout)> get;
  /// Adds to a counter, which begins with 0, and returns the sum.
  std::function<StatusOr<int64_t>(std::string_view key, int64_t amount)> add;
};

/// That of a World, which outlives it. A template: the plugin needs no World.
template <typename World> KeyValueStore storeOf(World &world) {
  return {world.rank(), world.size(),
          [&world](std::string_view key, std::string_view value) { return world.set(key, value); },
          [&world](std::string_view key, std::chrono::milliseconds timeout) {
            return world.get(key, timeout);
          },
          [&world](std::string_view key, int64_t amount) { return world.add(key, amount); }};
}

struct GpuOptions {
  int ordinal = 0; ///< of the GPU, among those that the driver shows
  /// How many of those, from the first, belong to ranks of this process: each may then access the
  /// memory of the others.
  int gpusOfProcess = 1;
  int threads = 0; ///< of the host, for initial values; 0: one per core
  KeyValueStore store;
  /// Whether prepare() may run matrix products on its operands to find the fastest algorithm. It
  /// leaves them zero: for memory that holds nothing else yet.
  bool searchesGemms = false;
  std::filesystem::path gemmFolder; ///< where what was found is kept; empty: nowhere
  bool deterministic = false;       ///< cuDNN adds in the same order every time
  bool ownAttention = false;        ///< by Titan's own kernels, even where cuDNN is
  std::function<void(const std::string &)> note = {}; ///< told what a user may want to know
};

/// A device and the plugin that it comes from.
struct CudaPlugin {
  DynamicLibrary library; ///< outlives the device
  std::unique_ptr<Device> device;

  /// The data plane of ranks with a GPU each; see NcclPlane.h. The device outlives it. Errors
  /// (unavailable) name NCCL and the version that is wanted.
  StatusOr<std::unique_ptr<DataPlane>> connect() const;
};

/// Sets what NVIDIA's libraries read in the environment, but for what the user has set:
/// - CUDA_DEVICE_MAX_CONNECTIONS = 32, so that each stream of a GPU has a queue of its own in
///   hardware: of the driver's 8, streams share some, and a transfer could wait in one behind a
///   transfer that itself waits for its peer.
/// - NCCL_RUNTIME_CONNECT = 0: the ranks of a group connect when their communicator is made, not in
///   their first collective, where hosts would wait for each other in the middle of a step.
/// Before the process opens a GPU, and while no other thread reads the environment.
void setGpuEnvironment();

/// Opens a GPU. Errors (unavailable) say what is missing: the plugin, the driver, a GPU, or a
/// library. A device is used by one thread at a time, the one that opened it.
StatusOr<CudaPlugin> openCudaDevice(const GpuOptions &options);

/// What the plugin exports under these names.
inline constexpr const char *kCudaVersionSymbol = "titanCudaVersion";
inline constexpr const char *kCudaOpenSymbol = "titanCudaOpen";
inline constexpr const char *kCudaConnectSymbol = "titanCudaConnect";
/// Of this interface: changes with any class that crosses it.
inline constexpr int kCudaInterfaceVersion = 3;
using CudaOpenFunction = void(const GpuOptions &options, Status &status,
                              std::unique_ptr<Device> &device);
using CudaConnectFunction = void(Device &device, Status &status, std::unique_ptr<DataPlane> &plane);

} // namespace titan
