// Causal attention as a share of the fused multiply-add peak, counting the flops of unmasked pairs
// (2 products forward, 5 backward).
//
//   AttentionBench [--threads=N] [--rounds=N] [--length=N] [--quantile=0.5] [--clock=wall|cpu]
//
// Every round runs the peak, the forward and the backward one after another; the table has medians
// over the rounds (or another quantile).

#include "runtime/device/cpu/Attention.h"
#include "test/bench/BenchSupport.h"

#include <cmath>
#include <cstdio>

using namespace titan::cpu;

namespace {

struct Times {
  double forward, backward, peak;
};

HeadStrides denseStrides(int64_t length, int64_t heads, int64_t dim) {
  return {length * heads * dim, heads * dim, dim};
}

AttentionGradShape shapeOf(int64_t length, int64_t heads, int64_t kvHeads, int64_t dim) {
  AttentionGradShape grad;
  AttentionShape &shape = grad.forward;
  shape.batch = 1;
  shape.queryLength = shape.keyLength = length;
  shape.heads = heads;
  shape.kvHeads = kvHeads;
  shape.headDim = dim;
  shape.scale = 1.0f / std::sqrt(float(dim));
  shape.q = shape.out = grad.outGrad = grad.qGrad = denseStrides(length, heads, dim);
  shape.k = shape.v = grad.kGrad = grad.vGrad = denseStrides(length, kvHeads, dim);
  return grad;
}

Times measure(ThreadPool &pool, const AttentionGradShape &grad, int rounds, double q,
              const BenchClock &clock) {
  const AttentionShape &shape = grad.forward;
  int64_t queryFloats = shape.q.batch, keyFloats = shape.k.batch;
  BenchArray query(queryFloats), key(keyFloats), value(keyFloats), out(queryFloats),
      outGrad(queryFloats), lse(shape.heads * shape.queryLength), queryGrad(queryFloats),
      keyGrad(keyFloats), valueGrad(keyFloats);
  BenchArray workspace(std::max(attentionWorkspaceBytes(shape, pool.size()),
                                attentionGradWorkspaceBytes(grad, pool.size())) /
                       sizeof(float));
  AttentionInputs inputs{query.data(), key.data(), value.data()};
  AttentionGradInputs gradInputs{inputs, out.data(), lse.data(), outGrad.data()};
  std::vector<double> forward, backward, peak;
  for (int round = 0; round <= rounds; ++round) {
    peak.push_back(fmaPeak(pool, bestIsa(), clock));
    double start = clock.now();
    (void)attention(pool, shape, inputs, out.data(), lse.data(), workspace.bytes());
    double middle = clock.now();
    (void)attentionGrad(pool, grad, gradInputs, queryGrad.data(), keyGrad.data(), valueGrad.data(),
                        workspace.bytes());
    if (round > 0) { // the first touches the memory
      forward.push_back(middle - start);
      backward.push_back(clock.now() - middle);
    }
  }
  return {quantile(forward, q), quantile(backward, q), quantile(peak, 1 - q)};
}

} // namespace

int main(int argc, char **argv) {
  int threads = std::stoi(option(argc, argv, "threads", "2"));
  int rounds = std::stoi(option(argc, argv, "rounds", "15"));
  int64_t length = std::stol(option(argc, argv, "length", "2048"));
  double q = std::stod(option(argc, argv, "quantile", "0.5"));
  BenchClock clock{option(argc, argv, "clock", "wall") == "cpu", threads};
  ThreadPool pool(threads);
  pinWorkers(pool);
  std::printf("%s, %d threads, length %ld, quantile %.2f of %d rounds\n",
              cpuFeatures().describe().c_str(), threads, long(length), q, rounds);
  std::printf("%-14s | %9s %7s %7s | %9s %7s %7s | %7s\n", "heads/kv x dim", "fwd ms", "GF/s",
              "/peak", "bwd ms", "GF/s", "/peak", "peak");
  for (auto [heads, kvHeads, dim] :
       {std::array<int64_t, 3>{16, 16, 16}, {16, 16, 64}, {8, 8, 128}, {16, 4, 64}}) {
    AttentionGradShape shape = shapeOf(length, heads, kvHeads, dim);
    Times times = measure(pool, shape, rounds, q, clock);
    double flops = 2.0 * length * (length + 1) * heads * dim;
    std::printf("%4ld/%2ld x %-4ld | %9.2f %7.1f %7.2f | %9.2f %7.1f %7.2f | %7.1f\n", long(heads),
                long(kvHeads), long(dim), times.forward * 1e3, flops / times.forward / 1e9,
                flops / times.forward / times.peak, times.backward * 1e3,
                2.5 * flops / times.backward / 1e9, 2.5 * flops / times.backward / times.peak,
                times.peak / 1e9);
    std::fflush(stdout);
  }
  return 0;
}
