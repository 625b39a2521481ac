// A program's collectives, prepared for one rank.
#pragma once

#include "runtime/collectives/Communicator.h"
#include "runtime/device/Device.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace titan {

/// A collective that is ready to be started and awaited.
struct PreparedCollective {
  Communicator *communicator = nullptr;
  OperationId operation = 0;

  Status start() const { return communicator->start(operation); }
  Status await() const { return communicator->await(operation); }
};

/// Makes communicators as groups are first met, one per set of mesh axes and channel, and prepares
/// operations for the very addresses that they will use.
class CollectiveTable {
public:
  /// `plane` is null for one rank, which has no collectives. Program and plane outlive the table.
  CollectiveTable(const format::Program &program, DataPlane *plane, CommunicatorOptions options)
      : program(program), plane(plane), options(std::move(options)) {}

  /// `operands` are all buffers of the function that the start stands in.
  StatusOr<PreparedCollective> prepare(const format::Start &start,
                                       std::span<const Operand> operands);

private:
  StatusOr<Communicator *> getCommunicator(const std::vector<std::string> &axes, int64_t channel);

  const format::Program &program;
  DataPlane *plane;
  CommunicatorOptions options;
  std::map<int, std::unique_ptr<Communicator>> communicators; ///< by their ids
};

} // namespace titan
