// What the benchmarks of CPU kernels share: a clock, medians and the machine's own peak.
#pragma once

#include "runtime/device/cpu/CpuFeatures.h"
#include "runtime/device/cpu/ThreadPool.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <memory>
#include <new>
#include <random>
#include <sched.h>
#include <span>
#include <string>
#include <sys/mman.h>
#include <thread>
#include <vector>

namespace titan::cpu {

/// Wall time, or the CPU time that the process took per thread: on a machine that others use, the
/// first says nothing, and the second still compares kernels that keep their threads busy.
struct BenchClock {
  bool cpuTime = false;
  int threads = 1;

  double now() const {
    timespec time;
    clock_gettime(cpuTime ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &time);
    double seconds = double(time.tv_sec) + double(time.tv_nsec) * 1e-9;
    return cpuTime ? seconds / threads : seconds;
  }
  template <typename Body> double secondsOf(Body &&body) const {
    double start = now();
    body();
    return now() - start;
  }
};

/// The value below which a share of `q` lies: 0.5 is the median, 0.2 what a busy machine allows.
inline double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[std::min(values.size() - 1, size_t(values.size() * q))];
}

/// Floats on pages of their own, random of magnitude below 1. Large arrays ask for huge pages, as
/// the runtime does for its segments.
class BenchArray {
public:
  explicit BenchArray(int64_t count)
      : size(count), floats(static_cast<float *>(::operator new(count * sizeof(float), kAlign))) {
    if (size * int64_t(sizeof(float)) >= int64_t(kAlign))
      ::madvise(floats.get(), size * sizeof(float), MADV_HUGEPAGE);
    std::minstd_rand generator(1);
    for (int64_t i = 0; i < count; ++i)
      floats.get()[i] = float(generator()) * 1e-9f - 1.07f;
  }
  float *data() const { return floats.get(); }
  std::span<std::byte> bytes() const {
    return {reinterpret_cast<std::byte *>(floats.get()), size * sizeof(float)};
  }

private:
  static constexpr std::align_val_t kAlign{int64_t{2} << 20};
  struct Delete {
    void operator()(float *p) const { ::operator delete(p, kAlign); }
  };
  int64_t size;
  std::unique_ptr<float, Delete> floats;
};

/// The value of `--name=value`, or `fallback`.
inline std::string option(int argc, char **argv, const char *name, const char *fallback) {
  std::string prefix = std::string("--") + name + "=";
  for (int i = 1; i < argc; ++i)
    if (std::strncmp(argv[i], prefix.c_str(), prefix.size()) == 0)
      return argv[i] + prefix.size();
  return fallback;
}

/// A core for each worker, as far as there are any: the kernel may wake a sleeping thread beside
/// its waker, and calls of a millisecond are over before it moves it.
inline void pinWorkers(ThreadPool &pool) {
  if (std::thread::hardware_concurrency() < unsigned(pool.size()))
    return;
  pool.runOnAll([](int worker) {
    cpu_set_t own;
    CPU_ZERO(&own);
    CPU_SET(worker, &own);
    sched_setaffinity(0, sizeof(own), &own);
  });
}

/// Fused multiply-add flops per second of all workers together, from registers alone. In assembly:
/// compilers spill an array of accumulators, and the number would be too low.
inline double fmaPeak(ThreadPool &pool, Isa isa, const BenchClock &clock) {
#if defined(__x86_64__)
  constexpr long iterations = 300000;
  pool.runOnAll([](int) {}); // wakes them
  double start = clock.now();
  pool.runOnAll([&](int) {
    long n = iterations;
#define TITAN_FMA(i) "vfmadd231ps %%" R "14, %%" R "15, %%" R #i "\n"
#define TITAN_FMAS                                                                                 \
  TITAN_FMA(0)                                                                                     \
  TITAN_FMA(1)                                                                                     \
  TITAN_FMA(2)                                                                                     \
  TITAN_FMA(3)                                                                                     \
  TITAN_FMA(4)                                                                                     \
  TITAN_FMA(5) TITAN_FMA(6) TITAN_FMA(7) TITAN_FMA(8) TITAN_FMA(9) TITAN_FMA(10) TITAN_FMA(11)
#define TITAN_CLOBBERS                                                                             \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",         \
      "xmm11", "xmm14", "xmm15", "cc"
    if (isa == Isa::avx512) {
#define R "zmm"
      asm volatile("vpxord %%zmm14, %%zmm14, %%zmm14\nvpxord %%zmm15, %%zmm15, %%zmm15\n"
                   "1:\n" TITAN_FMAS "dec %0\njnz 1b\n"
                   : "+r"(n)::TITAN_CLOBBERS);
#undef R
    } else if (isa == Isa::avx2) {
#define R "ymm"
      asm volatile("vpxor %%ymm14, %%ymm14, %%ymm14\nvpxor %%ymm15, %%ymm15, %%ymm15\n"
                   "1:\n" TITAN_FMAS "dec %0\njnz 1b\n"
                   : "+r"(n)::TITAN_CLOBBERS);
#undef R
    }
#undef TITAN_FMA
#undef TITAN_FMAS
#undef TITAN_CLOBBERS
  });
  int lanes = isa == Isa::avx512 ? 16 : isa == Isa::avx2 ? 8 : 0;
  return 2.0 * 12 * lanes * iterations * pool.size() / (clock.now() - start);
#else
  return 0;
#endif
}

} // namespace titan::cpu
