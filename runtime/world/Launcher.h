// Which rank this process is, and where the ranks meet: what a launcher's environment says.
#pragma once

#include "runtime/base/FunctionRef.h"
#include "runtime/base/Status.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace titan {

enum class LauncherKind { none, slurm, torchrun, openMpi };

/// "Slurm" and the like; "no launcher" for none.
const char *toString(LauncherKind kind);

/// Where rank 0 listens: an address, or a file through which it publishes one.
struct Rendezvous {
  std::string host;  ///< name or address; empty with a file
  uint16_t port = 0; ///< 1 to 65535; 0 with a file
  /// Ranks of one host may meet through a file in place of an address: rank 0 takes a free port of
  /// the loopback interface and writes it there. Empty for an address.
  std::string file;

  /// "node7:29500", "the file /tmp/...".
  std::string describe() const;
};

struct LaunchInfo {
  int rank = 0;      ///< 0 to worldSize - 1
  int worldSize = 1; ///< processes of the job
  int localRank = 0; ///< number of this process on its host
  int localSize = 1; ///< processes on this host; worldSize if the launcher does not say
  LauncherKind kind = LauncherKind::none;
  Rendezvous rendezvous; ///< meaningful when worldSize > 1
  /// Equal on all ranks of a job and different for another job: what meets by mistake is refused.
  std::string job;
};

/// An environment variable's value, or nothing if it is not set.
using Environment = FunctionRef<std::optional<std::string>(const std::string &)>;

/// Reads the environment of the innermost launcher: torchrun before Open MPI before Slurm, since
/// mpirun and torchrun may themselves run under Slurm. A process that srun did not start (a batch
/// script, a login shell) is alone even where Slurm's variables are set.
///
/// Where the ranks meet:
///   Slurm      the first host of SLURM_STEP_NODELIST, else of SLURM_JOB_NODELIST, and a port
///              computed from job and step
///   torchrun   MASTER_ADDR, and a port computed from MASTER_PORT, which torchrun's agent holds
///   Open MPI   on one host a file named by the job; on several TITAN_RENDEZVOUS is needed
/// TITAN_RENDEZVOUS=HOST:PORT takes the place of all that; with `:PORT` the host is kept.
///
/// Errors are of code invalidArgument and name the variable, its value, the rule and a legal value.
StatusOr<LaunchInfo> detectLaunch(Environment environment);

/// Of this process's own environment.
StatusOr<LaunchInfo> detectLaunch();

/// The first host of Slurm's list: "node07" of "node[07-09,12],gpu1". Brackets may stand anywhere
/// and more than once in a name. Fails on what is no such list.
StatusOr<std::string> firstSlurmHost(std::string_view list);

} // namespace titan
