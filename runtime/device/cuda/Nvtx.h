// Ranges on the timelines of NVIDIA's profilers.
//
// A profiler names a library in NVTX_INJECTION64_PATH. As NVTX's own headers do, Titan loads it and
// hands it tables of functions to fill in; of version 3's functions it calls two. The declarations
// are ours; a test compares them with NVIDIA's headers.
#pragma once

#include "runtime/base/DynamicLibrary.h"

#include <cstdint>

namespace titan::cuda {

/// What NVTX calls modules, and the numbers of the functions used here.
inline constexpr unsigned kNvtxCore = 1, kNvtxModules = 7;
inline constexpr unsigned kNvtxRangePush = 9, kNvtxRangePop = 11;
/// The largest number of functions of a module, with number 0, which is none.
inline constexpr unsigned kNvtxFunctions = 16;
inline constexpr uint32_t kNvtxCallbacks = 1, kNvtxVersionInfo = 3, kNvtxVersion = 3;

using NvtxFunction = void (*)();
struct NvtxCallbackTable {
  size_t bytes;
  int (*getModule)(unsigned module, NvtxFunction ***table, unsigned *size);
};
struct NvtxVersionTable {
  size_t bytes;
  uint32_t version;
  uint32_t reserved;
  void (*setInjectionVersion)(uint32_t version);
};

class Nvtx {
public:
  /// The profiler that was injected into this process, or null. A library that cannot be loaded is
  /// none.
  static const Nvtx *ofProcess();

  /// Of the calling thread; ranges nest.
  void begin(const char *name) const {
    if (push)
      push(name);
  }
  void end() const {
    if (pop)
      pop();
  }

private:
  Nvtx();

  using GetTable = const void *(*)(uint32_t number);
  static const void *getTable(uint32_t number);
  static int getModule(unsigned module, NvtxFunction ***table, unsigned *size);

  /// The entry points of all modules, which the profiler writes: it is given their addresses by
  /// functions without a context, so they are the process's.
  static NvtxFunction (&entries())[kNvtxModules][kNvtxFunctions];

  DynamicLibrary library;
  bool isActive = false;
  int (*push)(const char *name) = nullptr;
  int (*pop)() = nullptr;
};

} // namespace titan::cuda
