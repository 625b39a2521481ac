#include "runtime/device/cpu/ThreadPool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <ctime>
#include <mutex>
#include <numeric>
#include <unistd.h>

using namespace titan::cpu;

TEST(ThreadPool, CoversEveryBlockOnce) {
  for (int threads : {1, 2, 3, 4}) {
    ThreadPool pool(threads);
    ASSERT_EQ(pool.size(), threads);
    for (int64_t blocks : {0, 1, 2, 7, 64, 1001}) {
      for (int64_t maxRange : {int64_t(1), int64_t(5), ThreadPool::kUnlimited}) {
        std::vector<std::atomic<int>> visits(blocks);
        pool.parallelFor(
            blocks,
            [&](int64_t begin, int64_t end, int worker) {
              EXPECT_LT(begin, end);
              EXPECT_LE(end - begin, maxRange);
              EXPECT_TRUE(worker >= 0 && worker < threads);
              for (int64_t i = begin; i < end; ++i)
                ++visits[i];
            },
            maxRange);
        for (int64_t i = 0; i < blocks; ++i)
          EXPECT_EQ(visits[i].load(), 1) << "block " << i << " of " << blocks;
      }
    }
  }
}

TEST(ThreadPool, WorkersAreDistinctThreads) {
  ThreadPool pool(3);
  std::mutex mutex;
  std::vector<std::pair<int, std::thread::id>> seen;
  pool.runOnAll([&](int worker) {
    std::lock_guard lock(mutex);
    seen.emplace_back(worker, std::this_thread::get_id());
  });
  std::sort(seen.begin(), seen.end());
  ASSERT_EQ(seen.size(), 3u);
  for (int worker = 0; worker < 3; ++worker)
    EXPECT_EQ(seen[worker].first, worker);
  EXPECT_EQ(seen[0].second, std::this_thread::get_id());
  EXPECT_NE(seen[1].second, seen[2].second);
}

TEST(ThreadPool, BarrierSeparatesPhases) {
  ThreadPool pool(4);
  for (int repeat = 0; repeat < 200; ++repeat) {
    std::vector<int> values(4, 0);
    std::vector<int> sums(4, 0);
    pool.runOnAll([&](int worker) {
      for (int phase = 1; phase <= 5; ++phase) {
        values[worker] = phase * (worker + 1);
        pool.barrier();
        sums[worker] += std::accumulate(values.begin(), values.end(), 0);
        pool.barrier();
      }
    });
    for (int sum : sums)
      EXPECT_EQ(sum, (1 + 2 + 3 + 4) * (1 + 2 + 3 + 4 + 5));
  }
}

// Regions follow each other at once and after pauses in which the workers fall asleep.
TEST(ThreadPool, ManyRegionsAwakeAndAsleep) {
  ThreadPool pool(4);
  std::atomic<int64_t> total{0};
  int64_t expected = 0;
  for (int repeat = 0; repeat < 3000; ++repeat) {
    int64_t blocks = repeat % 13;
    pool.parallelFor(blocks, [&](int64_t begin, int64_t end, int) { total += end - begin; });
    expected += blocks;
    if (repeat % 3 == 0) {
      pool.runOnAll([&](int) { ++total; });
      expected += 4;
    }
    if (repeat % 500 == 0)
      usleep(2000);
    ASSERT_EQ(total.load(), expected) << "after region " << repeat;
  }
}

TEST(ThreadPool, IdleWorkersTakeNoTime) {
  ThreadPool pool(4);
  pool.runOnAll([](int) {});
  usleep(20000);
  timespec before, after;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
  usleep(100000);
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
  double used = after.tv_sec - before.tv_sec + (after.tv_nsec - before.tv_nsec) * 1e-9;
  // Three spinning workers would use up to 0.2 s on two cores.
  EXPECT_LT(used, 0.02);
}

TEST(ThreadPool, WritesAreVisibleToTheCaller) {
  ThreadPool pool(2);
  std::vector<int> values(10000);
  for (int repeat = 1; repeat < 100; ++repeat) {
    pool.parallelFor(int64_t(values.size()), [&](int64_t begin, int64_t end, int) {
      std::fill(values.begin() + begin, values.begin() + end, repeat);
    });
    ASSERT_EQ(std::count(values.begin(), values.end(), repeat), int64_t(values.size()));
  }
}
