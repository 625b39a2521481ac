#include "runtime/device/cuda/CudaMemory.h"

#include <cstring>

namespace titan::cuda {

StatusOr<std::unique_ptr<DeviceMemory>> MappedMemory::create(const Driver &driver,
                                                             std::span<const DeviceNumber> gpus,
                                                             Stream stream, int64_t bytes) {
  auto memory = std::unique_ptr<MappedMemory>(new MappedMemory(driver, stream));
  if (bytes <= 0)
    return std::unique_ptr<DeviceMemory>(std::move(memory));
  AllocationProperties properties{};
  properties.type = kPinnedAllocation;
  properties.location = {kDeviceLocation, gpus.front()};
  int isRemoteAccessible = 0;
  TITAN_CUDA_CHECK(driver,
                   cuDeviceGetAttribute(&isRemoteAccessible, kRemoteAccessAttribute, gpus.front()));
  properties.flags.gpuDirectRdmaCapable = isRemoteAccessible ? 1 : 0;
  size_t granularity = 0;
  TITAN_CUDA_CHECK(driver,
                   cuMemGetAllocationGranularity(&granularity, &properties, kMinimumGranularity));
  const size_t size = (static_cast<size_t>(bytes) + granularity - 1) / granularity * granularity;
  TITAN_CUDA_CHECK(driver, cuMemAddressReserve(&memory->reserved, size, granularity, 0, 0));
  memory->mappedBytes = size;
  Result created = driver.cuMemCreate(&memory->handle, size, &properties, 0);
  if (created != kSuccess && created != kOutOfMemory && isRemoteAccessible) {
    // A virtual machine may promise what its host does not allow.
    properties.flags.gpuDirectRdmaCapable = 0;
    created = driver.cuMemCreate(&memory->handle, size, &properties, 0);
  }
  if (Status status = driver.check(created, "cuMemCreate"); !status.ok())
    return status.withContext("cannot allocate " + std::to_string(bytes) + " bytes on the GPU");
  memory->isAllocated = true;
  TITAN_CUDA_CHECK(driver, cuMemMap(memory->reserved, size, 0, memory->handle, 0));
  memory->isMapped = true;
  std::vector<AccessDescription> access;
  for (const DeviceNumber gpu : gpus)
    access.push_back({{kDeviceLocation, gpu}, kReadWrite});
  TITAN_CUDA_CHECK(driver, cuMemSetAccess(memory->reserved, size, access.data(), access.size()));
  TITAN_CUDA_CHECK(driver, cuMemsetD8Async(memory->reserved, 0, size, stream));
  memory->address = reinterpret_cast<std::byte *>(static_cast<uintptr_t>(memory->reserved));
  memory->bytes = bytes;
  return std::unique_ptr<DeviceMemory>(std::move(memory));
}

MappedMemory::~MappedMemory() {
  if (address)
    driver.cuStreamSynchronize(stream);
  if (isMapped)
    driver.cuMemUnmap(reserved, mappedBytes);
  if (isAllocated)
    driver.cuMemRelease(handle);
  if (reserved)
    driver.cuMemAddressFree(reserved, mappedBytes);
}

StatusOr<std::unique_ptr<DeviceMemory>> PinnedMemory::create(const Driver &driver, int64_t bytes) {
  void *address = nullptr;
  if (bytes > 0) {
    TITAN_CUDA_CHECK(driver,
                     cuMemHostAlloc(&address, static_cast<size_t>(bytes), kPortable | kDeviceMap));
    std::memset(address, 0, static_cast<size_t>(bytes));
  }
  return std::unique_ptr<DeviceMemory>(
      new PinnedMemory(driver, static_cast<std::byte *>(address), std::max<int64_t>(bytes, 0)));
}

PinnedMemory::~PinnedMemory() {
  if (address)
    driver.cuMemFreeHost(address);
}

} // namespace titan::cuda
