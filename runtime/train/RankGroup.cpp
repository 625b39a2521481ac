#include "runtime/train/RankGroup.h"

#include <algorithm>
#include <numeric>

namespace titan {

// Above the masks of mesh axes: these groups are no communicators of the program.
static constexpr int kGroupId = 1023, kMeetingId = 1022;
/// That sum() exchanges at a time.
static constexpr int64_t kSumElements = int64_t{1} << 18;

static CommunicatorGroup allRanks(const DataPlane &plane, int id) {
  CommunicatorGroup all;
  all.name = "all ranks";
  all.id = id;
  all.ranks.resize(static_cast<size_t>(plane.size()));
  std::iota(all.ranks.begin(), all.ranks.end(), 0);
  return all;
}

/// An all-reduce in place.
static CollectiveOperation reduction(format::Reduction reduction, DType type, std::byte *memory,
                                     int64_t count) {
  const BufferAddress address = BufferAddress::fixed(memory);
  return {.collective = format::Collective::allReduce,
          .reduction = reduction,
          .pairs = {{type, address, address, count, count}}};
}

StatusOr<std::unique_ptr<RankGroup>> RankGroup::create(DataPlane *plane, Device &device,
                                                       const CommunicatorOptions &options) {
  std::unique_ptr<RankGroup> group(new RankGroup(plane, device));
  if (!plane)
    return group;
  TITAN_ASSIGN_OR_RETURN(group->flag, device.allocate(format::Space::device, sizeof(int32_t)));
  TITAN_ASSIGN_OR_RETURN(group->communicator,
                         plane->createCommunicator(allRanks(*plane, kGroupId), options));
  TITAN_ASSIGN_OR_RETURN(group->flagOperation,
                         group->communicator->prepare(reduction(format::Reduction::max, DType::i32,
                                                                group->flag->data(), 1)));
  return group;
}

/// Runs an operation in place on `memory`, which gets the values and gives the result.
Status RankGroup::reduce(Communicator &communicator, OperationId operation, std::byte *memory,
                         std::span<std::byte> values) {
  TITAN_RETURN_IF_ERROR(device.copyToDevice(memory, values));
  TITAN_RETURN_IF_ERROR(communicator.start(operation));
  TITAN_RETURN_IF_ERROR(communicator.await(operation));
  TITAN_RETURN_IF_ERROR(device.copyToHost(values, memory));
  return plane->poll();
}

Status RankGroup::meet(std::chrono::milliseconds timeout) {
  if (!plane)
    return okStatus();
  TITAN_ASSIGN_OR_RETURN(const std::unique_ptr<DeviceMemory> memory,
                         device.allocate(format::Space::device, sizeof(int32_t)));
  TITAN_ASSIGN_OR_RETURN(const std::unique_ptr<Communicator> meeting,
                         plane->createCommunicator(allRanks(*plane, kMeetingId),
                                                   {.timeout = timeout, .parallelFor = {}}));
  TITAN_ASSIGN_OR_RETURN(
      const OperationId operation,
      meeting->prepare(reduction(format::Reduction::max, DType::i32, memory->data(), 1)));
  TITAN_RETURN_IF_ERROR(plane->connect(timeout));
  int32_t nothing = 0;
  return reduce(*meeting, operation, memory->data(),
                std::as_writable_bytes(std::span(&nothing, 1)));
}

StatusOr<bool> RankGroup::any(bool value) {
  if (!communicator)
    return value;
  int32_t number = value;
  TITAN_RETURN_IF_ERROR(reduce(*communicator, flagOperation, flag->data(),
                               std::as_writable_bytes(std::span(&number, 1))));
  return number != 0;
}

Status RankGroup::sum(std::span<float> values) {
  if (!communicator)
    return okStatus();
  if (!scratch) {
    TITAN_ASSIGN_OR_RETURN(scratch,
                           device.allocate(format::Space::device, kSumElements * int64_t{4}));
    TITAN_ASSIGN_OR_RETURN(sumOperation,
                           communicator->prepare(reduction(format::Reduction::sum, DType::f32,
                                                           scratch->data(), kSumElements)));
  }
  // What lies behind a last, shorter part is added too, and read by nobody.
  while (!values.empty()) {
    const auto part = values.first(std::min(values.size(), static_cast<size_t>(kSumElements)));
    TITAN_RETURN_IF_ERROR(
        reduce(*communicator, sumOperation, scratch->data(), std::as_writable_bytes(part)));
    values = values.subspan(part.size());
  }
  return okStatus();
}

} // namespace titan
