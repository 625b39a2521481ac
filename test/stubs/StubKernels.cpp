// The stub of the driver: modules and kernels.
#include "test/stubs/StubState.h"

#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace titan::cuda::stubs {

/// "8.1" of ".version 8.1", as 81; CUDA 12.1 came with PTX 8.1, 13.0 with 9.0.
static int64_t ptxVersion(const char *text) {
  const char *version = std::strstr(text, ".version ");
  return version ? 10 * (version[9] - '0') + (version[11] - '0') : 0;
}
static int64_t newestPtx() {
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
  it.waitForAll(lock);
  return destroy(it.modules, module);
}

Result cuModuleGetFunction(FunctionHandle *function, Module module, const char *name) {
  TITAN_ENTER(true);
  if (!it.modules.contains(module))
    return kInvalidHandle;
  const auto kernel = module->kernels.find(name);
  if (kernel == module->kernels.end())
    return kNotFound;
  const char *idle = std::getenv("TITAN_STUB_IDLE_KERNEL");
  const FunctionObject made{&kernel->second, idle && std::strcmp(idle, name) == 0};
  *function = &module->functions.emplace(name, made).first->second;
  return kSuccess;
}

Result cuFuncGetAttribute(int *value, int attribute, FunctionHandle function) {
  TITAN_ENTER(true);
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
  const DeviceNumber gpu = currentContext()->device;
  stub::PtxLaunch launch{{gridX, gridY, gridZ},
                         {blockX, blockY, blockZ},
                         {},
                         sharedBytes,
                         [&it, gpu](uint64_t address) { return it.find(address, gpu); }};
  const stub::PtxFunction &kernel = *function->function;
  if (kernel.parameterBytes > 32764)
    return kInvalidValue;
  if (function->isIdle)
    return kSuccess;
  launch.parameters.resize(kernel.parameterBytes);
  for (size_t i = 0; i < kernel.parameters.size(); ++i)
    std::memcpy(launch.parameters.data() + kernel.parameters[i].offset, parameters[i],
                kernel.parameters[i].bytes);
  return it.enqueue(stream,
                    [&kernel, launch = std::move(launch)] { stub::runPtx(kernel, launch); });
}

} // namespace titan::cuda::stubs
