#include "runtime/device/cpu/Gemm.h"
#include "runtime/device/cpu/GemmInternal.h"
#include "runtime/device/cpu/ThreadPool.h"

#include <algorithm>

namespace titan::cpu {

static Status checkLeadingDimension(const char *name, int64_t value, int64_t rowLength) {
  if (value >= rowLength)
    return okStatus();
  return invalidArgument(std::string("gemm: ") + name + " is " + std::to_string(value) +
                         ", a row has " + std::to_string(rowLength) + " elements");
}

Status checkGemmShape(const GemmShape &shape) {
  if (shape.m < 0 || shape.n < 0 || shape.k < 0 || shape.batch < 0)
    return invalidArgument("gemm: m, n, k and batch are " + std::to_string(shape.m) + ", " +
                           std::to_string(shape.n) + ", " + std::to_string(shape.k) + " and " +
                           std::to_string(shape.batch) + ", which must not be negative");
  TITAN_RETURN_IF_ERROR(checkLeadingDimension("lda", shape.lda, shape.transA ? shape.m : shape.k));
  TITAN_RETURN_IF_ERROR(checkLeadingDimension("ldb", shape.ldb, shape.transB ? shape.k : shape.n));
  TITAN_RETURN_IF_ERROR(checkLeadingDimension("ldc", shape.ldc, shape.n));
  if (shape.batch > 1 && shape.strideC == 0)
    return invalidArgument("gemm: strideC is 0 with a batch of " + std::to_string(shape.batch) +
                           ", so that its results would overlap");
  return okStatus();
}

void clearGemmResult(const GemmShape &shape, float *c) {
  if (shape.accumulate)
    return;
  for (int64_t matrix = 0; matrix < shape.batch; ++matrix)
    for (int64_t row = 0; row < shape.m; ++row)
      std::fill_n(c + matrix * shape.strideC + row * shape.ldc, shape.n, 0.0f);
}

static bool isEmpty(const GemmShape &shape) {
  return std::min({shape.m, shape.n, shape.k, shape.batch}) <= 0;
}

int64_t gemmWorkspaceBytes(const GemmShape &shape, int threads, Isa isa) {
  const GemmTiled *tiled = tiledGemm(isa);
  return tiled && !isEmpty(shape) ? tiled->workspaceBytes(shape, threads) : 0;
}

Status gemm(ThreadPool &pool, const GemmShape &shape, const float *a, const float *b, float *c,
            std::span<std::byte> workspace, Isa isa) {
  TITAN_RETURN_IF_ERROR(checkGemmShape(shape));
  const GemmTiled *tiled = tiledGemm(isa);
  if (!tiled)
    return gemmOneDnn(pool, shape, a, b, c);
  if (isEmpty(shape)) {
    clearGemmResult(shape, c);
    return okStatus();
  }
  Workspace space(workspace);
  TITAN_RETURN_IF_ERROR(space.check("gemm", tiled->workspaceBytes(shape, pool.size())));
  tiled->run(pool, shape, a, b, c, space);
  return okStatus();
}

} // namespace titan::cpu
