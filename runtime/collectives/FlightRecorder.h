// What a rank's last collectives were, for the post-mortem of a job that hangs or dies.
//
// A rank registers its operations when they are prepared, and then notes each start, await and end
// in a ring of fixed size: no allocation, no lock. Any thread may write the ring to a file at any
// time, also while the rank goes on or hangs.
//
// The file has one JSON object per line, oldest first:
//
//   {"rank":3,"number":17,"step":7,"collective":"all_gather","group":"dp_shard of ranks 1 and 3",
//    "sequence":4,"bytes":1024,"state":"awaited","started":1712.000102,"awaited":1712.000460}
//
// number counts all collectives of the rank, from 1; sequence is the one within the group that
// other ranks' files have too; times are seconds since 1970. States: started, awaited (the rank
// waits in it), done, failed.
#pragma once

#include "runtime/base/Status.h"

#include <atomic>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

namespace titan {

class FlightRecorder {
public:
  /// Remembers the last `capacity` (at least 1) collectives of job rank `rank`.
  explicit FlightRecorder(int rank, int capacity = 256);

  /// Returns the handle of an operation. `collective` and `group` are for the file. Allocates.
  int addOperation(std::string collective, std::string group, int64_t bytes);

  /// One thread at a time; these allocate nothing.
  void setStep(int64_t step) { currentStep.store(step, std::memory_order_relaxed); }
  /// Returns the number that names this collective in the calls below.
  uint64_t started(int operation, uint64_t sequence);
  void awaited(uint64_t number);
  void finished(uint64_t number, bool ok);

  /// The lines of the file, from any thread. An entry that is overwritten meanwhile is left out.
  std::string toJsonLines() const;
  /// Whether the rank waits for others in an await, or did until that failed. From any thread.
  bool isWaiting() const { return waiting.load(); }
  /// Writes the file, and its folder if there is none.
  Status dump(const std::filesystem::path &file) const;

private:
  enum class State : uint32_t { started, awaited, done, failed };
  struct OperationInfo {
    std::string collective, group;
    int64_t bytes;
  };
  /// Valid while `number` is the same before and after the rest is read.
  struct Entry {
    std::atomic<uint64_t> number{0};
    std::atomic<int> operation{0};
    std::atomic<State> state{State::started};
    std::atomic<int64_t> step{0};
    std::atomic<uint64_t> sequence{0};
    std::atomic<int64_t> startTime{0}, awaitTime{0}, endTime{0}; ///< nanoseconds since 1970
  };

  Entry &entryOf(uint64_t number) { return ring[(number - 1) % ring.size()]; }
  std::string line(const Entry &entry, uint64_t number) const;

  const int rank;
  std::vector<Entry> ring;
  std::atomic<uint64_t> latest{0};
  std::atomic<bool> waiting{false};
  std::atomic<int64_t> currentStep{0};
  mutable std::mutex mutex; ///< of `operations`
  std::deque<OperationInfo> operations;
};

} // namespace titan
