#include "runtime/device/cuda/CudaPlugin.h"
#include "runtime/format/ProgramFile.h"
#include "runtime/train/Metrics.h"
#include "test/gpu/GpuTools.h"

#include <cstdio>
#include <span>
#include <string>

using namespace titan;

/// Attention by Titan's own kernels, then by whichever library has it. A deterministic gradient of
/// cuDNN's keeps all scores: of 8192 tokens they would be 4 GiB, more than it is given.
static StatusOr<bool> compareAttention() {
  constexpr std::pair<const char *, int64_t> kRuns[] = {
      {"own kernels", 8192}, {"default", 8192}, {"own kernels", 2048}, {"deterministic", 2048}};
  gpu::AttentionComparison comparison;
  bool isRight = true;
  for (const auto &[name, tokens] : kRuns) {
    GpuOptions options;
    options.deterministic = std::string_view(name) == "deterministic";
    options.ownAttention = std::string_view(name) == "own kernels";
    options.note = [name = name](const std::string &text) {
      std::printf("%s: %s\n", name, text.c_str());
    };
    TITAN_ASSIGN_OR_RETURN(const CudaPlugin plugin, openCudaDevice(options));
    TITAN_ASSIGN_OR_RETURN(const bool agrees, comparison.run(*plugin.device, name, tokens));
    isRight &= agrees;
  }
  return isRight;
}

/// The GPU, NCCL or why it is not found, and the peak that titan-run's MFU is a share of.
static StatusOr<bool> describe() {
  GpuOptions options;
  options.store.set = [](std::string_view, std::string_view) { return okStatus(); };
  options.store.add = [](std::string_view, int64_t amount) { return amount; }; // nobody came before
  TITAN_ASSIGN_OR_RETURN(const CudaPlugin plugin, openCudaDevice(options));
  std::printf("%s\n", plugin.device->describe().c_str());
  const auto plane = plugin.connect();
  std::printf("%s\n", plane.ok() ? (*plane)->describe().c_str()
                                 : ("no NCCL: " + plane.status().message()).c_str());
  if (const auto peak = peakFlops(plugin.device->describe()))
    std::printf("peak: %.4e FLOP/s in bfloat16\n", *peak);
  return true;
}

static StatusOr<bool> run(std::span<const std::string> arguments) {
  if (arguments[0] == "attention")
    return compareAttention();
  if (arguments[0] == "describe")
    return describe();
  GpuOptions options;
  options.searchesGemms = arguments[0] == "classes";
  // As titan-run has it, so that what that has found is what is timed.
  if (options.searchesGemms)
    options.gemmFolder = arguments[1] + ".gemms";
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
      !(arguments.size() == 1 && (arguments[0] == "attention" || arguments[0] == "describe"))) {
    std::fprintf(stderr,
                 "usage: GpuCheck kernels GPU.tbin NUMBERS.safetensors | classes GPU.tbin | "
                 "attention | describe\n");
    return 1;
  }
  const auto isRight = run(arguments);
  if (!isRight.ok())
    std::fprintf(stderr, "error: %s\n", isRight.status().message().c_str());
  return isRight.ok() && *isRight ? 0 : 1;
}
