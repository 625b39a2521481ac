// The one thread pool of a CPU rank: every kernel, generated or written by hand, runs on it.
#pragma once

#include "runtime/base/FunctionRef.h"

#include <atomic>
#include <cstdint>
#include <limits>
#include <thread>
#include <vector>

namespace titan::cpu {

/// N workers, of which worker 0 is the thread that calls. A call allocates nothing. Idle workers
/// watch for work for about 20 us and then sleep in the kernel, so an idle pool takes no time from
/// anyone else.
///
/// One call at a time, from one thread; a body must not call the pool it runs on. Bodies must not
/// throw.
class ThreadPool {
public:
  static constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

  /// A pool of max(threads, 1) workers, max(threads, 1) - 1 of them new threads.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool &) = delete;
  ThreadPool &operator=(const ThreadPool &) = delete;

  int size() const { return static_cast<int>(workers.size()) + 1; }

  /// Calls `body(begin, end, worker)` for ranges that cover [0, blocks) once, and returns when all
  /// are done. Ranges are handed out in ascending order as workers become free; they shrink
  /// towards the end and hold at most `maxRange` blocks (1 for few, uneven blocks). Which worker
  /// gets which range is not fixed. A worker that wakes too late to help is not waited for.
  void parallelFor(int64_t blocks, FunctionRef<void(int64_t begin, int64_t end, int worker)> body,
                   int64_t maxRange = kUnlimited);

  /// Calls `body(worker)` once on every worker at the same time: for kernels with phases, which
  /// they separate by barrier().
  void runOnAll(FunctionRef<void(int worker)> body);

  /// Within runOnAll: returns when every worker has called it. What was written before it is
  /// visible after it.
  void barrier();

private:
  /// What a worker does with the region that is open.
  using Region = FunctionRef<void(int worker)>;

  void workerMain(int worker);
  void openRegion(const Region &body);
  void closeRegion(bool awaitAll);
  bool joinRegion(uint64_t &lastGeneration);

  // Layout of `state`: bits 0-15 workers inside the region, 16-31 workers that have joined it,
  // 32 the region is open, 33-63 its number.
  std::atomic<uint64_t> state{0};
  std::atomic<uint32_t> wakeWord{0}; ///< changes with every region: what idle workers watch
  std::atomic<uint32_t> idleSleepers{0};
  std::atomic<uint32_t> doneWord{0}; ///< changes when a worker leaves a region
  std::atomic<uint32_t> callerSleeps{0};
  alignas(64) std::atomic<uint32_t> barrierArrived{0};
  std::atomic<uint32_t> barrierWord{0}; ///< changes when a barrier opens
  std::atomic<uint32_t> barrierSleepers{0};
  std::atomic<bool> stopping{false};
  const Region *region = nullptr;
  std::vector<std::thread> workers;
};

} // namespace titan::cpu
