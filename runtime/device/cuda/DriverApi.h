// CUDA's driver, opened at run time.
//
// The declarations are ours, so that Titan builds without CUDA's headers; where those are found, a
// test compares every type, constant and signature with them. The driver's binary interface is
// stable: a symbol's meaning never changes, and cuGetProcAddress returns the one of a version.
#pragma once

#include "runtime/base/DynamicLibrary.h"

#include <cstddef>
#include <cstdint>
#include <string>

namespace titan::cuda {

using Result = int;
using DeviceNumber = int;
using DeviceAddress = unsigned long long;
using AllocationHandle = unsigned long long;
using Context = struct ContextObject *;
using Module = struct ModuleObject *;
using FunctionHandle = struct FunctionObject *;
using Stream = struct StreamObject *;
using EventHandle = struct EventObject *;
using Graph = struct GraphObject *;
using ExecutableGraph = struct ExecutableGraphObject *;

struct DeviceUuid {
  unsigned char bytes[16];
};

struct Location {
  int type;
  int id;
};

struct AllocationProperties {
  int type;
  int requestedHandleTypes;
  Location location;
  void *win32HandleMetaData;
  struct {
    unsigned char compressionType;
    unsigned char gpuDirectRdmaCapable;
    unsigned short usage;
    unsigned char reserved[4];
  } flags;
};

struct AccessDescription {
  Location location;
  int flags;
};

inline constexpr Result kSuccess = 0, kInvalidValue = 1, kOutOfMemory = 2, kNoDevice = 100,
                        kInvalidContext = 201, kInvalidHandle = 400, kNotFound = 500,
                        kNotReady = 600, kIllegalAddress = 700, kCaptureUnsupported = 900;
inline constexpr int kMajorAttribute = 75, kMinorAttribute = 76, kProcessorsAttribute = 16,
                     kVirtualMemoryAttribute = 102, kRemoteAccessAttribute = 110;
inline constexpr int kPinnedAllocation = 1, kDeviceLocation = 1, kReadWrite = 3;
inline constexpr int kMinimumGranularity = 0;
inline constexpr unsigned kPortable = 1, kDeviceMap = 2, kNonBlocking = 1, kDisableTiming = 2;
inline constexpr int kRelaxedCapture = 2;
inline constexpr int kErrorLogBuffer = 5, kErrorLogBufferBytes = 6;
inline constexpr int kRegistersAttribute = 4;

/// The oldest driver that will do, as cuDriverGetVersion counts: PTX 8.1 came with CUDA 12.1.
inline constexpr int kOldestDriver = 12010;

/// The driver's functions, which end with it. Movable.
class Driver {
public:
  /// Opens the driver's library, `name` as DynamicLibrary takes it, resolves all functions and
  /// initializes it. Errors (unavailable) say what is missing: the library, a newer version, a GPU.
  static StatusOr<Driver> open(const std::string &name = "libcuda.so.1");

  /// Success, or `what` with the error's name, number and text.
  Status check(Result result, const char *what) const;

  int version() const { return number; }

#define TITAN_DRIVER(name, parameters) Result(*name) parameters = nullptr;
#include "runtime/device/cuda/DriverFunctions.def"
#undef TITAN_DRIVER

private:
  explicit Driver(DynamicLibrary library) : library(std::move(library)) {}

  Status resolve();

  DynamicLibrary library;
  int number = 0;
};

/// `TITAN_CUDA_CHECK(driver, cuStreamSynchronize(stream))`: returns the Status of a call that
/// fails.
#define TITAN_CUDA_CHECK(driver, call) TITAN_RETURN_IF_ERROR((driver).check((driver).call, #call))

} // namespace titan::cuda
