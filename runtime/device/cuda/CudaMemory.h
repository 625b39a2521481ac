// Memory of a GPU, and pinned memory of the host.
#pragma once

#include "runtime/device/Device.h"
#include "runtime/device/cuda/DriverApi.h"

namespace titan::cuda {

/// Device memory that the driver's virtual memory management gives: physical pages of one
/// allocation, mapped in one piece, on the first of `gpus`, which all of these may access, and
/// network cards where the GPU can. Zeroed in `stream`, which its end waits for.
class MappedMemory final : public DeviceMemory {
public:
  static StatusOr<std::unique_ptr<DeviceMemory>>
  create(const Driver &driver, std::span<const DeviceNumber> gpus, Stream stream, int64_t bytes);
  ~MappedMemory() override;

private:
  MappedMemory(const Driver &driver, Stream stream)
      : DeviceMemory(nullptr, 0), driver(driver), stream(stream) {}

  const Driver &driver;
  Stream stream;
  DeviceAddress reserved = 0;
  AllocationHandle handle = 0;
  size_t mappedBytes = 0; ///< a multiple of the granularity
  bool isAllocated = false, isMapped = false;
};

/// Host memory that GPUs can access at the same address. Zeroed.
class PinnedMemory final : public DeviceMemory {
public:
  static StatusOr<std::unique_ptr<DeviceMemory>> create(const Driver &driver, int64_t bytes);
  ~PinnedMemory() override;

private:
  PinnedMemory(const Driver &driver, std::byte *address, int64_t bytes)
      : DeviceMemory(address, bytes), driver(driver) {}

  const Driver &driver;
};

inline DeviceAddress addressOf(const std::byte *data) {
  return static_cast<DeviceAddress>(reinterpret_cast<uintptr_t>(data));
}

} // namespace titan::cuda
