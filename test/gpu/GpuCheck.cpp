#include "runtime/device/cuda/CudaPlugin.h"
#include "runtime/format/ProgramFile.h"
#include "test/gpu/GpuTools.h"

#include <cstdio>
#include <span>
#include <string>

using namespace titan;

/// Attention by whichever library has it, then, where that is cuDNN, by the others.
static StatusOr<bool> compareAttention() {
  for (const char *name : {"default", "deterministic", "own kernels"}) {
    GpuOptions options;
    options.deterministic = std::string_view(name) == "deterministic";
    options.ownAttention = std::string_view(name) == "own kernels";
    options.note = [&](const std::string &text) { std::printf("%s: %s\n", name, text.c_str()); };
    TITAN_ASSIGN_OR_RETURN(const CudaPlugin plugin, openCudaDevice(options));
    TITAN_RETURN_IF_ERROR(gpu::timeAttention(*plugin.device, name));
  }
  return true;
}

static StatusOr<bool> run(std::span<const std::string> arguments) {
  if (arguments[0] == "attention")
    return compareAttention();
  GpuOptions options;
  options.searchesGemms = arguments[0] == "classes";
  TITAN_ASSIGN_OR_RETURN(const CudaPlugin plugin, openCudaDevice(options));
  std::printf("%s\n", plugin.device->describe().c_str());
  TITAN_ASSIGN_OR_RETURN(const auto program, format::ProgramFile::open(arguments[1]));
  if (arguments[0] == "classes") {
    TITAN_RETURN_IF_ERROR(gpu::timeClasses(program.program(), *plugin.device));
    return true;
  }
  TITAN_ASSIGN_OR_RETURN(const auto numbers, Safetensors::open(arguments[2]));
  return gpu::checkKernels(program.program(), numbers, *plugin.device);
}

int main(int argc, char **argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (!(arguments.size() == 3 && arguments[0] == "kernels") &&
      !(arguments.size() == 2 && arguments[0] == "classes") &&
      !(arguments.size() == 1 && arguments[0] == "attention")) {
    std::fprintf(stderr,
                 "usage: GpuCheck kernels GPU.tbin NUMBERS.safetensors | classes GPU.tbin | "
                 "attention\n");
    return 1;
  }
  const auto isRight = run(arguments);
  if (!isRight.ok())
    std::fprintf(stderr, "error: %s\n", isRight.status().message().c_str());
  return isRight.ok() && *isRight ? 0 : 1;
}
