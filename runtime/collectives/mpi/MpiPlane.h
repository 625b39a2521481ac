// The data plane of ranks that are processes under mpirun, by way of Open MPI.
//
// It lives in a plugin, libtitan_mpi.so, which is built where MPI is found and opened when asked
// for: nothing else of Titan needs MPI.
//
//   mpirun -n 8 titan-run model.tbin
//
// Messages are nonblocking, and a rank sleeps between looks at them, up to half a millisecond.
// Groups need no MPI communicators of their own, so making one waits for nobody: messages of one
// group, operation and phase have a tag of their own. Reductions are computed by the rank that owns
// a part, in the order of the ranks, with the same code as `local`: the bits are the same.
//
// After a failure MPI may still read the sources of sends that were under way: the process should
// end. Ranks that start different operations are not found out unless a message is too long.
#pragma once

#include "runtime/collectives/Communicator.h"

#include <memory>
#include <string>

namespace titan {

struct MpiOptions {
  /// The plugin; empty: ../lib beside the executable's folder, then where the system looks.
  std::string library;
  /// Longer messages are cut; at most 2^31 - 1, the most that MPI counts.
  int64_t maxMessageBytes = int64_t{1} << 30;
  /// MPI's own end waits for all processes, so after a failure it is left out, and mpirun reports
  /// that. True where all are known to live.
  bool finalizeAfterFailure = false;
};

/// Opens the plugin and connects to the other processes of mpirun, once per process; a process
/// without mpirun is a job of one rank. The plane and its communicators are for one thread at a
/// time and end before the plane. Errors (unavailable) name the missing library and how to get it,
/// or what MPI says.
StatusOr<std::unique_ptr<DataPlane>> openMpiPlane(const MpiOptions &options = {});

/// What the plugin exports under these names.
inline constexpr const char *kMpiVersionSymbol = "titanMpiVersion";
inline constexpr const char *kMpiConnectSymbol = "titanMpiConnect";
/// Of this interface: changes with any class that crosses it.
inline constexpr int kMpiInterfaceVersion = 2;
using MpiConnectFunction = void(const MpiOptions &options, Status &status,
                                std::unique_ptr<DataPlane> &plane);

} // namespace titan
