#include "runtime/device/cpu/GemmInternal.h"
#include "runtime/device/cpu/ThreadPool.h"

#include <algorithm>
#include <oneapi/dnnl/dnnl.h>

// Of the OpenMP runtime that Debian's oneDNN uses; its header comes with gcc only.
extern "C" void omp_set_num_threads(int threads);

namespace titan::cpu {

Status gemmOneDnn(ThreadPool &pool, const GemmShape &shape, const float *a, const float *b,
                  float *c) {
  TITAN_RETURN_IF_ERROR(checkGemmShape(shape));
  if (shape.k == 0 || shape.m == 0 || shape.n == 0) {
    clearGemmResult(shape, c);
    return okStatus();
  }
  // oneDNN computes fixed chunks of rows, one thread each: a second pool of spinning threads beside
  // ours would cost more than oneDNN's own partition wins, and its bits depend on the thread count.
  constexpr int64_t rowsPerChunk = 128;
  int64_t chunks = (shape.m + rowsPerChunk - 1) / rowsPerChunk;
  std::atomic<int> failure{dnnl_success};
  pool.parallelFor(
      chunks * shape.batch,
      [&](int64_t begin, int64_t end, int) {
        omp_set_num_threads(1); // a setting of the calling thread
        for (int64_t block = begin; block < end; ++block) {
          int64_t matrix = block / chunks, row = block % chunks * rowsPerChunk;
          int64_t rows = std::min(rowsPerChunk, shape.m - row);
          const float *chunkA = a + matrix * shape.strideA + (shape.transA ? row : row * shape.lda);
          dnnl_status_t status =
              dnnl_sgemm(shape.transA ? 'T' : 'N', shape.transB ? 'T' : 'N', rows, shape.n, shape.k,
                         1.0f, chunkA, shape.lda, b + matrix * shape.strideB, shape.ldb,
                         shape.accumulate ? 1.0f : 0.0f,
                         c + matrix * shape.strideC + row * shape.ldc, shape.ldc);
          if (status != dnnl_success)
            failure.store(status);
        }
      },
      /*maxRange=*/1);
  if (failure.load() != dnnl_success)
    return internalError("oneDNN's dnnl_sgemm failed with status " +
                         std::to_string(failure.load()));
  return okStatus();
}

} // namespace titan::cpu
