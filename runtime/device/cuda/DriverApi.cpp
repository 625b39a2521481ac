#include "runtime/device/cuda/DriverApi.h"

#include <string_view>

namespace titan::cuda {

namespace {

using GetProcAddress = Result(const char *symbol, void **function, int version,
                              unsigned long long flags, int *status);

std::string versionText(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

/// "cuStreamSynchronize(stream)" -> "cuStreamSynchronize".
std::string nameOf(std::string_view call) { return std::string(call.substr(0, call.find('('))); }

} // namespace

StatusOr<Driver> Driver::open(const std::string &name) {
  auto library = DynamicLibrary::open(name);
  if (!library.ok())
    return unavailable("NVIDIA's driver is missing: " + library.status().message() +
                       "; a program for GPUs needs a machine with an NVIDIA GPU and a driver for "
                       "CUDA " +
                       versionText(kOldestDriver) +
                       " or newer; compile the job with --target=cpu to run it on this one");
  Driver driver(*std::move(library));
  TITAN_RETURN_IF_ERROR(driver.resolve().withContext(name));
  TITAN_RETURN_IF_ERROR(driver.check(driver.cuInit(0), "cuInit"));
  return driver;
}

Status Driver::resolve() {
  TITAN_ASSIGN_OR_RETURN(GetProcAddress *const getProcAddress,
                         library.function<GetProcAddress>("cuGetProcAddress_v2"));
  auto find = [&](const char *symbol, auto &function) -> Status {
    void *address = nullptr;
    const Result result = getProcAddress(symbol, &address, kOldestDriver, 0, nullptr);
    if (result != kSuccess || !address)
      return unavailable("the driver has no " + std::string(symbol) + "; needed is one for CUDA " +
                         versionText(kOldestDriver) + " or newer");
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(address);
    return okStatus();
  };
  TITAN_RETURN_IF_ERROR(find("cuDriverGetVersion", cuDriverGetVersion));
  if (const Result result = cuDriverGetVersion(&number); result != kSuccess)
    return internalError("cuDriverGetVersion: error " + std::to_string(result));
  if (number < kOldestDriver)
    return unavailable("the driver is for CUDA " + versionText(number) +
                       "; needed is one for CUDA " + versionText(kOldestDriver) + " or newer");
#define TITAN_DRIVER(name, parameters) TITAN_RETURN_IF_ERROR(find(#name, name));
#include "runtime/device/cuda/DriverFunctions.def"
#undef TITAN_DRIVER
  return okStatus();
}

Status Driver::check(Result result, const char *what) const {
  if (result == kSuccess)
    return okStatus();
  const char *name = nullptr, *text = nullptr;
  if (cuGetErrorName(result, &name) != kSuccess || !name)
    name = "unknown error";
  if (cuGetErrorString(result, &text) != kSuccess || !text)
    text = "no description";
  std::string message = nameOf(what) + ": " + name + " (" + std::to_string(result) + "): " + text;
  if (result == kNoDevice)
    return unavailable(message + "; nvidia-smi lists the GPUs that the driver sees, and "
                                 "CUDA_VISIBLE_DEVICES may hide them");
  return result == kOutOfMemory ? unavailable(message) : internalError(message);
}

} // namespace titan::cuda
