#include "runtime/device/cuda/Nccl.h"

#include "runtime/device/cuda/LibrarySearch.h"

#include <thread>
#include <vector>

namespace titan::cuda {

int ncclType(DType type) {
  for (const auto &[known, nccl] : kNcclTypes)
    if (known == type)
      return nccl;
  return kNcclUint8; // all others have one byte
}

StatusOr<std::unique_ptr<Nccl>> Nccl::open(const std::string &name) {
  const std::string names[] = {name.empty() ? kNcclLibrary : name};
  auto library = openCudaLibrary(names, "nccl");
  if (!library.ok())
    return library.status().withContext("NCCL " + libraryVersion(kOldestNccl) +
                                        " or newer, which connects GPUs, is missing");
  std::unique_ptr<Nccl> nccl(new Nccl(*std::move(library)));
#define TITAN_NCCL(result, name, parameters)                                                       \
  {                                                                                                \
    TITAN_ASSIGN_OR_RETURN(nccl->name, nccl->library.function<result parameters>(#name));          \
  }
#include "runtime/device/cuda/NcclFunctions.def"
#undef TITAN_NCCL
  TITAN_RETURN_IF_ERROR(
      nccl->check(nccl->ncclGetVersion(&nccl->version), "ncclGetVersion", nullptr));
  TITAN_RETURN_IF_ERROR(checkLibraryVersion("NCCL", nccl->version, kOldestNccl));
  return nccl;
}

Status Nccl::check(int result, const char *what, NcclHandle communicator) const {
  if (result == kNcclSuccess || result == kNcclInProgress)
    return okStatus();
  const char *text = ncclGetErrorString(result);
  const char *detail = ncclGetLastError(communicator);
  std::string message = std::string(what) + ": " + (text ? text : "unknown error") + " (" +
                        std::to_string(result) + ")";
  if (detail && detail[0])
    message += ": " + std::string(detail);
  // The other process is gone, or the way to it.
  return result == kNcclRemoteError ? Status(StatusCode::deadlineExceeded, message)
                                    : internalError(message);
}

std::string Nccl::describeVersion() const { return libraryVersion(version); }

void Nccl::abortAll(std::span<const NcclHandle> communicators) const {
  std::vector<std::jthread> threads;
  for (const NcclHandle communicator : communicators)
    threads.emplace_back([this, communicator] { ncclCommAbort(communicator); });
}

} // namespace titan::cuda
