#include "runtime/device/cpu/ThreadPool.h"

#include <algorithm>
#include <chrono>
#include <climits>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace titan::cpu {

namespace {

constexpr uint64_t kActiveOne = 1;
constexpr uint64_t kActiveMask = 0xffff;
constexpr uint64_t kJoinedOne = uint64_t(1) << 16;
constexpr uint64_t kJoinedMask = uint64_t(0xffff) << 16;
constexpr uint64_t kOpen = uint64_t(1) << 32;
constexpr uint64_t kGenerationOne = uint64_t(1) << 33;

uint64_t generationOf(uint64_t state) { return state / kGenerationOne; }

void futexWait(std::atomic<uint32_t> &word, uint32_t expected) {
  static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t));
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}

void futexWakeAll(std::atomic<uint32_t> &word) {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Watches `word` for about 20 us; true when it differs from `value`.
bool spinWhileEqual(const std::atomic<uint32_t> &word, uint32_t value) {
  constexpr std::chrono::microseconds limit{20};
  auto start = std::chrono::steady_clock::now();
  do {
    for (int i = 0; i < 32; ++i) {
      if (word.load(std::memory_order_acquire) != value)
        return true;
      pause();
    }
  } while (std::chrono::steady_clock::now() - start < limit);
  return false;
}

/// Returns when `word` differs from `value`. A sleeper announces itself in `sleepers` before it
/// looks at the word for the last time, and the waker changes the word before it looks at
/// `sleepers` (both sequentially consistent), so no wake-up is lost and none is a wasted call.
void waitWhileEqual(std::atomic<uint32_t> &word, uint32_t value, std::atomic<uint32_t> &sleepers) {
  if (spinWhileEqual(word, value))
    return;
  sleepers.fetch_add(1);
  while (word.load() == value)
    futexWait(word, value);
  sleepers.fetch_sub(1);
}

void changeAndWake(std::atomic<uint32_t> &word, std::atomic<uint32_t> &sleepers) {
  word.fetch_add(1);
  if (sleepers.load() != 0)
    futexWakeAll(word);
}

} // namespace

ThreadPool::ThreadPool(int threads) {
  threads = std::clamp(threads, 1, static_cast<int>(kActiveMask));
  workers.reserve(threads - 1);
  for (int worker = 1; worker < threads; ++worker)
    workers.emplace_back([this, worker] { workerMain(worker); });
}

ThreadPool::~ThreadPool() {
  stopping.store(true);
  changeAndWake(wakeWord, idleSleepers);
  for (std::thread &worker : workers)
    worker.join();
}

bool ThreadPool::joinRegion(uint64_t &lastGeneration) {
  uint64_t current = state.load();
  do {
    // A worker that was late for one region may have joined the next already.
    if (!(current & kOpen) || generationOf(current) == lastGeneration)
      return false;
  } while (!state.compare_exchange_weak(current, current + kActiveOne + kJoinedOne));
  lastGeneration = generationOf(current);
  return true;
}

void ThreadPool::workerMain(int worker) {
  uint64_t lastGeneration = 0;
  uint32_t seen = 0;
  for (;;) {
    waitWhileEqual(wakeWord, seen, idleSleepers);
    seen = wakeWord.load();
    if (stopping.load())
      return;
    if (!joinRegion(lastGeneration))
      continue;
    (*region)(worker);
    state.fetch_sub(kActiveOne);
    changeAndWake(doneWord, callerSleeps);
  }
}

void ThreadPool::openRegion(const Region &body) {
  region = &body;
  uint64_t generation = generationOf(state.load()) + 1;
  state.store(generation * kGenerationOne | kOpen);
  changeAndWake(wakeWord, idleSleepers);
}

void ThreadPool::closeRegion(bool awaitAll) {
  if (!awaitAll)
    state.fetch_and(~kOpen);
  for (;;) {
    uint32_t seen = doneWord.load();
    uint64_t current = state.load();
    bool allJoined = (current & kJoinedMask) / kJoinedOne == workers.size();
    if ((current & kActiveMask) == 0 && (!awaitAll || allJoined))
      break;
    waitWhileEqual(doneWord, seen, callerSleeps);
  }
  state.fetch_and(~kOpen);
}

void ThreadPool::parallelFor(int64_t blocks, FunctionRef<void(int64_t, int64_t, int)> body,
                             int64_t maxRange) {
  if (blocks <= 0)
    return;
  int64_t share = 2 * int64_t(size());
  std::atomic<int64_t> next{0};
  auto takeRanges = [&](int worker) {
    int64_t begin = next.load(std::memory_order_relaxed);
    while (begin < blocks) {
      int64_t length = std::clamp<int64_t>((blocks - begin) / share, 1, maxRange);
      if (!next.compare_exchange_weak(begin, begin + length, std::memory_order_relaxed))
        continue;
      body(begin, begin + length, worker);
      begin = next.load(std::memory_order_relaxed);
    }
  };
  if (workers.empty() || blocks == 1) {
    takeRanges(0);
    return;
  }
  Region job(takeRanges);
  openRegion(job);
  takeRanges(0);
  closeRegion(/*awaitAll=*/false);
}

void ThreadPool::runOnAll(FunctionRef<void(int)> body) {
  if (workers.empty())
    return body(0);
  openRegion(body);
  body(0);
  closeRegion(/*awaitAll=*/true);
}

void ThreadPool::barrier() {
  uint32_t seen = barrierWord.load();
  if (barrierArrived.fetch_add(1) + 1 == static_cast<uint32_t>(size())) {
    barrierArrived.store(0);
    changeAndWake(barrierWord, barrierSleepers);
    return;
  }
  waitWhileEqual(barrierWord, seen, barrierSleepers);
}

} // namespace titan::cpu
