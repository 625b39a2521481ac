// Generated row kernels against hand-written C++ (clang -O3 -ffast-math -march=native with
// libmvec), one thread, interleaved runs, medians.
//
//   build/bench/KernelBench [--filter=norm] [--rounds=15] [--quantile=0.5] [--clock=cpu|wall]
//   [--dump=FILE]
//
// --dump writes the machine code of the last kernel, for objdump -d.
// `ours/theirs` above 1: the generated kernel is faster. GB/s count every operand and result once,
// a result in place twice. The largest kernels have 1 GB and more of memory, beyond the last-level
// cache of servers, and are also compared with triad, c[i] = a[i] + 3 b[i] on three arrays of 512
// MiB, run in the same rounds and counted in the same way.
#include "test/bench/BenchSupport.h"
#include "test/bench/KernelReference.h"
#include "test/unit/compiler/KernelRunner.h"

#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"

#include <fstream>
#include <functional>

using namespace titan;
using titan::cpu::BenchArray;

namespace {

constexpr double kBeyondCaches = 1e9;

/// What the memory gives.
struct Triad {
  static constexpr int64_t kCount = 134217728;
  BenchArray a{kCount}, b{kCount}, c{kCount};

  void run() { bench::triad(kCount, a.data(), b.data(), c.data()); }
  static double bandwidth(double seconds) { return kCount * 12.0 / seconds; }
};

struct Settings {
  std::string filter;
  std::string dump;
  int rounds;
  double quantile;
  cpu::BenchClock clock;
  std::unique_ptr<Triad> triad = std::make_unique<Triad>();
};

struct Case {
  std::string name;
  std::string source;
  /// Bytes of the function's arguments and results; a tie names an earlier buffer as -1 - index.
  std::vector<int64_t> buffers;
  std::function<void(void *const *)> reference;
};

void measure(const Settings &settings, const Case &test, bool tie) {
  if (test.name.find(settings.filter) == std::string::npos)
    return;
  testing::RunOptions options;
  options.tie = tie;
  testing::KernelRunner runner(test.source, options);
  if (!runner.ok() || runner.countKernels() != 1) {
    llvm::outs() << test.name << ": does not compile to one kernel\n";
    return;
  }
  if (!settings.dump.empty())
    std::ofstream(settings.dump, std::ios::binary)
        .write(runner.image().elf.data(), static_cast<std::streamsize>(runner.image().elf.size()));
  std::vector<std::unique_ptr<BenchArray>> arrays;
  std::vector<void *> buffers;
  double bytes = 0;
  for (int64_t size : test.buffers) {
    if (size < 0) {
      buffers.push_back(buffers[-1 - size]);
      bytes += static_cast<double>(test.buffers[-1 - size]);
      continue;
    }
    arrays.push_back(std::make_unique<BenchArray>((size + 3) / 4));
    if (size == 4)
      arrays.back()->data()[0] = 0.5f;
    buffers.push_back(arrays.back()->data());
    bytes += static_cast<double>(size);
  }
  BenchArray scratch(runner.plans()[0].scratchBytes / 4 + 1);
  std::vector<void *> ordered;
  for (unsigned place : runner.places())
    ordered.push_back(buffers[place]);
  ordered.push_back(scratch.data());
  auto ours = [&] { runner.call(ordered.data()); };
  auto theirs = [&] { test.reference(buffers.data()); };
  ours();
  theirs();
  const double once = settings.clock.secondsOf(ours);
  const int repeats = std::max(1, static_cast<int>(0.004 / std::max(once, 1e-7)));
  auto time = [&](const std::function<void()> &body) {
    return settings.clock.secondsOf([&] {
      for (int repeat = 0; repeat < repeats; ++repeat)
        body();
    }) / repeats;
  };
  std::vector<double> oursTimes, theirTimes, triadTimes;
  for (int round = 0; round < settings.rounds; ++round) {
    oursTimes.push_back(time(ours));
    theirTimes.push_back(time(theirs));
    if (bytes > kBeyondCaches)
      triadTimes.push_back(settings.clock.secondsOf([&] { settings.triad->run(); }));
  }
  const double q = settings.quantile;
  const double us = cpu::quantile(oursTimes, q), them = cpu::quantile(theirTimes, q);
  llvm::outs() << llvm::format("%-28s %10.1f us %10.1f us   ours/theirs %5.2f   %6.1f GB/s",
                               test.name.c_str(), us * 1e6, them * 1e6, them / us,
                               bytes / us * 1e-9);
  if (!triadTimes.empty())
    llvm::outs() << llvm::format("   of triad %5.2f",
                                 bytes / us / Triad::bandwidth(cpu::quantile(triadTimes, q)));
  llvm::outs() << "\n";
  llvm::outs().flush();
}

std::string text(const char *format, int64_t a, int64_t b = 0, int64_t c = 0) {
  return llvm::formatv(format, a, b, c).str();
}

float *floats(void *buffer) { return static_cast<float *>(buffer); }

void measureNorm(const Settings &settings, const std::string &size, int64_t rows, int64_t dim) {
  const int64_t tensor = rows * dim * 4;
  measure(settings,
          {"norm forward " + size,
           text(R"(
    func.func @f(%x: tensor<{0}x{1}xf32>, %w: tensor<{1}xf32>)
        -> (tensor<{0}x{1}xf32>, tensor<{0}xf32>) {{
      %y, %r = titan.rms_norm %x, %w epsilon 1.0e-5
          : tensor<{0}x{1}xf32>, tensor<{1}xf32> -> tensor<{0}x{1}xf32>, tensor<{0}xf32>
      return %y, %r : tensor<{0}x{1}xf32>, tensor<{0}xf32>
    })",
                rows, dim),
           {tensor, dim * 4, tensor, rows * 4},
           [=](void *const *b) {
             bench::normForward(rows, dim, floats(b[0]), floats(b[1]), floats(b[2]), floats(b[3]));
           }},
          false);
  measure(settings,
          {"residual and norm " + size,
           text(R"(
    func.func @f(%x: tensor<{0}x{1}xf32>, %h: tensor<{0}x{1}xf32>, %w: tensor<{1}xf32>)
        -> (tensor<{0}x{1}xf32>, tensor<{0}x{1}xf32>, tensor<{0}xf32>) {{
      %s = titan.add %x, %h : tensor<{0}x{1}xf32>
      %y, %r = titan.rms_norm %s, %w epsilon 1.0e-5
          : tensor<{0}x{1}xf32>, tensor<{1}xf32> -> tensor<{0}x{1}xf32>, tensor<{0}xf32>
      return %s, %y, %r : tensor<{0}x{1}xf32>, tensor<{0}x{1}xf32>, tensor<{0}xf32>
    })",
                rows, dim),
           {tensor, tensor, dim * 4, tensor, tensor, rows * 4},
           [=](void *const *b) {
             bench::residualNorm(rows, dim, floats(b[0]), floats(b[1]), floats(b[2]), floats(b[3]),
                                 floats(b[4]), floats(b[5]));
           }},
          false);
  measure(settings,
          {"norm backward " + size,
           text(R"(
    func.func @f(%dy: tensor<{0}x{1}xf32>, %x: tensor<{0}x{1}xf32>, %w: tensor<{1}xf32>,
                 %r: tensor<{0}xf32>) -> (tensor<{0}x{1}xf32>, tensor<{1}xf32>) {{
      %dx, %dw = titan.rms_norm_grad %dy, %x, %w, %r : tensor<{0}x{1}xf32>, tensor<{0}x{1}xf32>,
          tensor<{1}xf32>, tensor<{0}xf32> -> tensor<{0}x{1}xf32>, tensor<{1}xf32>
      return %dx, %dw : tensor<{0}x{1}xf32>, tensor<{1}xf32>
    })",
                rows, dim),
           {tensor, tensor, dim * 4, rows * 4, tensor, dim * 4},
           [=](void *const *b) {
             bench::normBackward(rows, dim, floats(b[0]), floats(b[1]), floats(b[2]), floats(b[3]),
                                 floats(b[4]), floats(b[5]));
           }},
          false);
}

void measureSwiglu(const Settings &settings, const std::string &size, int64_t rows, int64_t dim) {
  const int64_t tensor = rows * dim * 4;
  measure(settings,
          {"swiglu forward " + size,
           text(R"(
    func.func @f(%a: tensor<{0}x{1}xf32>, %b: tensor<{0}x{1}xf32>) -> tensor<{0}x{1}xf32> {{
      %s = titan.silu %a : tensor<{0}x{1}xf32>
      %y = titan.mul %s, %b : tensor<{0}x{1}xf32>
      return %y : tensor<{0}x{1}xf32>
    })",
                rows, dim),
           {tensor, tensor, tensor},
           [=](void *const *b) {
             bench::swigluForward(rows * dim, floats(b[0]), floats(b[1]), floats(b[2]));
           }},
          false);
  measure(settings,
          {"swiglu backward " + size,
           text(R"(
    func.func @f(%dy: tensor<{0}x{1}xf32>, %a: tensor<{0}x{1}xf32>, %b: tensor<{0}x{1}xf32>)
        -> (tensor<{0}x{1}xf32>, tensor<{0}x{1}xf32>, tensor<{0}x{1}xf32>) {{
      %s = titan.silu %a : tensor<{0}x{1}xf32>
      %y = titan.mul %s, %b : tensor<{0}x{1}xf32>
      %ds = titan.mul %dy, %b : tensor<{0}x{1}xf32>
      %da = titan.silu_grad %a, %ds : tensor<{0}x{1}xf32>
      %db = titan.mul %dy, %s : tensor<{0}x{1}xf32>
      return %y, %da, %db : tensor<{0}x{1}xf32>, tensor<{0}x{1}xf32>, tensor<{0}x{1}xf32>
    })",
                rows, dim),
           {tensor, tensor, tensor, tensor, tensor, tensor},
           [=](void *const *b) {
             bench::swigluBackward(rows * dim, floats(b[0]), floats(b[1]), floats(b[2]),
                                   floats(b[3]), floats(b[4]), floats(b[5]));
           }},
          false);
}

void measureRope(const Settings &settings, const std::string &size, int64_t seq, int64_t heads,
                 int64_t pairs) {
  const int64_t tensor = seq * heads * pairs * 8;
  const auto measureOne = [&](const char *name, const char *turn, auto *reference) {
    measure(settings,
            {name + size,
             llvm::formatv(R"(
    func.func @f(%x: tensor<1x{0}x{1}x{2}xf32>, %c: tensor<{0}x{3}xf32>, %s: tensor<{0}x{3}xf32>)
        -> tensor<1x{0}x{1}x{2}xf32> {{
      %y = titan.rope {4} %x, %c, %s : tensor<1x{0}x{1}x{2}xf32>, tensor<{0}x{3}xf32>,
          tensor<{0}x{3}xf32> -> tensor<1x{0}x{1}x{2}xf32>
      return %y : tensor<1x{0}x{1}x{2}xf32>
    })",
                           seq, heads, 2 * pairs, pairs, turn)
                 .str(),
             {tensor, seq * pairs * 4, seq * pairs * 4, tensor},
             [=](void *const *b) {
               reference(seq, heads, pairs, floats(b[0]), floats(b[1]), floats(b[2]), floats(b[3]));
             }},
            false);
  };
  measureOne("rope ", "", bench::rope);
  measureOne("inverse rope ", "inverse", bench::inverseRope);
}

void measureCrossEntropy(const Settings &settings, const std::string &size, int64_t rows,
                         int64_t classes) {
  const int64_t tensor = rows * classes * 4;
  measure(settings,
          {"cross entropy loss " + size,
           text(R"(
    func.func @f(%l: tensor<{0}x{1}xf32>, %t: tensor<{0}xi32>) -> (tensor<f32>, tensor<f32>) {{
      %loss, %valid = titan.cross_entropy %l, %t : (tensor<{0}x{1}xf32>, tensor<{0}xi32>)
          -> (tensor<f32>, tensor<f32>)
      return %loss, %valid : tensor<f32>, tensor<f32>
    })",
                rows, classes),
           {tensor, rows * 4, 4, 4},
           [=](void *const *b) {
             const std::vector<int32_t> labels(rows, 3);
             floats(b[2])[0] = bench::crossEntropyLoss(rows, classes, floats(b[0]), labels.data());
           }},
          false);
  measure(settings,
          {"cross entropy " + size,
           text(R"(
    func.func @f(%l: tensor<{0}x{1}xf32>, %t: tensor<{0}xi32>, %d: tensor<f32>)
        -> (tensor<f32>, tensor<f32>, tensor<{0}x{1}xf32>) {{
      %loss, %valid, %dl = titan.cross_entropy_grad %l, %t, %d
          : (tensor<{0}x{1}xf32>, tensor<{0}xi32>, tensor<f32>)
          -> (tensor<f32>, tensor<f32>, tensor<{0}x{1}xf32>)
      return %loss, %valid, %dl : tensor<f32>, tensor<f32>, tensor<{0}x{1}xf32>
    })",
                rows, classes),
           {tensor, rows * 4, 4, 4, 4, tensor},
           [=](void *const *b) {
             const std::vector<int32_t> labels(rows, 3);
             floats(b[3])[0] = bench::crossEntropy(rows, classes, floats(b[0]), labels.data(), 1.0f,
                                                   floats(b[5]));
           }},
          false);
}

void measureSumOfSquares(const Settings &settings, const std::string &size, int64_t count) {
  measure(settings,
          {"sum of squares " + size,
           text(R"(
    func.func @f(%g: tensor<{0}xf32>) -> tensor<f32> {{
      %r = titan.sum_of_squares %g : tensor<{0}xf32> -> tensor<f32>
      return %r : tensor<f32>
    })",
                count),
           {count * 4, 4},
           [=](void *const *b) { floats(b[1])[0] = bench::sumOfSquares(count, floats(b[0])); }},
          false);
}

void measureAdam(const Settings &settings, const std::string &size, int64_t count) {
  const int64_t tensor = count * 4;
  measure(settings,
          {"adam " + size,
           text(R"(
    func.func @f(%p: tensor<{0}xf32>, %g: tensor<{0}xf32>, %m: tensor<{0}xf32>,
                 %v: tensor<{0}xf32>, %lr: tensor<f32>, %s: tensor<f32>, %c1: tensor<f32>,
                 %c2: tensor<f32>, %fin: tensor<f32>, %r1: tensor<f32>, %r2: tensor<f32>,
                 %e: tensor<f32>, %d: tensor<f32>)
        -> (tensor<{0}xf32>, tensor<{0}xf32>, tensor<{0}xf32>) {{
      %r:3 = titan.adam_update %p, %g, %m, %v lr %lr scale %s bias_corrections %c1, %c2 finite %fin
          one_minus_betas %r1, %r2 epsilon %e weight_decay %d {{decoupled}
          : tensor<{0}xf32>, tensor<{0}xf32>, tensor<{0}xf32>, tensor<{0}xf32>, tensor<f32>,
          tensor<f32>, tensor<f32>, tensor<f32>, tensor<f32>, tensor<f32>, tensor<f32>,
          tensor<f32>, tensor<f32>
      return %r#0, %r#1, %r#2 : tensor<{0}xf32>, tensor<{0}xf32>, tensor<{0}xf32>
    })",
                count),
           {tensor, tensor, tensor, tensor, 4, 4, 4, 4, 4, 4, 4, 4, 4, -1, -3, -4},
           [=](void *const *b) {
             bench::adam(count, floats(b[0]), floats(b[1]), floats(b[2]), floats(b[3]),
                         {floats(b[4])[0], floats(b[5])[0], floats(b[6])[0], floats(b[7])[0],
                          floats(b[8])[0], floats(b[9])[0], floats(b[10])[0], floats(b[11])[0],
                          floats(b[12])[0]});
           }},
          true);
}

} // namespace

int main(int argc, char **argv) {
  Settings settings;
  settings.filter = cpu::option(argc, argv, "filter", "");
  settings.dump = cpu::option(argc, argv, "dump", "");
  settings.rounds = std::stoi(cpu::option(argc, argv, "rounds", "15"));
  settings.quantile = std::stod(cpu::option(argc, argv, "quantile", "0.5"));
  settings.clock.cpuTime = cpu::option(argc, argv, "clock", "cpu") == "cpu";
  llvm::outs() << "                                   ours         theirs\n";
  measureNorm(settings, "16x1024", 16, 1024);
  measureNorm(settings, "16x1003", 16, 1003);
  measureNorm(settings, "2048x1024", 2048, 1024);
  measureNorm(settings, "131072x1024", 131072, 1024);
  measureSwiglu(settings, "16x1024", 16, 1024);
  measureSwiglu(settings, "16x1003", 16, 1003);
  measureSwiglu(settings, "2048x2816", 2048, 2816);
  measureSwiglu(settings, "65536x2816", 65536, 2816);
  measureRope(settings, "16x16x32", 16, 16, 32);
  measureRope(settings, "2048x16x32", 2048, 16, 32);
  measureRope(settings, "16x16x8", 16, 16, 8);
  measureRope(settings, "131072x16x32", 131072, 16, 32);
  measureCrossEntropy(settings, "1x50304", 1, 50304);
  measureCrossEntropy(settings, "256x2048", 256, 2048);
  measureCrossEntropy(settings, "64x50257", 64, 50257);
  measureAdam(settings, "16384", 16384);
  measureAdam(settings, "4194309", 4194309);
  measureAdam(settings, "134217728", 134217728);
  measureSumOfSquares(settings, "16384", 16384);
  measureSumOfSquares(settings, "4194309", 4194309);
  measureSumOfSquares(settings, "268435456", 268435456);
  return 0;
}
