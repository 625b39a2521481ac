#include "runtime/train/RankGroup.h"

#include <numeric>

namespace titan {

/// Above the masks of mesh axes: this group is no communicator of the program.
static constexpr int kGroupId = 1023;

StatusOr<std::unique_ptr<RankGroup>> RankGroup::create(DataPlane *plane,
                                                       const CommunicatorOptions &options) {
  std::unique_ptr<RankGroup> group(new RankGroup(plane));
  if (!plane)
    return group;
  CommunicatorGroup all;
  all.name = "all ranks";
  all.id = kGroupId;
  all.ranks.resize(static_cast<size_t>(plane->size()));
  std::iota(all.ranks.begin(), all.ranks.end(), 0);
  TITAN_ASSIGN_OR_RETURN(group->communicator, plane->createCommunicator(all, options));
  const BufferAddress address = BufferAddress::fixed(reinterpret_cast<std::byte *>(&group->flag));
  TITAN_ASSIGN_OR_RETURN(
      group->flagOperation,
      group->communicator->prepare({.collective = format::Collective::allReduce,
                                    .reduction = format::Reduction::max,
                                    .pairs = {{DType::i32, address, address, 1, 1}}}));
  return group;
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
