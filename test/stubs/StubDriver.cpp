// A driver without a GPU: libcuda.so.1 for tests. Device memory is memory of the host, kernels are
// run from their PTX. It refuses what the documentation forbids: calls without a context, unknown
// handles, memory that is not mapped, waiting while a stream is captured.
//
// Work that is put into a stream is not done before somebody waits for it, so that memory which is
// written too early, or a wait that is missing, shows.
//
// Environment: TITAN_STUB_GPUS (how many, 1), TITAN_STUB_CAPABILITY (120: 12.0), TITAN_STUB_DRIVER
// (13000), TITAN_STUB_MEMORY (bytes, 8 GiB).
#include "test/stubs/StubDriver.h"

#include "test/stubs/Ptx.h"

#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <sys/mman.h>

namespace titan::cuda {

struct ContextObject {};

struct StreamObject {
  std::deque<std::function<void()>> pending;
  uint64_t enqueued = 0, done = 0;
  GraphObject *capturing = nullptr;
};

struct EventObject {
  StreamObject *stream = nullptr;
  uint64_t position = 0; ///< of its stream, when that many operations are done
};

struct GraphObject {
  std::vector<std::function<void()>> work;
};

struct ExecutableGraphObject {
  std::vector<std::function<void()>> work;
};

struct FunctionObject {
  const stub::PtxFunction *function;
};

struct ModuleObject {
  stub::PtxModule kernels;
  std::map<std::string, FunctionObject> functions;
};

namespace {

constexpr size_t kGranularity = size_t{2} << 20;

int64_t setting(const char *name, int64_t otherwise) {
  const char *value = std::getenv(name);
  return value ? std::atoll(value) : otherwise;
}

struct Stub {
  std::recursive_mutex mutex;
  ContextObject context;
  std::map<uint64_t, uint64_t> reserved, mapped, accessible; ///< address to size
  std::map<uint64_t, uint64_t> allocations;                  ///< handle to size
  uint64_t nextHandle = 1;
  std::set<void *> pinned;
  std::set<StreamObject *> streams;
  std::set<EventObject *> events;
  std::set<GraphObject *> graphs;
  std::set<ExecutableGraphObject *> executables;
  std::set<ModuleObject *> modules;
  std::map<std::string, long> calls;
  std::map<std::string, std::pair<long, Result>> failures; ///< calls still to come, then the error
  Result sticky = kSuccess;
  std::string reason = "no error";
  long contexts = 0;

  /// Begin and end of the memory that an address lies in.
  std::pair<uint64_t, uint64_t> find(uint64_t address) const {
    auto it = accessible.upper_bound(address);
    if (it == accessible.begin())
      return {0, 0};
    --it;
    return {it->first, it->first + it->second};
  }
  bool isValid(uint64_t address, uint64_t bytes) const {
    const auto [begin, end] = find(address);
    return address >= begin && address + bytes <= end;
  }

  Result fail(const std::string &why) {
    sticky = kIllegalAddress;
    reason = why;
    return sticky;
  }

  void drain(StreamObject &stream, uint64_t position) {
    while (stream.done < position && !stream.pending.empty()) {
      const std::function<void()> work = std::move(stream.pending.front());
      stream.pending.pop_front();
      ++stream.done;
      if (sticky != kSuccess)
        continue;
      try {
        work();
      } catch (const std::exception &error) {
        fail(error.what());
      }
    }
  }

  Result enqueue(StreamObject *stream, std::function<void()> work) {
    if (!streams.contains(stream))
      return kInvalidHandle;
    if (stream->capturing) {
      stream->capturing->work.push_back(std::move(work));
      return sticky;
    }
    stream->pending.push_back(std::move(work));
    ++stream->enqueued;
    return sticky;
  }
};

Stub &stub() {
  static Stub instance;
  return instance;
}

Context &currentContext() {
  static thread_local Context current = nullptr;
  return current;
}

/// What every call begins with; a failure that a test asked for, or that has happened.
Result enter(const char *name, bool needsContext) {
  Stub &it = stub();
  ++it.calls[name];
  if (const auto failure = it.failures.find(name);
      failure != it.failures.end() && --failure->second.first <= 0) {
    const Result result = failure->second.second;
    it.failures.erase(failure);
    return result;
  }
  if (!needsContext)
    return kSuccess;
  return currentContext() ? it.sticky : kInvalidContext;
}

#define TITAN_ENTER(needsContext)                                                                  \
  const std::lock_guard lock(stub().mutex);                                                        \
  if (const Result entered = enter(__func__, needsContext); entered != kSuccess)                   \
    return entered;                                                                                \
  Stub &it = stub()

//===----------------------------------------------------------------------===//
// Devices and contexts
//===----------------------------------------------------------------------===//

Result cuInit(unsigned flags) {
  TITAN_ENTER(false);
  (void)it;
  return flags == 0 ? (setting("TITAN_STUB_GPUS", 1) > 0 ? kSuccess : kNoDevice) : kInvalidValue;
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
  *count = static_cast<int>(setting("TITAN_STUB_GPUS", 1));
  return kSuccess;
}

Result cuDeviceGet(DeviceNumber *device, int ordinal) {
  *device = ordinal;
  return ordinal >= 0 && ordinal < setting("TITAN_STUB_GPUS", 1) ? kSuccess : 101;
}

Result cuDeviceGetName(char *name, int length, DeviceNumber) {
  std::strncpy(name, "stub of a GPU", static_cast<size_t>(length));
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
    *value = 1;
    return kSuccess;
  default:
    return kInvalidValue;
  }
}

int64_t memoryBytes() { return setting("TITAN_STUB_MEMORY", int64_t{8} << 30); }

Result cuDeviceTotalMem(size_t *bytes, DeviceNumber) {
  *bytes = static_cast<size_t>(memoryBytes());
  return kSuccess;
}

Result cuDevicePrimaryCtxRetain(Context *context, DeviceNumber) {
  TITAN_ENTER(false);
  ++it.contexts;
  *context = &it.context;
  return kSuccess;
}

Result cuDevicePrimaryCtxRelease(DeviceNumber) {
  TITAN_ENTER(false);
  return it.contexts-- > 0 ? kSuccess : kInvalidContext;
}

Result cuCtxSetCurrent(Context context) {
  TITAN_ENTER(false);
  if (context && context != &it.context)
    return kInvalidContext;
  currentContext() = context;
  return kSuccess;
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

uint64_t allocatedBytes() {
  uint64_t bytes = 0;
  for (const auto &[handle, size] : stub().allocations)
    bytes += size;
  return bytes;
}

Result cuMemGetInfo(size_t *free, size_t *total) {
  TITAN_ENTER(true);
  (void)it;
  *total = static_cast<size_t>(memoryBytes());
  *free = *total - allocatedBytes();
  return kSuccess;
}

Result cuMemGetAllocationGranularity(size_t *granularity, const AllocationProperties *properties,
                                     int) {
  TITAN_ENTER(true);
  (void)it;
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
  if (found == it.mapped.end() || found->second != size || count != 1 ||
      access->flags != kReadWrite || access->location.type != kDeviceLocation)
    return kInvalidValue;
  ::mprotect(reinterpret_cast<void *>(address), size, PROT_READ | PROT_WRITE);
  std::memset(reinterpret_cast<void *>(address), 0xff, std::min(size, kGranularity));
  it.accessible[address] = size;
  return kSuccess;
}

Result cuMemHostAlloc(void **address, size_t bytes, unsigned) {
  TITAN_ENTER(true);
  *address = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  it.pinned.insert(*address);
  it.accessible[reinterpret_cast<uint64_t>(*address)] = bytes;
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

void *pointer(DeviceAddress address) { return reinterpret_cast<void *>(address); }

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

template <typename T> Result fill(DeviceAddress address, T value, size_t count, Stream stream) {
  if (address % sizeof(T) || !stub().isValid(address, count * sizeof(T)))
    return kInvalidValue;
  return stub().enqueue(stream,
                        [=] { std::fill_n(static_cast<T *>(pointer(address)), count, value); });
}

Result cuMemsetD8Async(DeviceAddress address, unsigned char value, size_t count, Stream stream) {
  TITAN_ENTER(true);
  (void)it;
  return fill(address, value, count, stream);
}

Result cuMemsetD16Async(DeviceAddress address, unsigned short value, size_t count, Stream stream) {
  TITAN_ENTER(true);
  (void)it;
  return fill(address, value, count, stream);
}

Result cuMemsetD32Async(DeviceAddress address, unsigned value, size_t count, Stream stream) {
  TITAN_ENTER(true);
  (void)it;
  return fill(address, value, count, stream);
}

//===----------------------------------------------------------------------===//
// Streams, events, graphs
//===----------------------------------------------------------------------===//

template <typename T> Result create(std::set<T *> &all, T **object) {
  *object = new T();
  all.insert(*object);
  return kSuccess;
}

template <typename T> Result destroy(std::set<T *> &all, T *object) {
  if (!all.erase(object))
    return kInvalidHandle;
  delete object;
  return kSuccess;
}

Result cuStreamCreateWithPriority(Stream *stream, unsigned flags, int) {
  TITAN_ENTER(true);
  return flags == kNonBlocking ? create(it.streams, stream) : kInvalidValue;
}

Result cuStreamDestroy(Stream stream) {
  TITAN_ENTER(false);
  if (it.streams.contains(stream))
    it.drain(*stream, stream->enqueued);
  for (EventObject *event : it.events)
    if (event->stream == stream)
      event->stream = nullptr;
  return destroy(it.streams, stream);
}

Result cuStreamSynchronize(Stream stream) {
  TITAN_ENTER(true);
  if (!it.streams.contains(stream))
    return kInvalidHandle;
  if (stream->capturing)
    return kCaptureUnsupported;
  it.drain(*stream, stream->enqueued);
  return it.sticky;
}

Result cuStreamWaitEvent(Stream stream, EventHandle event, unsigned) {
  TITAN_ENTER(true);
  if (!it.streams.contains(stream) || !it.events.contains(event))
    return kInvalidHandle;
  StreamObject *const source = event->stream;
  const uint64_t position = event->position;
  if (!source)
    return kSuccess;
  return it.enqueue(stream, [source, position] { stub().drain(*source, position); });
}

Result cuStreamBeginCapture(Stream stream, int) {
  TITAN_ENTER(true);
  if (!it.streams.contains(stream) || stream->capturing)
    return kInvalidHandle;
  return create(it.graphs, &stream->capturing);
}

Result cuStreamEndCapture(Stream stream, Graph *graph) {
  TITAN_ENTER(true);
  if (!it.streams.contains(stream) || !stream->capturing)
    return kInvalidHandle;
  *graph = std::exchange(stream->capturing, nullptr);
  return kSuccess;
}

Result cuEventCreate(EventHandle *event, unsigned) {
  TITAN_ENTER(true);
  return create(it.events, event);
}

Result cuEventDestroy(EventHandle event) {
  TITAN_ENTER(false);
  return destroy(it.events, event);
}

Result cuEventRecord(EventHandle event, Stream stream) {
  TITAN_ENTER(true);
  if (!it.streams.contains(stream) || !it.events.contains(event))
    return kInvalidHandle;
  if (stream->capturing)
    return kCaptureUnsupported;
  event->stream = stream;
  event->position = stream->enqueued;
  return kSuccess;
}

Result cuEventQuery(EventHandle event) {
  TITAN_ENTER(true);
  if (!it.events.contains(event))
    return kInvalidHandle;
  return event->stream && event->stream->done < event->position ? kNotReady : kSuccess;
}

Result cuEventSynchronize(EventHandle event) {
  TITAN_ENTER(true);
  if (!it.events.contains(event))
    return kInvalidHandle;
  if (event->stream)
    it.drain(*event->stream, event->position);
  return it.sticky;
}

Result cuEventElapsedTime(float *milliseconds, EventHandle begin, EventHandle end) {
  TITAN_ENTER(true);
  if (!it.events.contains(begin) || !it.events.contains(end))
    return kInvalidHandle;
  *milliseconds = 1;
  return kSuccess;
}

Result cuGraphInstantiateWithFlags(ExecutableGraph *executable, Graph graph, unsigned long long) {
  TITAN_ENTER(true);
  if (!it.graphs.contains(graph))
    return kInvalidHandle;
  create(it.executables, executable);
  (*executable)->work = graph->work;
  return kSuccess;
}

Result cuGraphLaunch(ExecutableGraph executable, Stream stream) {
  TITAN_ENTER(true);
  if (!it.executables.contains(executable))
    return kInvalidHandle;
  return it.enqueue(stream, [executable] {
    for (const std::function<void()> &work : executable->work)
      work();
  });
}

Result cuGraphExecDestroy(ExecutableGraph executable) {
  TITAN_ENTER(true);
  for (StreamObject *stream : it.streams) // those that are under way end first
    it.drain(*stream, stream->enqueued);
  return destroy(it.executables, executable);
}

Result cuGraphDestroy(Graph graph) {
  TITAN_ENTER(true);
  return destroy(it.graphs, graph);
}

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

/// "8.1" of ".version 8.1", as 81; CUDA 12.1 came with PTX 8.1, 13.0 with 9.0.
int64_t ptxVersion(const char *text) {
  const char *version = std::strstr(text, ".version ");
  return version ? 10 * (version[9] - '0') + (version[11] - '0') : 0;
}
int64_t newestPtx() {
  const int64_t driver = setting("TITAN_STUB_DRIVER", 13000);
  return 10 * (driver / 1000 - 4) + driver % 1000 / 10;
}

Result cuModuleLoadDataEx(Module *module, const void *image, unsigned count, int *options,
                          void **values) {
  TITAN_ENTER(true);
  auto loaded = std::make_unique<ModuleObject>();
  if (std::memcmp(image,
                  "\x7f"
                  "ELF",
                  4) == 0)
    return 209; // no binary for the GPU
  if (ptxVersion(static_cast<const char *>(image)) > newestPtx())
    return 222; // PTX of an unsupported version
  try {
    loaded->kernels = stub::parsePtx(static_cast<const char *>(image));
  } catch (const std::exception &error) {
    for (unsigned i = 0; i < count; ++i)
      if (options[i] == kErrorLogBuffer)
        std::strncpy(static_cast<char *>(values[i]), error.what(), 1000);
    return 218; // invalid PTX
  }
  *module = loaded.release();
  it.modules.insert(*module);
  return kSuccess;
}

Result cuModuleUnload(Module module) {
  TITAN_ENTER(true);
  for (StreamObject *stream : it.streams)
    it.drain(*stream, stream->enqueued);
  return destroy(it.modules, module);
}

Result cuModuleGetFunction(FunctionHandle *function, Module module, const char *name) {
  TITAN_ENTER(true);
  if (!it.modules.contains(module))
    return kInvalidHandle;
  const auto kernel = module->kernels.find(name);
  if (kernel == module->kernels.end())
    return kNotFound;
  *function = &module->functions.emplace(name, FunctionObject{&kernel->second}).first->second;
  return kSuccess;
}

Result cuFuncGetAttribute(int *value, int attribute, FunctionHandle function) {
  TITAN_ENTER(true);
  (void)it;
  *value = static_cast<int>(function->function->registers);
  return attribute == kRegistersAttribute ? kSuccess : kInvalidValue;
}

Result cuLaunchKernel(FunctionHandle function, unsigned gridX, unsigned gridY, unsigned gridZ,
                      unsigned blockX, unsigned blockY, unsigned blockZ, unsigned sharedBytes,
                      Stream stream, void **parameters, void **extra) {
  TITAN_ENTER(true);
  if (!gridX || !gridY || !gridZ || gridY > 65535 || gridZ > 65535 || !blockX || !blockY ||
      !blockZ || blockX * blockY * blockZ > 1024 || extra ||
      sharedBytes + function->function->sharedBytes > 48 * 1024)
    return kInvalidValue;
  stub::PtxLaunch launch{
      {gridX, gridY, gridZ}, {blockX, blockY, blockZ}, {}, sharedBytes, [&it](uint64_t address) {
        return it.find(address);
      }};
  const stub::PtxFunction &kernel = *function->function;
  if (kernel.parameterBytes > 32764)
    return kInvalidValue;
  launch.parameters.resize(kernel.parameterBytes);
  for (size_t i = 0; i < kernel.parameters.size(); ++i)
    std::memcpy(launch.parameters.data() + kernel.parameters[i].offset, parameters[i],
                kernel.parameters[i].bytes);
  return it.enqueue(stream,
                    [&kernel, launch = std::move(launch)] { stub::runPtx(kernel, launch); });
}

} // namespace
} // namespace titan::cuda

using namespace titan::cuda;

extern "C" int cuGetProcAddress_v2(const char *symbol, void **function, int version,
                                   unsigned long long, int *) {
  struct Entry {
    const char *name;
    void *function;
  };
  // The declarations of Titan and those of the stub are the same, or this does not compile.
  static const Entry entries[] = {
#define TITAN_DRIVER(name, parameters)                                                             \
  {#name, reinterpret_cast<void *>(static_cast<Result(*) parameters>(&name))},
#include "runtime/device/cuda/DriverFunctions.def"
#undef TITAN_DRIVER
  };
  for (const Entry &entry : entries)
    if (std::strcmp(entry.name, symbol) == 0 &&
        version <= setting("TITAN_STUB_DRIVER", 13000) + 10000) {
      *function = entry.function;
      return kSuccess;
    }
  *function = nullptr;
  return kNotFound;
}

extern "C" int titanStubEnqueue(Stream stream, std::function<void()> work) {
  const std::lock_guard lock(stub().mutex);
  return stub().enqueue(stream, std::move(work));
}

extern "C" bool titanStubIsValid(uint64_t address, uint64_t bytes) {
  return stub().isValid(address, bytes);
}

extern "C" long titanStubCalls(const char *function) { return stub().calls[function]; }

extern "C" void titanStubFail(const char *function, long nth, int result) {
  stub().failures[function] = {nth, result};
}

extern "C" long titanStubObjects() {
  const Stub &it = stub();
  return static_cast<long>(it.reserved.size() + it.mapped.size() + it.allocations.size() +
                           it.pinned.size() + it.streams.size() + it.events.size() +
                           it.graphs.size() + it.executables.size() + it.modules.size()) +
         it.contexts;
}
