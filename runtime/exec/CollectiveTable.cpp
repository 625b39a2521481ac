#include "runtime/exec/CollectiveTable.h"

namespace titan {

// Those above are not of programs: see RankGroup.
static constexpr int kMaxGroupId = 1022;

StatusOr<Communicator *> CollectiveTable::getCommunicator(const std::vector<std::string> &axes,
                                                          int64_t channel) {
  if (!plane)
    return invalidArgument("a collective needs the other ranks of the mesh, but there is one rank");
  TITAN_ASSIGN_OR_RETURN(const int mask, axesMask(program.mesh, axes));
  // Behind the masks of all groups of channel 0.
  const int id = mask + static_cast<int>(channel << program.mesh.size());
  if (id >= kMaxGroupId)
    return invalidArgument("the mesh has " + std::to_string(program.mesh.size()) +
                           " axes, too many for a second channel of a group");
  std::unique_ptr<Communicator> &communicator = communicators[id];
  if (communicator)
    return communicator.get();
  TITAN_ASSIGN_OR_RETURN(MeshGroup members, meshGroup(program.mesh, axes, plane->rank()));
  CommunicatorGroup group;
  for (const std::string &axis : axes)
    group.name += (group.name.empty() ? "" : " x ") + axis;
  group.ranks = std::move(members.ranks);
  if (channel > 0)
    group.name += ", channel " + std::to_string(channel);
  group.id = id;
  TITAN_ASSIGN_OR_RETURN(communicator, plane->createCommunicator(group, options));
  return communicator.get();
}

StatusOr<PreparedCollective> CollectiveTable::prepare(const format::Start &start,
                                                      std::span<const Operand> operands) {
  PreparedCollective prepared;
  TITAN_ASSIGN_OR_RETURN(prepared.communicator, getCommunicator(start.axes, start.channel));
  CollectiveOperation operation;
  operation.collective = start.collective;
  operation.reduction = start.reduction;
  operation.peer = start.peer;
  const size_t pairs = std::max(start.sources.size(), start.destinations.size());
  for (size_t i = 0; i < pairs; ++i) {
    BufferPair pair;
    if (i < start.sources.size()) {
      const Operand &source = operands[start.sources[i]];
      pair.type = source.view->type;
      pair.source = BufferAddress::fixed(source.data);
      pair.sourceCount = source.view->numElements();
    }
    if (i < start.destinations.size()) {
      const Operand &destination = operands[start.destinations[i]];
      pair.type = destination.view->type;
      pair.destination = BufferAddress::fixed(destination.data);
      pair.destinationCount = destination.view->numElements();
    }
    operation.pairs.push_back(pair);
  }
  TITAN_ASSIGN_OR_RETURN(prepared.operation, prepared.communicator->prepare(operation));
  return prepared;
}

} // namespace titan
