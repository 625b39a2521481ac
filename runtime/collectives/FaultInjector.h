// Faults on purpose, for tests of what a job does about real ones:
// --debug.inject=rank:3,step:7,collective:12,kill
#pragma once

#include "runtime/base/Status.h"
#include "runtime/collectives/Communicator.h"
#include "runtime/collectives/Futex.h"

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace titan {

enum class FaultKind {
  kill, ///< the rank is gone, without a word
  hang, ///< the rank goes no further until the job is aborted
  slow, ///< the rank is a second late
  nan,  ///< the first element of the collective's first floating point source becomes NaN
};

/// Before the `collective`-th start (from 1) of job rank `rank` in step `step`.
struct Fault {
  int rank = 0;
  int64_t step = 0;
  int64_t collective = 1;
  FaultKind kind = FaultKind::kill;
};

/// Parses "rank:3,step:7,collective:12,kill", fields in any order, each once. Errors (invalid
/// argument) name the field, the value found and what is legal.
StatusOr<Fault> parseFault(std::string_view text);

/// The faults of one rank.
class FaultInjector {
public:
  /// What a killed rank is: a thread that returns (start gives a Status of code killed, which the
  /// thread passes up to its end without telling anyone), or a process that gets SIGKILL.
  enum class Kill { thread, process };

  FaultInjector(int rank, const std::optional<Fault> &fault, Kill kill);

  /// The step that the starts from now on belong to; counts collectives from 1 again.
  void setStep(int64_t step);

  /// Called before each start of the rank, of whatever communicator of `plane`. Ok means: go on.
  Status beforeStart(const CollectiveOperation &operation, std::span<std::byte *const> bases,
                     DataPlane &plane);

  /// Ends a hang: the hanging start fails (unavailable). From any thread.
  void release();

private:
  void sleep(std::chrono::nanoseconds time);
  Status poison(const CollectiveOperation &operation, std::span<std::byte *const> bases,
                DataPlane &plane) const;

  std::optional<Fault> fault; ///< none for other ranks
  Kill kill;
  int64_t step = 0;
  int64_t starts = 0; ///< in this step
  std::atomic<bool> released{false};
  EventCount changed;
};

} // namespace titan
