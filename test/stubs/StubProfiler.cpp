// A profiler for tests, as NVTX_INJECTION64_PATH names one: it writes the ranges that begin,
// indented by their depth, to the file that TITAN_STUB_RANGES names.
#include "runtime/device/cuda/Nvtx.h"

#include <cstdio>
#include <cstdlib>

using namespace titan::cuda;

namespace {

std::FILE *output = nullptr;
int depth = 0;

int push(const char *name) {
  std::fprintf(output, "%*s%s\n", 2 * depth++, "", name);
  return depth;
}
int pop() { return --depth; }

} // namespace

extern "C" int InitializeInjectionNvtx2(const void *(*getTable)(uint32_t)) {
  const auto *version = static_cast<const NvtxVersionTable *>(getTable(kNvtxVersionInfo));
  const auto *callbacks = static_cast<const NvtxCallbackTable *>(getTable(kNvtxCallbacks));
  if (!version || version->version < 3 || !callbacks || getTable(2))
    return 0;
  version->setInjectionVersion(3);
  NvtxFunction **core = nullptr;
  unsigned size = 0;
  const char *path = std::getenv("TITAN_STUB_RANGES");
  if (!callbacks->getModule(kNvtxCore, &core, &size) || size <= kNvtxRangePop || !path)
    return 0;
  output = std::fopen(path, "w");
  *core[kNvtxRangePush] = reinterpret_cast<NvtxFunction>(&push);
  *core[kNvtxRangePop] = reinterpret_cast<NvtxFunction>(&pop);
  return output != nullptr;
}
