#include "runtime/device/cpu/BFloat16.h"
#include "runtime/device/cpu/GemmInternal.h"
#include "runtime/device/cpu/ThreadPool.h"

#include <algorithm>

namespace titan::cpu {

namespace {

/// Blocks in which matrices are widened: they bound the workspace, at about 110 MB.
constexpr int64_t kRows = 4096;
constexpr int64_t kColumns = 3072;
constexpr int64_t kDepth = 2048;

/// Room for one block of each matrix that is not float32.
struct Buffers {
  float *a, *b, *c;
  std::span<std::byte> product; ///< for gemm() on a block

  Buffers(Workspace &space, const GemmShape &shape, DType typeA, DType typeB, DType typeC,
          int threads, Isa isa) {
    const int64_t m = std::min(shape.m, kRows), n = std::min(shape.n, kColumns);
    const int64_t k = std::min(shape.k, kDepth);
    a = space.take<float>(typeA == DType::f32 ? 0 : m * k);
    b = space.take<float>(typeB == DType::f32 ? 0 : k * n);
    c = space.take<float>(typeC == DType::f32 ? 0 : m * n);
    // The largest block is the first; no other needs more.
    GemmShape block = shape;
    block.m = m;
    block.n = n;
    block.k = k;
    block.batch = 1;
    const int64_t bytes = gemmWorkspaceBytes(block, threads, isa);
    product = {space.take<std::byte>(bytes), static_cast<size_t>(bytes)};
  }
};

/// Rows and columns of a block of a stored matrix.
struct Part {
  int64_t row, rows, column, columns;
};

class MixedProduct {
public:
  MixedProduct(ThreadPool &pool, const GemmShape &shape, const MatrixData &a, const MatrixData &b,
               const MatrixData &c, const Buffers &buffers, Isa isa)
      : pool(pool), shape(shape), a(a), b(b), c(c), buffers(buffers), isa(isa) {}

  Status run() {
    for (int64_t matrix = 0; matrix < shape.batch; ++matrix)
      for (int64_t row = 0; row < shape.m; row += kRows)
        for (int64_t column = 0; column < shape.n; column += kColumns)
          TITAN_RETURN_IF_ERROR(multiply(matrix, row, column));
    return okStatus();
  }

private:
  /// Sums over the depth of one block of C.
  Status multiply(int64_t matrix, int64_t row, int64_t column) {
    const Part part{row, std::min(kRows, shape.m - row), column,
                    std::min(kColumns, shape.n - column)};
    const int64_t at = matrix * shape.strideC + row * shape.ldc + column;
    const bool narrow = c.type != DType::f32;
    auto *bits = static_cast<uint16_t *>(c.data) + at;
    float *sums = narrow ? buffers.c : static_cast<float *>(c.data) + at;
    if (narrow && shape.accumulate)
      widenRows(pool, {part.rows, part.columns, shape.ldc, part.columns}, bits, sums);
    for (int64_t k = 0; k == 0 || k < shape.k; k += kDepth) {
      const int64_t depth = std::min(kDepth, shape.k - k);
      GemmShape block = shape;
      block.batch = 1;
      block.m = part.rows;
      block.n = part.columns;
      block.k = depth;
      block.accumulate = shape.accumulate || k > 0;
      block.ldc = narrow ? part.columns : shape.ldc;
      const Part partA =
          shape.transA ? Part{k, depth, part.row, part.rows} : Part{part.row, part.rows, k, depth};
      const Part partB = shape.transB ? Part{part.column, part.columns, k, depth}
                                      : Part{k, depth, part.column, part.columns};
      const float *left = load(a, matrix * shape.strideA, block.lda, partA, buffers.a);
      const float *right = load(b, matrix * shape.strideB, block.ldb, partB, buffers.b);
      TITAN_RETURN_IF_ERROR(gemm(pool, block, left, right, sums, buffers.product, isa));
    }
    if (narrow)
      narrowRows(pool, {part.rows, part.columns, part.columns, shape.ldc}, sums, bits);
    return okStatus();
  }

  /// A block in float32; `stride` becomes that of its rows.
  const float *load(const MatrixData &matrix, int64_t offset, int64_t &stride, const Part &part,
                    float *buffer) {
    const int64_t at = offset + part.row * stride + part.column;
    if (matrix.type == DType::f32)
      return static_cast<const float *>(matrix.data) + at;
    widenRows(pool, {part.rows, part.columns, stride, part.columns},
              static_cast<const uint16_t *>(matrix.data) + at, buffer);
    stride = part.columns;
    return buffer;
  }

  ThreadPool &pool;
  const GemmShape &shape;
  const MatrixData &a, &b, &c;
  const Buffers &buffers;
  Isa isa;
};

} // namespace

int64_t gemmMixedWorkspaceBytes(const GemmShape &shape, DType a, DType b, DType c, int threads,
                                Isa isa) {
  Workspace measured;
  Buffers buffers(measured, shape, a, b, c, threads, isa);
  return measured.usedBytes();
}

Status gemmMixed(ThreadPool &pool, const GemmShape &shape, const MatrixData &a, const MatrixData &b,
                 const MatrixData &c, std::span<std::byte> workspace, Isa isa) {
  TITAN_RETURN_IF_ERROR(checkGemmShape(shape));
  Workspace space(workspace);
  TITAN_RETURN_IF_ERROR(space.check(
      "gemm", gemmMixedWorkspaceBytes(shape, a.type, b.type, c.type, pool.size(), isa)));
  const Buffers buffers(space, shape, a.type, b.type, c.type, pool.size(), isa);
  return MixedProduct(pool, shape, a, b, c, buffers, isa).run();
}

} // namespace titan::cpu
