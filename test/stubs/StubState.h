// What the parts of the stub of the driver share.
#pragma once

#include "test/stubs/Ptx.h"
#include "test/stubs/StubDriver.h"

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>

namespace titan::cuda {

struct ContextObject {
  DeviceNumber device = 0;
  long retained = 0;
};

/// Does a part of a stream's work; false if it has to wait for others.
using StubWork = std::function<bool()>;

struct StreamObject {
  ContextObject *context = nullptr;
  std::deque<StubWork> pending;
  uint64_t enqueued = 0, done = 0;
  bool isBusy = false;     ///< its first work is being done
  double milliseconds = 0; ///< that the work put into it takes
  GraphObject *capturing = nullptr;
};

struct EventObject {
  StreamObject *stream = nullptr;
  uint64_t position = 0; ///< of its stream, when that many operations are done
  double milliseconds = 0;
  bool isTimed = false;
  std::thread::id recorder;
};

struct GraphObject {
  std::vector<StubWork> work;
};

struct ExecutableGraphObject {
  std::vector<StubWork> work;
};

struct FunctionObject {
  const stub::PtxFunction *function;
  bool isIdle; ///< its launches do nothing
};

struct ModuleObject {
  stub::PtxModule kernels;
  std::map<std::string, FunctionObject> functions;
};

namespace stubs {

/// A variable of the environment; see StubDriver.cpp.
int64_t setting(const char *name, int64_t otherwise);

struct Stub {
  Stub() = default;
  Stub(const Stub &) = delete;
  ~Stub();

  struct Range {
    uint64_t size = 0;
    std::set<DeviceNumber> gpus; ///< that may access it; none: all
  };

  std::recursive_mutex mutex;
  std::condition_variable_any changed; ///< something was enqueued or done
  std::map<DeviceNumber, ContextObject> contexts;
  std::map<uint64_t, uint64_t> reserved, mapped; ///< address to size
  std::map<uint64_t, Range> accessible;          ///< by address
  std::map<uint64_t, uint64_t> allocations;      ///< handle to size
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

  /// Begin and end of the memory that an address lies in, of all that `gpu` may access; -1: any.
  std::pair<uint64_t, uint64_t> find(uint64_t address, DeviceNumber gpu = -1) const;
  bool isValid(uint64_t address, uint64_t bytes, DeviceNumber gpu = -1) const;
  /// All later calls fail.
  Result fail(const std::string &why);

  /// Does a stream's work up to a position; false if that has to wait for others.
  bool drain(StreamObject &stream, uint64_t position);
  /// Likewise, and waits.
  void wait(std::unique_lock<std::recursive_mutex> &lock, StreamObject &stream, uint64_t position);
  /// All work of the current context's streams.
  void waitForAll(std::unique_lock<std::recursive_mutex> &lock);
  Result enqueue(StreamObject *stream, StubWork work);
  /// Work that returns nothing is done at once.
  template <typename Work> Result enqueue(StreamObject *stream, Work work) {
    if constexpr (std::is_void_v<std::invoke_result_t<Work &>>)
      return enqueue(stream, StubWork([work = std::move(work)]() mutable {
                       work();
                       return true;
                     }));
    else
      return enqueue(stream, StubWork(std::move(work)));
  }
};

Stub &stub();
Context &currentContext();

/// What every call begins with; a failure that a test asked for, or that has happened.
Result enter(const char *name, bool needsContext);

// The functions of the driver, which cuGetProcAddress hands out.
#define TITAN_DRIVER(name, parameters) Result name parameters;
#include "runtime/device/cuda/DriverFunctions.def"
#undef TITAN_DRIVER

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

} // namespace stubs
} // namespace titan::cuda

#define TITAN_ENTER(needsContext)                                                                  \
  std::unique_lock lock(titan::cuda::stubs::stub().mutex);                                         \
  if (const titan::cuda::Result entered = titan::cuda::stubs::enter(__func__, needsContext);       \
      entered != titan::cuda::kSuccess)                                                            \
    return entered;                                                                                \
  [[maybe_unused]] titan::cuda::stubs::Stub &it = titan::cuda::stubs::stub()
