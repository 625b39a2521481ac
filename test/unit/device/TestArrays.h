// Arrays for tests of CPU kernels.
#pragma once

#include "runtime/device/cpu/CpuFeatures.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <random>
#include <span>
#include <vector>

namespace titan::cpu {

/// `count` floats of a normal distribution, the same for the same seed.
inline std::vector<float> randomFloats(int64_t count, uint32_t seed, float deviation = 1.0f) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> values(count);
  for (float &value : values)
    value = normal(generator);
  return values;
}

/// Equal bits, also of NaN.
inline bool sameBits(const std::vector<float> &a, const std::vector<float> &b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

/// The largest difference, in units of the expected array's largest magnitude, or of `least` where
/// what is expected cancels to nothing.
inline double relativeError(const std::vector<float> &found, const std::vector<double> &expected,
                            double least = 1e-30) {
  double difference = 0, magnitude = least;
  for (size_t i = 0; i < expected.size(); ++i) {
    // A NaN must count as wrong: the comparison's negation catches it.
    double error = std::abs(found[i] - expected[i]);
    difference = error <= difference ? difference : error;
    magnitude = std::max(magnitude, std::abs(expected[i]));
  }
  return difference / magnitude;
}

/// A workspace of exactly `bytes`, followed by guard bytes that a kernel must leave alone.
class GuardedWorkspace {
public:
  explicit GuardedWorkspace(int64_t bytes)
      : size(bytes),
        memory(static_cast<std::byte *>(::operator new(bytes + kGuard, std::align_val_t(64)))) {
    // 0xff bytes are NaN as floats: whoever reads what it has not written shows it.
    std::memset(memory.get(), 0xff, size + kGuard);
  }
  std::span<std::byte> span() const { return {memory.get(), static_cast<size_t>(size)}; }
  bool intact() const {
    for (int64_t i = 0; i < kGuard; ++i)
      if (memory.get()[size + i] != std::byte(0xff))
        return false;
    return true;
  }

private:
  static constexpr int64_t kGuard = 256;
  struct Delete {
    void operator()(std::byte *bytes) const { ::operator delete(bytes, std::align_val_t(64)); }
  };
  int64_t size;
  std::unique_ptr<std::byte, Delete> memory;
};

/// The instruction sets that this machine executes.
inline std::vector<Isa> availableIsas() {
  std::vector<Isa> isas;
  for (Isa isa : {Isa::portable, Isa::avx2, Isa::avx512})
    if (isa <= bestIsa())
      isas.push_back(isa);
  return isas;
}

} // namespace titan::cpu
