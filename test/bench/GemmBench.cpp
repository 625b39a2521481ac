// gemm() against oneDNN, and MKL where its library is given, on the multiplications of a training
// step: outputs (NT), input gradients (NN) and weight gradients (TN), each written (=) and added to
// what is there (+=).
//
//   GemmBench [--threads=N] [--rounds=N] [--mkl=PATH/libmkl_rt.so.3] [--quick=1] [--quantile=0.5]
//   [--clock=wall|cpu]
//
//   GemmBench --shapes=FILE [--threads=N] [--rounds=N]
//
// times gemm() alone on a list of multiplications and prints the seconds that the list takes, one
// number per round; a line is "transA transB accumulate m n k lda ldb ldc count".
//
// All run once per round, one after another with a pause in which the other libraries' threads
// fall asleep. Every thread of each library stays on a core of its own. The table has medians over
// the rounds (or another quantile), the last line is weighted by flops.

#include "runtime/device/cpu/Gemm.h"
#include "test/bench/BenchSupport.h"

#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <fstream>
#include <oneapi/dnnl/dnnl.h>
#include <unistd.h>

extern "C" void omp_set_num_threads(int threads);

using namespace titan::cpu;

namespace {

using MklSgemm = void (*)(int layout, int transA, int transB, int m, int n, int k, float alpha,
                          const float *a, int lda, const float *b, int ldb, float beta, float *c,
                          int ldc);

struct Peers {
  BenchClock clock;
  MklSgemm mkl = nullptr;
};

GemmShape shapeOf(const char *kind, bool accumulate, int64_t m, int64_t n, int64_t k) {
  GemmShape shape{m, n, k, kind[0] == 'T', kind[1] == 'T', accumulate};
  shape.lda = shape.transA ? m : k;
  shape.ldb = shape.transB ? k : n;
  shape.ldc = n;
  return shape;
}

/// The multiplications of a projection from `in` to `out` features.
void addProjection(std::vector<GemmShape> &shapes, int64_t rows, int64_t in, int64_t out) {
  for (bool accumulate : {false, true}) {
    shapes.push_back(shapeOf("NT", accumulate, rows, out, in));
    shapes.push_back(shapeOf("NN", accumulate, rows, in, out));
    shapes.push_back(shapeOf("TN", accumulate, out, in, rows));
  }
}

void runOneDnn(const GemmShape &s, int threads, const float *a, const float *b, float *c) {
  omp_set_num_threads(threads);
  dnnl_sgemm(s.transA ? 'T' : 'N', s.transB ? 'T' : 'N', s.m, s.n, s.k, 1.0f, a, s.lda, b, s.ldb,
             s.accumulate ? 1.0f : 0.0f, c, s.ldc);
}

void runMkl(MklSgemm sgemm, const GemmShape &s, const float *a, const float *b, float *c) {
  constexpr int rowMajor = 101, noTranspose = 111, transpose = 112;
  sgemm(rowMajor, s.transA ? transpose : noTranspose, s.transB ? transpose : noTranspose, int(s.m),
        int(s.n), int(s.k), 1.0f, a, int(s.lda), b, int(s.ldb), s.accumulate ? 1.0f : 0.0f, c,
        int(s.ldc));
}

struct Times {
  double ours, oneDnn, mkl, peak;
};

Times measure(ThreadPool &pool, const GemmShape &shape, const Peers &peers, int rounds, double q) {
  const BenchClock &clock = peers.clock;
  BenchArray a(shape.m * shape.k), b(shape.k * shape.n), c(shape.m * shape.n);
  BenchArray workspace(gemmWorkspaceBytes(shape, pool.size()) / sizeof(float));
  std::vector<double> ours, oneDnn, mkl, peak;
  auto pause = [] { usleep(4000); };
  for (int round = 0; round <= rounds; ++round) {
    pause();
    peak.push_back(fmaPeak(pool, bestIsa(), clock));
    auto run = [&] { (void)gemm(pool, shape, a.data(), b.data(), c.data(), workspace.bytes()); };
    run(); // threads awake, operands where a step would find them
    ours.push_back(clock.secondsOf(run));
    pause();
    auto runPeer = [&] { runOneDnn(shape, clock.threads, a.data(), b.data(), c.data()); };
    runPeer();
    oneDnn.push_back(clock.secondsOf(runPeer));
    pause();
    if (peers.mkl) {
      auto runOther = [&] { runMkl(peers.mkl, shape, a.data(), b.data(), c.data()); };
      runOther();
      mkl.push_back(clock.secondsOf(runOther));
    }
  }
  return {quantile(ours, q), quantile(oneDnn, q), quantile(mkl, q), quantile(peak, 1 - q)};
}

struct CountedShape {
  GemmShape shape;
  int64_t count;
};

std::vector<CountedShape> readShapes(const std::string &path) {
  std::vector<CountedShape> shapes;
  std::ifstream file(path);
  GemmShape s;
  int64_t count = 0;
  while (file >> s.transA >> s.transB >> s.accumulate >> s.m >> s.n >> s.k >> s.lda >> s.ldb >>
         s.ldc >> count)
    shapes.push_back({s, count});
  return shapes;
}

/// Seconds of a list of multiplications, each on memory of its own as in a step.
int timeShapes(const std::string &path, int threads, int rounds) {
  const std::vector<CountedShape> shapes = readShapes(path);
  if (shapes.empty()) {
    std::fprintf(stderr, "no shapes in %s\n", path.c_str());
    return 1;
  }
  ThreadPool pool(threads);
  pinWorkers(pool);
  const BenchClock clock;
  for (int round = 0; round < rounds; ++round) {
    double seconds = 0;
    for (const auto &[shape, count] : shapes) {
      BenchArray a((shape.transA ? shape.k : shape.m) * shape.lda);
      BenchArray b((shape.transB ? shape.n : shape.k) * shape.ldb), c(shape.m * shape.ldc);
      BenchArray workspace(gemmWorkspaceBytes(shape, threads) / sizeof(float));
      auto run = [&] {
        const titan::Status status =
            gemm(pool, shape, a.data(), b.data(), c.data(), workspace.bytes());
        if (!status.ok())
          std::fprintf(stderr, "%s\n", status.message().c_str());
      };
      run();
      seconds += clock.secondsOf([&] {
        for (int64_t i = 0; i < count; ++i)
          run();
      });
    }
    std::printf("%.6f\n", seconds);
  }
  return 0;
}

/// OpenMP reads its environment when it is loaded. A thread per core, and MKL's likewise.
void restartWithPinnedThreads(char **argv) {
  if (std::getenv("OMP_PROC_BIND"))
    return;
  setenv("OMP_PROC_BIND", "close", 1);
  setenv("OMP_PLACES", "cores", 1);
  execv("/proc/self/exe", argv);
}

} // namespace

int main(int argc, char **argv) {
  restartWithPinnedThreads(argv);
  int threads = std::stoi(option(argc, argv, "threads", "2"));
  int rounds = std::stoi(option(argc, argv, "rounds", "15"));
  double q = std::stod(option(argc, argv, "quantile", "0.5"));
  bool quick = option(argc, argv, "quick", "0") == "1";
  std::string shapesPath = option(argc, argv, "shapes", "");
  if (!shapesPath.empty())
    return timeShapes(shapesPath, threads, rounds);
  std::string mklPath = option(argc, argv, "mkl", "");
  Peers peers{{option(argc, argv, "clock", "wall") == "cpu", threads}};
  if (!mklPath.empty()) {
    void *library = dlopen(mklPath.c_str(), RTLD_NOW);
    peers.mkl = library ? reinterpret_cast<MklSgemm>(dlsym(library, "cblas_sgemm")) : nullptr;
    if (!peers.mkl) {
      std::fprintf(stderr, "no cblas_sgemm in %s: %s\n", mklPath.c_str(), dlerror());
      return 1;
    }
    if (auto setThreads = reinterpret_cast<void (*)(int)>(dlsym(library, "MKL_Set_Num_Threads")))
      setThreads(threads);
  }
  std::vector<GemmShape> shapes;
  constexpr int64_t rows = 2048;
  for (auto [dim, ffn] : {std::pair<int64_t, int64_t>{256, 768}, {1024, 2816}}) {
    addProjection(shapes, rows, dim, dim);
    addProjection(shapes, rows, dim, ffn);
    if (!quick)
      addProjection(shapes, rows, ffn, dim);
  }

  ThreadPool pool(threads);
  pinWorkers(pool);
  std::printf("%s, %d threads; GF/s, quantile %.2f of %d rounds\n",
              cpuFeatures().describe().c_str(), threads, q, rounds);
  std::printf("%-4s %5s %5s %5s | %7s %7s %7s | %7s %7s %7s\n", "", "m", "n", "k", "ours", "oneDNN",
              "MKL", "/peak", "/oneDNN", "/MKL");
  double flops = 0, ours = 0, oneDnn = 0, mkl = 0, peakTime = 0;
  for (const GemmShape &shape : shapes) {
    Times times = measure(pool, shape, peers, rounds, q);
    double work = 2.0 * shape.m * shape.n * shape.k;
    std::printf("%c%c%s %5ld %5ld %5ld | %7.1f %7.1f %7.1f | %7.2f %7.2f %7.2f\n",
                shape.transA ? 'T' : 'N', shape.transB ? 'T' : 'N', shape.accumulate ? "+=" : "= ",
                long(shape.m), long(shape.n), long(shape.k), work / times.ours / 1e9,
                work / times.oneDnn / 1e9, peers.mkl ? work / times.mkl / 1e9 : 0.0,
                work / times.ours / times.peak, times.oneDnn / times.ours, times.mkl / times.ours);
    std::fflush(stdout);
    flops += work;
    ours += times.ours;
    oneDnn += times.oneDnn;
    mkl += times.mkl;
    peakTime += work / times.peak;
  }
  std::printf("%-22s | %7.1f %7.1f %7.1f | %7.2f %7.2f %7.2f\n", "all, weighted by flops",
              flops / ours / 1e9, flops / oneDnn / 1e9, mkl > 0 ? flops / mkl / 1e9 : 0.0,
              peakTime / ours, oneDnn / ours, mkl / ours);
  return 0;
}
