// Modules: the program's, from its machine code or its PTX, and those of this folder.
#include "runtime/device/cuda/CudaDevice.h"
#include "runtime/device/cuda/CudaMemory.h"

#include <algorithm>

namespace titan::cuda {
namespace {

constexpr const char *kBuiltinSources[] = {
#include "runtime/device/cuda/kernels/Attention.ptx.inc"
    ,
#include "runtime/device/cuda/kernels/FlashAttention.ptx.inc"
    ,
#include "runtime/device/cuda/kernels/Memory.ptx.inc"
};

/// 90 of "cuda:sm_90"; nothing if the text is no such target.
std::optional<int> architectureOf(std::string_view target) {
  constexpr std::string_view prefix = "cuda:sm_";
  if (!target.starts_with(prefix) || target.size() == prefix.size())
    return std::nullopt;
  int number = 0;
  for (const char digit : target.substr(prefix.size())) {
    if (digit < '0' || digit > '9' || number > 10000)
      return std::nullopt;
    number = 10 * number + (digit - '0');
  }
  return number;
}

/// Machine code begins as every ELF file; PTX is text with a zero behind it.
bool isMachineCode(const format::Image &image) {
  return image.contents.starts_with("\x7f"
                                    "ELF");
}

class LaunchPlan final : public CudaPlan {
public:
  LaunchPlan(const Driver &driver, const std::vector<KernelStage> &stages,
             std::vector<DeviceAddress> arguments)
      : driver(driver), stages(stages), arguments(std::move(arguments)) {
    for (DeviceAddress &argument : this->arguments)
      parameters.push_back(&argument);
  }

  Status enqueue(Stream stream) override {
    for (const KernelStage &stage : stages)
      TITAN_CUDA_CHECK(driver, cuLaunchKernel(stage.function, stage.blocks, 1, 1, stage.threads, 1,
                                              1, 0, stream, parameters.data(), nullptr));
    return okStatus();
  }

private:
  const Driver &driver;
  const std::vector<KernelStage> &stages;
  std::vector<DeviceAddress> arguments;
  std::vector<void *> parameters; ///< pointers to the arguments
};

} // namespace

StatusOr<Module> loadModule(const Driver &driver, const void *text) {
  char log[4096] = {};
  int options[] = {kErrorLogBuffer, kErrorLogBufferBytes};
  void *values[] = {log, reinterpret_cast<void *>(sizeof(log))};
  Module module = nullptr;
  Status status = driver.check(driver.cuModuleLoadDataEx(&module, text, 2, options, values),
                               "cuModuleLoadDataEx");
  if (status.ok())
    return module;
  log[sizeof(log) - 1] = 0;
  return log[0] ? Status(status.code(), status.message() + ": " + log) : status;
}

Status BuiltinKernels::load() {
  for (const char *source : kBuiltinSources) {
    auto module = loadModule(driver, source);
    if (!module.ok())
      return module.status().withContext("kernels of the CUDA plugin");
    modules.push_back(*module);
  }
  return okStatus();
}

void BuiltinKernels::unload() {
  for (Module module : modules)
    driver.cuModuleUnload(module);
  modules.clear();
}

StatusOr<FunctionHandle> BuiltinKernels::find(const std::string &name) const {
  FunctionHandle function = nullptr;
  for (Module module : modules)
    if (driver.cuModuleGetFunction(&function, module, name.c_str()) == kSuccess)
      return function;
  return internalError("the CUDA plugin has no kernel '" + name + "'");
}

StatusOr<std::vector<const format::Image *>>
CudaDevice::chooseImages(const format::Program &program) const {
  const std::string own = std::to_string(10 * major + minor);
  const std::string advice = ": compile the job again with --target=cuda:sm_" + own;
  if (program.target != "cuda")
    return invalidArgument("the program is for target '" + program.target +
                           "', this device is 'cuda'" + advice);
  std::vector<const format::Image *> machineCode, text;
  for (const format::Image &image : program.images) {
    const std::optional<int> architecture = architectureOf(image.target);
    if (!architecture)
      return invalidArgument("image '" + image.name + "' is for target '" + image.target +
                             "', which is none of cuda:sm_80 and so on");
    // Machine code runs where only the minor number is above its own; the driver translates PTX for
    // all that is newer.
    if (isMachineCode(image) && *architecture / 10 == major && *architecture % 10 <= minor)
      machineCode.push_back(&image);
    if (!isMachineCode(image) && *architecture <= 10 * major + minor &&
        image.contents.ends_with('\0'))
      text.push_back(&image);
  }
  machineCode.insert(machineCode.end(), text.begin(), text.end());
  if (machineCode.empty())
    return invalidArgument(
        "no image of the program runs on " + name + " (sm_" + own + "), the first is for " +
        (program.images.empty() ? "nothing" : program.images.front().target) + advice);
  return machineCode;
}

StatusOr<Module> CudaDevice::loadImages(const format::Program &program) const {
  TITAN_ASSIGN_OR_RETURN(const std::vector<const format::Image *> images, chooseImages(program));
  Status failure;
  for (const format::Image *image : images) {
    auto module = loadModule(driver, image->contents.data());
    if (module.ok())
      return module;
    // Machine code of a newer toolkit than the driver's; PTX is the older one's too.
    failure = module.status().withContext("image '" + image->name + "'");
  }
  return failure;
}

StatusOr<std::unique_ptr<KernelTable>> CudaDevice::loadKernels(const format::Program &program) {
  if (program.kernels.empty() && program.target == "cuda")
    return std::unique_ptr<KernelTable>(std::make_unique<CudaKernelTable>(driver, nullptr));
  TITAN_ASSIGN_OR_RETURN(const Module module, loadImages(program));
  auto table = std::make_unique<CudaKernelTable>(driver, module);
  for (const format::Kernel &kernel : program.kernels) {
    std::vector<KernelStage> &stages = table->kernels.emplace_back();
    for (const format::Stage &stage : kernel.stages) {
      KernelStage &loaded = stages.emplace_back();
      loaded.blocks = static_cast<unsigned>(stage.blocks);
      loaded.threads = static_cast<unsigned>(stage.threads);
      if (stage.blocks < 1 || stage.blocks > 0x7fffffff || stage.threads < 1)
        return invalidArgument("stage '" + stage.symbol + "' has " + std::to_string(stage.blocks) +
                               " blocks of " + std::to_string(stage.threads) +
                               " threads; a GPU takes 1 to 2147483647 of 1 to 1024");
      TITAN_RETURN_IF_ERROR(driver
                                .check(driver.cuModuleGetFunction(&loaded.function, table->module,
                                                                  stage.symbol.c_str()),
                                       "cuModuleGetFunction")
                                .withContext("kernel '" + stage.symbol + "'"));
      // Asking for an attribute loads a function that the driver would load when it is first met.
      int registers = 0;
      TITAN_CUDA_CHECK(driver,
                       cuFuncGetAttribute(&registers, kRegistersAttribute, loaded.function));
    }
  }
  return std::unique_ptr<KernelTable>(std::move(table));
}

StatusOr<std::unique_ptr<Plan>> prepareLaunch(CudaDevice &device, const format::Launch &op,
                                              std::span<const Operand> operands,
                                              const CudaKernelTable &kernels) {
  std::vector<DeviceAddress> arguments;
  for (uint32_t buffer : op.buffers)
    arguments.push_back(addressOf(operands[buffer].data));
  return std::unique_ptr<Plan>(
      std::make_unique<LaunchPlan>(device.api(), kernels.kernels[op.kernel], std::move(arguments)));
}

} // namespace titan::cuda
