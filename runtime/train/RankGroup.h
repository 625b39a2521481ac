// What the trainers of all ranks of a job do together, beside the program itself.
#pragma once

#include "runtime/collectives/Communicator.h"
#include "runtime/device/Device.h"

namespace titan {

/// All ranks must call the same functions in the same order. With one rank nothing is exchanged.
class RankGroup {
public:
  /// `plane` is null for one rank; it moves memory of `device`. Both outlive the group.
  static StatusOr<std::unique_ptr<RankGroup>> create(DataPlane *plane, Device &device,
                                                     const CommunicatorOptions &options);
  RankGroup(const RankGroup &) = delete;
  RankGroup &operator=(const RankGroup &) = delete;

  int rank() const { return plane ? plane->rank() : 0; }
  int size() const { return plane ? plane->size() : 1; }
  bool isFirst() const { return rank() == 0; }

  /// Connects the plane's communicators and returns when all ranks are here; the timeout counts
  /// instead of the group's own.
  Status meet(std::chrono::milliseconds timeout);
  /// Whether any rank's flag is set. Allocates nothing.
  StatusOr<bool> any(bool flag);
  /// Every rank's values become the sums over the ranks.
  Status sum(std::span<float> values);

private:
  RankGroup(DataPlane *plane, Device &device) : plane(plane), device(device) {}

  Status reduce(Communicator &communicator, OperationId operation, std::byte *memory,
                std::span<std::byte> values);

  DataPlane *plane;
  Device &device;
  std::unique_ptr<DeviceMemory> flag;    ///< exchanged by any()
  std::unique_ptr<DeviceMemory> scratch; ///< of sum(); allocated when it is first called
  OperationId flagOperation = 0, sumOperation = 0;
  std::unique_ptr<Communicator> communicator; ///< ends before the memory that it uses
};

} // namespace titan
