#include "runtime/device/cuda/Nvtx.h"

#include <cstdlib>

namespace titan::cuda {

NvtxFunction (&Nvtx::entries()) [kNvtxModules][kNvtxFunctions] {
  static NvtxFunction functions[kNvtxModules][kNvtxFunctions];
  return functions;
}

int Nvtx::getModule(unsigned module, NvtxFunction ***table, unsigned *size) {
  // By module: the core, CUDA's driver, OpenCL, CUDA's runtime, more of the core, and
  // synchronization.
  static constexpr unsigned kSizes[kNvtxModules] = {0, 16, 9, 15, 7, 16, 7};
  static NvtxFunction *slots[kNvtxModules][kNvtxFunctions];
  if (module == 0 || module >= kNvtxModules)
    return 0;
  for (unsigned i = 1; i < kSizes[module]; ++i)
    slots[module][i] = &entries()[module][i];
  if (table)
    *table = slots[module];
  if (size)
    *size = kSizes[module];
  return 1;
}

const void *Nvtx::getTable(uint32_t number) {
  static const NvtxCallbackTable callbacks = {sizeof(NvtxCallbackTable), &Nvtx::getModule};
  static const NvtxVersionTable version = {sizeof(NvtxVersionTable), kNvtxVersion, 0,
                                           [](uint32_t) {}};
  if (number == kNvtxCallbacks)
    return &callbacks;
  return number == kNvtxVersionInfo ? &version : nullptr;
}

Nvtx::Nvtx() {
  const char *path = std::getenv("NVTX_INJECTION64_PATH");
  if (!path)
    return;
  auto opened = DynamicLibrary::open(path);
  if (!opened.ok())
    return;
  library = *std::move(opened);
  const auto initialize = library.function<int(GetTable)>("InitializeInjectionNvtx2");
  isActive = initialize.ok() && (*initialize)(&Nvtx::getTable) != 0;
  const auto &core = entries()[kNvtxCore];
  push = reinterpret_cast<int (*)(const char *)>(core[kNvtxRangePush]);
  pop = reinterpret_cast<int (*)()>(core[kNvtxRangePop]);
}

const Nvtx *Nvtx::ofProcess() {
  // Never freed: the profiler lives as long as the process.
  static const Nvtx *const instance = new Nvtx();
  return instance->isActive ? instance : nullptr;
}

} // namespace titan::cuda
