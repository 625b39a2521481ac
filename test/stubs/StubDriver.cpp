// A driver without a GPU: libcuda.so.1 for tests. Device memory is memory of the host, kernels are
// run from their PTX. It refuses what the documentation forbids: calls without a context, unknown
// handles, memory that is not mapped, waiting while a stream is captured.
//
// Work that is put into a stream is not done before somebody waits for it, so that memory which is
// written too early, or a wait that is missing, shows.
//
// Environment: TITAN_STUB_GPUS (how many the host has, 1), CUDA_VISIBLE_DEVICES (those that are
// seen, by number: all), TITAN_STUB_NAME, TITAN_STUB_CAPABILITY (120: 12.0), TITAN_STUB_DRIVER
// (13000), TITAN_STUB_MEMORY (bytes, 8 GiB, of all GPUs together), TITAN_STUB_CONNECTIONS (hardware
// queues that cuInit asks for, 1), TITAN_STUB_IDLE_KERNEL (whose launches do nothing, none).
#include "test/stubs/StubState.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>

namespace titan::cuda::stubs {

static constexpr size_t kGranularity = size_t{2} << 20;

//===----------------------------------------------------------------------===//
// Devices and contexts
//===----------------------------------------------------------------------===//

/// The host's GPUs that this process sees, by its own numbers; as CUDA has it, up to the first that
/// does not exist.
static std::vector<int> visibleGpus() {
  const auto count = static_cast<int>(setting("TITAN_STUB_GPUS", 1));
  const char *text = std::getenv("CUDA_VISIBLE_DEVICES");
  std::vector<int> gpus;
  if (!text)
    for (int gpu = 0; gpu < count; ++gpu)
      gpus.push_back(gpu);
  for (char *end = nullptr; text && *text; text = *end == ',' ? end + 1 : end) {
    const long gpu = std::strtol(text, &end, 10);
    if (end == text || gpu < 0 || gpu >= count)
      break;
    gpus.push_back(static_cast<int>(gpu));
  }
  return gpus;
}

Result cuInit(unsigned flags) {
  TITAN_ENTER(false);
  // The driver reads its own variable here.
  if (flags != 0 ||
      setting("CUDA_DEVICE_MAX_CONNECTIONS", 8) < setting("TITAN_STUB_CONNECTIONS", 1))
    return kInvalidValue;
  return visibleGpus().empty() ? kNoDevice : kSuccess;
}

Result cuDriverGetVersion(int *version) {
  *version = static_cast<int>(setting("TITAN_STUB_DRIVER", 13000));
  return kSuccess;
}

Result cuGetErrorName(Result error, const char **name) {
  static const std::map<Result, const char *> names = {
      {kInvalidValue, "CUDA_ERROR_INVALID_VALUE"},
      {kOutOfMemory, "CUDA_ERROR_OUT_OF_MEMORY"},
      {kNoDevice, "CUDA_ERROR_NO_DEVICE"},
      {kNotFound, "CUDA_ERROR_NOT_FOUND"},
      {kInvalidContext, "CUDA_ERROR_INVALID_CONTEXT"},
      {kInvalidHandle, "CUDA_ERROR_INVALID_HANDLE"},
      {kIllegalAddress, "CUDA_ERROR_ILLEGAL_ADDRESS"},
      {kCaptureUnsupported, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"}};
  const auto found = names.find(error);
  *name = found == names.end() ? nullptr : found->second;
  return *name ? kSuccess : kInvalidValue;
}

Result cuGetErrorString(Result error, const char **text) {
  *text = error == kIllegalAddress ? stub().reason.c_str() : "an error of the stub";
  return kSuccess;
}

Result cuDeviceGetCount(int *count) {
  *count = static_cast<int>(visibleGpus().size());
  return kSuccess;
}

Result cuDeviceGet(DeviceNumber *device, int ordinal) {
  *device = ordinal;
  return ordinal >= 0 && ordinal < std::ssize(visibleGpus()) ? kSuccess : 101;
}

Result cuDeviceGetUuid(DeviceUuid *uuid, DeviceNumber device) {
  TITAN_ENTER(false);
  *uuid = {};
  uuid->bytes[15] = static_cast<unsigned char>(visibleGpus()[static_cast<size_t>(device)]);
  return kSuccess;
}

Result cuDeviceGetName(char *name, int length, DeviceNumber) {
  const char *given = std::getenv("TITAN_STUB_NAME");
  std::strncpy(name, given ? given : "stub of a GPU", static_cast<size_t>(length));
  return kSuccess;
}

Result cuDeviceGetAttribute(int *value, int attribute, DeviceNumber) {
  const int64_t capability = setting("TITAN_STUB_CAPABILITY", 120);
  switch (attribute) {
  case kMajorAttribute:
    *value = static_cast<int>(capability / 10);
    return kSuccess;
  case kMinorAttribute:
    *value = static_cast<int>(capability % 10);
    return kSuccess;
  case kProcessorsAttribute:
    *value = 2;
    return kSuccess;
  case kVirtualMemoryAttribute:
  case kRemoteAccessAttribute:
    *value = 1;
    return kSuccess;
  default:
    return kInvalidValue;
  }
}

static int64_t memoryBytes() { return setting("TITAN_STUB_MEMORY", int64_t{8} << 30); }

Result cuDeviceTotalMem(size_t *bytes, DeviceNumber) {
  *bytes = static_cast<size_t>(memoryBytes());
  return kSuccess;
}

Result cuDeviceCanAccessPeer(int *canAccess, DeviceNumber device, DeviceNumber peer) {
  TITAN_ENTER(false);
  *canAccess = device != peer;
  return kSuccess;
}

Result cuDevicePrimaryCtxRetain(Context *context, DeviceNumber device) {
  TITAN_ENTER(false);
  ContextObject &retained = it.contexts[device];
  retained.device = device;
  ++retained.retained;
  *context = &retained;
  return kSuccess;
}

Result cuDevicePrimaryCtxRelease(DeviceNumber device) {
  TITAN_ENTER(false);
  if (it.contexts[device].retained-- <= 0)
    return kInvalidContext;
  // Many tests share a process; with the last context goes its failure, as with a real process.
  if (std::ranges::all_of(it.contexts,
                          [](const auto &entry) { return entry.second.retained <= 0; }))
    it.sticky = kSuccess;
  return kSuccess;
}

Result cuCtxSetCurrent(Context context) {
  TITAN_ENTER(false);
  if (context && context->retained <= 0)
    return kInvalidContext;
  currentContext() = context;
  return kSuccess;
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

static uint64_t allocatedBytes() {
  uint64_t bytes = 0;
  for (const auto &[handle, size] : stub().allocations)
    bytes += size;
  return bytes;
}

Result cuMemGetInfo(size_t *free, size_t *total) {
  TITAN_ENTER(true);
  *total = static_cast<size_t>(memoryBytes());
  *free = *total - allocatedBytes();
  return kSuccess;
}

Result cuMemGetAllocationGranularity(size_t *granularity, const AllocationProperties *properties,
                                     int) {
  TITAN_ENTER(true);
  *granularity = kGranularity;
  return properties->type == kPinnedAllocation && properties->location.type == kDeviceLocation
             ? kSuccess
             : kInvalidValue;
}

Result cuMemAddressReserve(DeviceAddress *address, size_t size, size_t alignment, DeviceAddress,
                           unsigned long long flags) {
  TITAN_ENTER(true);
  if (size == 0 || size % kGranularity || alignment % kGranularity || flags)
    return kInvalidValue;
  void *memory = ::mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return kOutOfMemory;
  *address = reinterpret_cast<DeviceAddress>(memory);
  it.reserved[*address] = size;
  return kSuccess;
}

Result cuMemAddressFree(DeviceAddress address, size_t size) {
  TITAN_ENTER(true);
  const auto found = it.reserved.find(address);
  if (found == it.reserved.end() || found->second != size || it.mapped.contains(address))
    return kInvalidValue;
  it.reserved.erase(found);
  ::munmap(reinterpret_cast<void *>(address), size);
  return kSuccess;
}

Result cuMemCreate(AllocationHandle *handle, size_t size, const AllocationProperties *properties,
                   unsigned long long flags) {
  TITAN_ENTER(true);
  if (size == 0 || size % kGranularity || flags || properties->type != kPinnedAllocation)
    return kInvalidValue;
  if (allocatedBytes() + size > static_cast<uint64_t>(memoryBytes()))
    return kOutOfMemory;
  *handle = it.nextHandle++;
  it.allocations[*handle] = size;
  return kSuccess;
}

Result cuMemRelease(AllocationHandle handle) {
  TITAN_ENTER(true);
  return it.allocations.erase(handle) ? kSuccess : kInvalidValue;
}

Result cuMemMap(DeviceAddress address, size_t size, size_t offset, AllocationHandle handle,
                unsigned long long flags) {
  TITAN_ENTER(true);
  const auto place = it.reserved.find(address);
  const auto pages = it.allocations.find(handle);
  if (place == it.reserved.end() || place->second != size || offset || flags ||
      pages == it.allocations.end() || pages->second != size)
    return kInvalidValue;
  it.mapped[address] = size;
  return kSuccess;
}

Result cuMemUnmap(DeviceAddress address, size_t size) {
  TITAN_ENTER(true);
  const auto found = it.mapped.find(address);
  if (found == it.mapped.end() || found->second != size)
    return kInvalidValue;
  it.mapped.erase(found);
  it.accessible.erase(address);
  ::mprotect(reinterpret_cast<void *>(address), size, PROT_NONE);
  return kSuccess;
}

Result cuMemSetAccess(DeviceAddress address, size_t size, const AccessDescription *access,
                      size_t count) {
  TITAN_ENTER(true);
  const auto found = it.mapped.find(address);
  if (found == it.mapped.end() || found->second != size || count == 0)
    return kInvalidValue;
  Stub::Range range{size, {}};
  for (size_t i = 0; i < count; ++i) {
    if (access[i].flags != kReadWrite || access[i].location.type != kDeviceLocation)
      return kInvalidValue;
    range.gpus.insert(access[i].location.id);
  }
  ::mprotect(reinterpret_cast<void *>(address), size, PROT_READ | PROT_WRITE);
  std::memset(reinterpret_cast<void *>(address), 0xff, std::min(size, kGranularity));
  it.accessible[address] = std::move(range);
  return kSuccess;
}

Result cuMemHostAlloc(void **address, size_t bytes, unsigned) {
  TITAN_ENTER(true);
  *address = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  it.pinned.insert(*address);
  it.accessible[reinterpret_cast<uint64_t>(*address)] = {bytes, {}};
  return kSuccess;
}

Result cuMemFreeHost(void *address) {
  TITAN_ENTER(true);
  if (!it.pinned.erase(address))
    return kInvalidValue;
  it.accessible.erase(reinterpret_cast<uint64_t>(address));
  std::free(address);
  return kSuccess;
}

static void *pointer(DeviceAddress address) { return reinterpret_cast<void *>(address); }

Result cuMemcpyHtoDAsync(DeviceAddress to, const void *from, size_t bytes, Stream stream) {
  TITAN_ENTER(true);
  if (!it.isValid(to, bytes) || !it.isValid(reinterpret_cast<uint64_t>(from), bytes))
    return kInvalidValue;
  return it.enqueue(stream, [=] { std::memcpy(pointer(to), from, bytes); });
}

Result cuMemcpyDtoHAsync(void *to, DeviceAddress from, size_t bytes, Stream stream) {
  TITAN_ENTER(true);
  if (!it.isValid(from, bytes) || !it.isValid(reinterpret_cast<uint64_t>(to), bytes))
    return kInvalidValue;
  return it.enqueue(stream, [=] { std::memcpy(to, pointer(from), bytes); });
}

Result cuMemcpyDtoDAsync(DeviceAddress to, DeviceAddress from, size_t bytes, Stream stream) {
  TITAN_ENTER(true);
  if (!it.isValid(to, bytes) || !it.isValid(from, bytes))
    return kInvalidValue;
  return it.enqueue(stream, [=] { std::memmove(pointer(to), pointer(from), bytes); });
}

template <typename T>
static Result fill(DeviceAddress address, T value, size_t count, Stream stream) {
  if (address % sizeof(T) || !stub().isValid(address, count * sizeof(T)))
    return kInvalidValue;
  return stub().enqueue(stream,
                        [=] { std::fill_n(static_cast<T *>(pointer(address)), count, value); });
}

Result cuMemsetD8Async(DeviceAddress address, unsigned char value, size_t count, Stream stream) {
  TITAN_ENTER(true);
  return fill(address, value, count, stream);
}

Result cuMemsetD16Async(DeviceAddress address, unsigned short value, size_t count, Stream stream) {
  TITAN_ENTER(true);
  return fill(address, value, count, stream);
}

Result cuMemsetD32Async(DeviceAddress address, unsigned value, size_t count, Stream stream) {
  TITAN_ENTER(true);
  return fill(address, value, count, stream);
}

} // namespace titan::cuda::stubs

using namespace titan::cuda;
using stubs::Stub;
using stubs::stub;

extern "C" int cuGetProcAddress_v2(const char *symbol, void **function, int version,
                                   unsigned long long, int *) {
  struct Entry {
    const char *name;
    void *function;
  };
  static const Entry entries[] = {
#define TITAN_DRIVER(name, parameters) {#name, reinterpret_cast<void *>(&stubs::name)},
#include "runtime/device/cuda/DriverFunctions.def"
#undef TITAN_DRIVER
  };
  for (const Entry &entry : entries)
    if (std::strcmp(entry.name, symbol) == 0 &&
        version <= stubs::setting("TITAN_STUB_DRIVER", 13000) + 10000) {
      *function = entry.function;
      return kSuccess;
    }
  *function = nullptr;
  return kNotFound;
}

extern "C" std::recursive_mutex *titanStubMutex() { return &::stub().mutex; }

extern "C" void titanStubNotify() { ::stub().changed.notify_all(); }

extern "C" void titanStubAwaitChange(std::unique_lock<std::recursive_mutex> &lock,
                                     double milliseconds) {
  ::stub().changed.wait_for(lock, std::chrono::duration<double, std::milli>(milliseconds));
}

extern "C" int titanStubEnqueue(Stream stream, std::function<void()> work, double milliseconds) {
  const std::lock_guard lock(::stub().mutex);
  if (::stub().streams.contains(stream))
    stream->milliseconds += milliseconds;
  return ::stub().enqueue(stream, std::move(work));
}

extern "C" int titanStubEnqueueShared(Stream stream, std::function<bool()> work,
                                      uint64_t *position) {
  const std::lock_guard lock(::stub().mutex);
  const Result result = ::stub().enqueue(stream, std::move(work));
  *position = result == kInvalidHandle ? 0 : stream->enqueued;
  return result;
}

extern "C" bool titanStubDrain(Stream stream, uint64_t position) {
  return !::stub().streams.contains(stream) || ::stub().drain(*stream, position);
}

extern "C" int titanStubCurrentGpu() {
  const Context current = stubs::currentContext();
  return current ? current->device : -1;
}

extern "C" int titanStubNumberOnHost(int gpu) {
  return stubs::visibleGpus()[static_cast<size_t>(gpu)];
}

extern "C" bool titanStubIsValid(uint64_t address, uint64_t bytes, int gpu) {
  const std::lock_guard lock(::stub().mutex);
  return ::stub().isValid(address, bytes, gpu);
}

extern "C" long titanStubCalls(const char *function) {
  const std::lock_guard lock(::stub().mutex);
  return ::stub().calls[function];
}

extern "C" void titanStubFail(const char *function, long nth, int result) {
  const std::lock_guard lock(::stub().mutex);
  ::stub().failures[function] = {nth, result};
}

extern "C" long titanStubObjects() {
  const std::lock_guard lock(::stub().mutex);
  const Stub &it = ::stub();
  long contexts = 0;
  for (const auto &[device, context] : it.contexts)
    contexts += context.retained;
  return static_cast<long>(it.reserved.size() + it.mapped.size() + it.allocations.size() +
                           it.pinned.size() + it.streams.size() + it.events.size() +
                           it.graphs.size() + it.executables.size() + it.modules.size()) +
         contexts;
}
