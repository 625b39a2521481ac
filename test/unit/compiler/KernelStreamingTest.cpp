// Kernels on tensors beyond the caches: rows are prefetched, and results that begin on a cache line
// are stored past the caches. Both must give the bits that the plain loops give.
#include "test/unit/compiler/KernelRunner.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>

using namespace titan;
using namespace titan::testing;

namespace {

constexpr int64_t kColumns = 1024;

/// Floats that begin `offset` floats after a cache line.
class Floats {
public:
  Floats(int64_t count, int64_t offset)
      : memory(static_cast<float *>(::operator new((count + offset) * sizeof(float), kLine))),
        begin(memory.get() + offset), count(count) {
    for (int64_t i = 0; i < count; ++i)
      begin[i] = static_cast<float>(i * 7919 % 2001) * 1e-3f - 1.0f;
  }
  float *data() const { return begin; }
  bool sameBits(const Floats &other) const {
    return std::memcmp(begin, other.begin, count * sizeof(float)) == 0;
  }

private:
  static constexpr std::align_val_t kLine{64};
  struct Delete {
    void operator()(float *p) const { ::operator delete(p, kLine); }
  };
  std::unique_ptr<float, Delete> memory;
  float *begin;
  int64_t count;
};

std::string normSource(int64_t rows) {
  const std::string x = "tensor<" + std::to_string(rows) + "x1024xf32>";
  const std::string r = "tensor<" + std::to_string(rows) + "xf32>";
  return "func.func @f(%x: " + x + ", %w: tensor<1024xf32>) -> (" + x + ", " + r +
         ") {\n  %y, %r = titan.rms_norm %x, %w epsilon 1.0e-5 : " + x + ", tensor<1024xf32> -> " +
         x + ", " + r + "\n  return %y, %r : " + x + ", " + r + "\n}";
}

/// Calls the kernel with the arguments and results x, w, y, r.
void call(KernelRunner &runner, const std::vector<Floats *> &buffers) {
  std::vector<void *> ordered;
  for (unsigned place : runner.places())
    ordered.push_back(buffers[place]->data());
  runner.call(ordered.data());
}

/// Whether the image stores 32-byte vectors past the caches: vmovntps of a ymm register.
bool hasStreamingStore(const std::vector<char> &elf) {
  // Two encodings, of low and of high registers: C5 FC|7C 2B and C4 xx 7C 2B.
  const std::string_view bytes(elf.data(), elf.size());
  for (size_t i = 0; i + 4 <= bytes.size(); ++i) {
    const std::string_view rest = bytes.substr(i);
    if (rest.starts_with("\xc5\xfc\x2b") || rest.starts_with("\xc5\x7c\x2b") ||
        (rest[0] == '\xc4' && (rest[1] & 0x1f) == 1 && rest.substr(2).starts_with("\x7c\x2b")))
      return true;
  }
  return false;
}

} // namespace

TEST(KernelStreaming, BitsDoNotDependOnWhereAResultBegins) {
  constexpr int64_t rows = 8320; // 65 MiB with the result
  KernelRunner runner(normSource(rows));
  ASSERT_TRUE(runner.ok());
  Floats x(rows * kColumns, 0), w(kColumns, 0), rstd(rows, 0);
  Floats streamed(rows * kColumns, 0), plain(rows * kColumns, 3), plainRstd(rows, 0);
  call(runner, {&x, &w, &streamed, &rstd});
  call(runner, {&x, &w, &plain, &plainRstd});
  EXPECT_TRUE(streamed.sameBits(plain));
  EXPECT_TRUE(rstd.sameBits(plainRstd));
  for (int64_t row : {int64_t{0}, int64_t{1}, rows - 1}) {
    double sum = 0;
    for (int64_t i = 0; i < kColumns; ++i)
      sum += double(x.data()[row * kColumns + i]) * x.data()[row * kColumns + i];
    const double expected = 1 / std::sqrt(sum / kColumns + 1e-5);
    EXPECT_NEAR(rstd.data()[row], expected, 1e-6 * expected);
    for (int64_t i = 0; i < kColumns; ++i)
      ASSERT_NEAR(streamed.data()[row * kColumns + i],
                  x.data()[row * kColumns + i] * expected * w.data()[i], 1e-5)
          << "row " << row << ", column " << i;
  }
}

TEST(KernelStreaming, OnlyLargeKernelsBypassTheCaches) {
  const RunOptions avx2{false, false, "x86-64-v3"};
  EXPECT_TRUE(hasStreamingStore(KernelRunner(normSource(8320), avx2).image().elf));
  EXPECT_FALSE(hasStreamingStore(KernelRunner(normSource(512), avx2).image().elf));
}
