// Matrix multiplication in float32 on the thread pool.
#pragma once

#include "runtime/base/Status.h"
#include "runtime/device/cpu/CpuFeatures.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace titan::cpu {

class ThreadPool;

/// C[m, n] = op(A)[m, k] op(B)[k, n], or C += with `accumulate`; all row-major. op(X) is X, or its
/// transpose: with transA, A is stored [k, m]; with transB, B is stored [n, k].
struct GemmShape {
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;
  bool transA = false;
  bool transB = false;
  bool accumulate = false;
  int64_t lda = 0; ///< elements from one stored row of A to the next
  int64_t ldb = 0;
  int64_t ldc = 0;
  int64_t batch = 1;   ///< matrices of this shape, one after another
  int64_t strideA = 0; ///< elements from one matrix of a batch to the next; 0 repeats the matrix
  int64_t strideB = 0;
  int64_t strideC = 0; ///< not 0 when batch > 1
};

/// Bytes of workspace, aligned to 64, that gemm() needs on a pool of `threads`.
int64_t gemmWorkspaceBytes(const GemmShape &shape, int threads, Isa isa = bestIsa());

/// Multiplies. Allocates nothing; the result's bits do not depend on the number of threads. C must
/// not overlap A or B. Errors (invalid argument): negative sizes, a leading dimension shorter than
/// its row, a workspace below gemmWorkspaceBytes.
Status gemm(ThreadPool &pool, const GemmShape &shape, const float *a, const float *b, float *c,
            std::span<std::byte> workspace, Isa isa = bestIsa());

/// The same by oneDNN, without a workspace: what gemm() falls back to on CPUs it has no tile for,
/// and the oracle of its tests and benchmarks. Its bits do not depend on the number of threads.
Status gemmOneDnn(ThreadPool &pool, const GemmShape &shape, const float *a, const float *b,
                  float *c);

} // namespace titan::cpu
