#include "runtime/train/RankGroup.h"

#include <numeric>

namespace titan {

// Above the masks of mesh axes: these groups are no communicators of the program.
static constexpr int kGroupId = 1023, kMeetingId = 1022;

static CommunicatorGroup allRanks(const DataPlane &plane, int id) {
  CommunicatorGroup all;
  all.name = "all ranks";
  all.id = id;
  all.ranks.resize(static_cast<size_t>(plane.size()));
  std::iota(all.ranks.begin(), all.ranks.end(), 0);
  return all;
}

StatusOr<std::unique_ptr<RankGroup>> RankGroup::create(DataPlane *plane,
                                                       const CommunicatorOptions &options) {
  std::unique_ptr<RankGroup> group(new RankGroup(plane));
  if (!plane)
    return group;
  TITAN_ASSIGN_OR_RETURN(group->communicator,
                         plane->createCommunicator(allRanks(*plane, kGroupId), options));
  const BufferAddress address = BufferAddress::fixed(reinterpret_cast<std::byte *>(&group->flag));
  TITAN_ASSIGN_OR_RETURN(
      group->flagOperation,
      group->communicator->prepare({.collective = format::Collective::allReduce,
                                    .reduction = format::Reduction::max,
                                    .pairs = {{DType::i32, address, address, 1, 1}}}));
  return group;
}

Status RankGroup::meet(std::chrono::milliseconds timeout) {
  if (!plane)
    return okStatus();
  int32_t nothing = 0; // outlives the communicator
  TITAN_ASSIGN_OR_RETURN(const std::unique_ptr<Communicator> meeting,
                         plane->createCommunicator(allRanks(*plane, kMeetingId),
                                                   {.timeout = timeout, .parallelFor = {}}));
  const BufferAddress address = BufferAddress::fixed(reinterpret_cast<std::byte *>(&nothing));
  TITAN_ASSIGN_OR_RETURN(const OperationId operation,
                         meeting->prepare({.collective = format::Collective::allReduce,
                                           .reduction = format::Reduction::max,
                                           .pairs = {{DType::i32, address, address, 1, 1}}}));
  TITAN_RETURN_IF_ERROR(meeting->start(operation));
  return meeting->await(operation);
}

StatusOr<bool> RankGroup::any(bool value) {
  if (!communicator)
    return value;
  flag = value;
  TITAN_RETURN_IF_ERROR(communicator->start(flagOperation));
  TITAN_RETURN_IF_ERROR(communicator->await(flagOperation));
  return flag != 0;
}

Status RankGroup::sum(std::span<float> values) {
  if (!communicator)
    return okStatus();
  const BufferAddress address = BufferAddress::fixed(reinterpret_cast<std::byte *>(values.data()));
  const auto count = static_cast<int64_t>(values.size());
  TITAN_ASSIGN_OR_RETURN(
      const OperationId operation,
      communicator->prepare({.collective = format::Collective::allReduce,
                             .reduction = format::Reduction::sum,
                             .pairs = {{DType::f32, address, address, count, count}}}));
  TITAN_RETURN_IF_ERROR(communicator->start(operation));
  return communicator->await(operation);
}

} // namespace titan
