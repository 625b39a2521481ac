#include "runtime/exec/CollectiveTable.h"

namespace titan {

StatusOr<Communicator *> CollectiveTable::getCommunicator(const std::vector<std::string> &axes) {
  if (!plane)
    return invalidArgument("a collective needs the other ranks of the mesh, but there is one rank");
  TITAN_ASSIGN_OR_RETURN(const int mask, axesMask(program.mesh, axes));
  std::unique_ptr<Communicator> &communicator = communicators[mask];
  if (communicator)
    return communicator.get();
  TITAN_ASSIGN_OR_RETURN(MeshGroup members, meshGroup(program.mesh, axes, plane->rank()));
  CommunicatorGroup group;
  for (const std::string &axis : axes)
    group.name += (group.name.empty() ? "" : " x ") + axis;
  group.ranks = std::move(members.ranks);
  group.id = mask;
  TITAN_ASSIGN_OR_RETURN(communicator, plane->createCommunicator(group, options));
  return communicator.get();
}

StatusOr<PreparedCollective> CollectiveTable::prepare(const format::Start &start,
                                                      std::span<const Operand> operands) {
  PreparedCollective prepared;
  TITAN_ASSIGN_OR_RETURN(prepared.communicator, getCommunicator(start.axes));
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
