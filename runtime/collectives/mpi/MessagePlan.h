// The messages and the local work of one rank in one collective. No MPI in here.
//
// A collective has one or two phases: messages that go out together, and then local work. With n
// ranks a reduction is an exchange in which each rank gets everyone's contribution to its own part,
// then the sum of those in the order of the ranks; all_reduce gathers the parts in a second phase.
#pragma once

#include "runtime/collectives/Communicator.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace titan::mpi {

struct Message {
  enum class Side : uint8_t { source, destination, workspace };

  bool isSend;
  Side side;
  int peer; ///< rank in the group
  uint32_t pair;
  int64_t offset, bytes; ///< within the buffer, or the workspace
};

/// destination[...] = source[...], within the rank.
struct LocalCopy {
  uint32_t pair;
  int64_t sourceOffset, destinationOffset, bytes;
};

/// The own part of the destination = the reduction of the contributions: the own one in the source,
/// the others in the workspace, one after another in the order of the ranks.
struct LocalReduction {
  uint32_t pair;
  int64_t sourceOffset, destinationOffset, workspaceOffset, count;
};

struct MessagePlan {
  static constexpr int kMaxPhases = 2;

  struct Phase {
    std::vector<Message> messages;
    std::vector<LocalCopy> copies;
    std::vector<LocalReduction> reductions;
  };
  std::vector<Phase> phases;
  int64_t workspaceBytes = 0;
};

/// For rank `rank` of `size`; the operation is checked. No message is longer than `maxBytes`, and
/// none is empty. Both ends of a message come to the same cut and order.
MessagePlan planMessages(const CollectiveOperation &operation, int size, int rank,
                         int64_t maxBytes);

} // namespace titan::mpi
