#include "runtime/device/cuda/NcclPlane.h"

#include "runtime/base/Hash.h"
#include "runtime/device/cuda/NcclCommunicator.h"

#include <cstdio>

namespace titan::cuda {

/// Between two looks of the watchdog.
static constexpr std::chrono::milliseconds kWatchInterval(20);

/// As nvidia-smi -L writes it, but for what stands before it.
static std::string toString(const DeviceUuid &uuid) {
  std::string text;
  for (size_t i = 0; i < sizeof(uuid.bytes); ++i) {
    char digits[4];
    std::snprintf(digits, sizeof(digits), "%02x", uuid.bytes[i]);
    text += (i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "") + std::string(digits);
  }
  return text;
}

/// A GPU belongs to the first rank that comes with it: NCCL would refuse the second in words of its
/// own, and where the two share no group of ranks, not at all.
static Status claimGpu(const CudaDevice &device, const KeyValueStore &store) {
  DeviceUuid uuid;
  TITAN_CUDA_CHECK(device.api(), cuDeviceGetUuid(&uuid, device.number()));
  const std::string text = toString(uuid), key = "titan/gpu/" + text, owner = key + "/rank";
  TITAN_ASSIGN_OR_RETURN(const int64_t claims, store.add(key, 1));
  if (claims == 1)
    return store.set(owner, std::to_string(store.rank));
  TITAN_ASSIGN_OR_RETURN(const std::string first, store.get(owner, std::chrono::minutes(1)));
  const std::string own = std::to_string(store.rank);
  if (first == own)
    return okStatus();
  return invalidArgument("ranks " + first + " and " + own + " have the same GPU, " +
                         std::to_string(device.number()) + " (" + text +
                         "), and each rank needs one of its own; start at most as many processes "
                         "on a host as it has GPUs, and let CUDA_VISIBLE_DEVICES show each process "
                         "all of them, or its own alone");
}

void NcclContext::fail(const Status &status) {
  {
    const std::lock_guard lock(reasonMutex);
    if (!reason.ok())
      return;
    reason = status;
    failed.store(true);
  }
  changed.notify();
}

Status NcclContext::poll() const {
  const std::lock_guard lock(reasonMutex);
  return reason;
}

StatusOr<std::unique_ptr<DataPlane>> NcclPlane::open(CudaDevice &device,
                                                     const KeyValueStore &store) {
  TITAN_ASSIGN_OR_RETURN(std::unique_ptr<Nccl> nccl, Nccl::open(device.settings().nccl));
  TITAN_RETURN_IF_ERROR(claimGpu(device, store));
  auto context = std::make_shared<NcclContext>(device, store, std::move(nccl));
  TITAN_ASSIGN_OR_RETURN(context->probe, device.allocate(format::Space::device, 2));
  return std::unique_ptr<DataPlane>(new NcclPlane(std::move(context)));
}

NcclPlane::NcclPlane(std::shared_ptr<NcclContext> context)
    : context(std::move(context)), watchdog([this] { watch(); }) {}

NcclPlane::~NcclPlane() {
  ended.store(true);
  context->changed.notify();
  watchdog.join();
}

std::string NcclPlane::describe() const {
  return "NCCL " + context->library->describeVersion() + ", " + std::to_string(size()) +
         (size() == 1 ? " rank" : " ranks");
}

StatusOr<std::unique_ptr<Communicator>>
NcclPlane::createCommunicator(const CommunicatorGroup &group, const CommunicatorOptions &options) {
  TITAN_ASSIGN_OR_RETURN(const int member, checkGroup(group, options, rank(), size()));
  Hasher hasher;
  for (const int each : group.ranks)
    hasher.update(static_cast<uint64_t>(each));
  std::string key =
      "titan/nccl/" + std::to_string(group.id) + "/" + std::to_string(hasher.digest());
  {
    const std::lock_guard lock(context->mutex);
    TITAN_RETURN_IF_ERROR(claimId(context->ids, group, rank()));
    key += "/" + std::to_string(context->generations[key]++);
  }
  return std::unique_ptr<Communicator>(
      std::make_unique<NcclCommunicator>(context, group, member, options, std::move(key)));
}

Status NcclPlane::connect(std::chrono::milliseconds timeout) {
  // This thread alone makes and ends communicators. All ranks go through those that they share in
  // one order, that of the groups' ids: an exchange waits for the other rank's, and nobody may wait
  // for one who waits for him.
  const auto deadline = EventCount::Clock::now() + timeout;
  for (const auto &[id, communicator] : context->communicators)
    TITAN_RETURN_IF_ERROR(communicator->beginConnect(deadline));
  for (const auto &[id, communicator] : context->communicators)
    TITAN_RETURN_IF_ERROR(communicator->finishConnect(deadline));
  for (const auto &[id, communicator] : context->communicators)
    TITAN_RETURN_IF_ERROR(communicator->exchangeFirst(deadline));
  return okStatus();
}

void NcclPlane::abort(const std::string &reason) { context->fail(unavailable(reason)); }

/// With the context's mutex.
void NcclPlane::abortAll() {
  std::vector<NcclHandle> handles;
  for (const auto &[id, communicator] : context->communicators)
    for (const NcclHandle handle : communicator->takeHandles())
      handles.push_back(handle);
  context->library->abortAll(handles);
}

void NcclPlane::watch() {
  context->driver().cuCtxSetCurrent(context->device.currentContext());
  while (!ended.load()) {
    const uint32_t seen = context->changed.current();
    {
      const std::lock_guard lock(context->mutex);
      if (context->failed.load())
        abortAll();
      else
        for (const auto &[id, communicator] : context->communicators)
          communicator->watch();
    }
    context->changed.wait(seen, EventCount::Clock::now() + kWatchInterval);
  }
}

} // namespace titan::cuda
