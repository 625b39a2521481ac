// Kernels on bfloat16 are the float32 kernels on the same numbers, with one rounding at the end.
#include "runtime/device/cpu/BFloat16.h"
#include "runtime/device/cpu/Embedding.h"
#include "runtime/device/cpu/ThreadPool.h"
#include "test/unit/device/TestArrays.h"

#include <gtest/gtest.h>

using namespace titan;
using namespace titan::cpu;

namespace {

using Bits = std::vector<uint16_t>;

Bits narrow(const std::vector<float> &values) {
  Bits bits;
  for (float value : values)
    bits.push_back(toBFloat16(value));
  return bits;
}

std::vector<float> widen(const Bits &bits) {
  std::vector<float> values;
  for (uint16_t element : bits)
    values.push_back(fromBFloat16(element));
  return values;
}

Bits randomBits(int64_t count, uint32_t seed) { return narrow(randomFloats(count, seed)); }

} // namespace

TEST(BFloat16, RowsAreConvertedAsSingleNumbers) {
  // Every bfloat16, and numbers just below, at and just above the middle between neighbours.
  std::vector<float> values;
  for (uint32_t bits = 0; bits < 0x10000; ++bits)
    for (uint32_t low : {0u, 1u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu})
      values.push_back(std::bit_cast<float>(bits << 16 | low));
  ThreadPool pool(3);
  const auto width = static_cast<int64_t>(values.size()) / 8;
  Bits found(8 * (width + 3), 0x1234);
  narrowRows(pool, {8, width, width, width + 3}, values.data(), found.data());
  for (int64_t row = 0; row < 8; ++row)
    for (int64_t i = 0; i < width + 3; ++i)
      ASSERT_EQ(found[row * (width + 3) + i],
                i < width ? toBFloat16(values[row * width + i]) : 0x1234);
  std::vector<float> wide(8 * width);
  widenRows(pool, {8, width, width + 3, width}, found.data(), wide.data());
  for (size_t i = 0; i < wide.size(); ++i)
    ASSERT_EQ(std::bit_cast<uint32_t>(wide[i]), uint32_t(toBFloat16(values[i])) << 16);
}

namespace {

struct Product {
  GemmShape shape;
  Bits a, b, c;

  Product(int64_t m, int64_t n, int64_t k, bool transA, bool transB, bool accumulate,
          int64_t pad = 0, int64_t batch = 1) {
    shape = {m, n, k, transA, transB, accumulate};
    shape.lda = (transA ? m : k) + pad;
    shape.ldb = (transB ? k : n) + 2 * pad;
    shape.ldc = n + 3 * pad;
    shape.batch = batch;
    shape.strideA = shape.lda * (transA ? k : m);
    shape.strideB = shape.ldb * (transB ? n : k);
    shape.strideC = shape.ldc * m;
    a = randomBits(batch * shape.strideA, 1);
    b = randomBits(batch * shape.strideB, 2);
    c = randomBits(batch * shape.strideC, 3);
  }

  std::vector<float> expected(ThreadPool &pool, Isa isa) const {
    GuardedWorkspace workspace(gemmWorkspaceBytes(shape, pool.size(), isa));
    const auto wideA = widen(a), wideB = widen(b);
    auto wideC = widen(c);
    EXPECT_TRUE(
        gemm(pool, shape, wideA.data(), wideB.data(), wideC.data(), workspace.span(), isa).ok());
    return wideC;
  }

  /// With operands of these types.
  void check(ThreadPool &pool, DType typeA, DType typeB, DType typeC, Isa isa) const {
    auto wideA = widen(a), wideB = widen(b), wideC = widen(c);
    Bits copyA = a, copyB = b, copyC = c;
    auto matrix = [](DType type, std::vector<float> &wide, Bits &bits) {
      return type == DType::f32 ? MatrixData{type, wide.data()} : MatrixData{type, bits.data()};
    };
    GuardedWorkspace workspace(
        gemmMixedWorkspaceBytes(shape, typeA, typeB, typeC, pool.size(), isa));
    const Status status =
        gemmMixed(pool, shape, matrix(typeA, wideA, copyA), matrix(typeB, wideB, copyB),
                  matrix(typeC, wideC, copyC), workspace.span(), isa);
    ASSERT_TRUE(status.ok()) << status.message();
    EXPECT_TRUE(workspace.intact());
    EXPECT_EQ(copyA, a);
    EXPECT_EQ(copyB, b);
    const auto sums = expected(pool, isa);
    if (typeC == DType::f32)
      EXPECT_TRUE(sameBits(wideC, sums));
    else
      EXPECT_EQ(copyC, narrow(sums));
  }
};

} // namespace

TEST(BFloat16, ProductsOfEveryMixOfTypes) {
  ThreadPool pool(2);
  for (Isa isa : availableIsas())
    for (bool transA : {false, true})
      for (bool transB : {false, true})
        for (bool accumulate : {false, true})
          for (DType a : {DType::f32, DType::bf16})
            for (DType b : {DType::f32, DType::bf16})
              for (DType c : {DType::f32, DType::bf16}) {
                Product(13, 21, 17, transA, transB, accumulate, 3, 2).check(pool, a, b, c, isa);
                Product(5, 6, 0, transA, transB, accumulate).check(pool, a, b, c, isa);
              }
}

TEST(BFloat16, ProductsOfSeveralBlocks) {
  ThreadPool pool(2);
  constexpr DType kHalf = DType::bf16;
  for (bool accumulate : {false, true}) {
    Product(4099, 7, 5, false, true, accumulate).check(pool, kHalf, kHalf, kHalf, bestIsa());
    Product(3, 3085, 9, true, false, accumulate).check(pool, kHalf, kHalf, kHalf, bestIsa());
    Product(7, 11, 2059, true, true, accumulate).check(pool, kHalf, kHalf, DType::f32, bestIsa());
    Product(7, 11, 4200, false, false, accumulate).check(pool, kHalf, kHalf, kHalf, bestIsa());
  }
}

TEST(BFloat16, ProductsRefuseAWorkspaceThatIsTooSmall) {
  ThreadPool pool(1);
  Product product(4, 4, 4, false, false, false);
  const Status status =
      gemmMixed(pool, product.shape, {DType::bf16, product.a.data()},
                {DType::bf16, product.b.data()}, {DType::bf16, product.c.data()}, {});
  EXPECT_EQ(status.code(), StatusCode::invalidArgument);
  EXPECT_NE(status.message().find("gemm: the workspace has 0 bytes"), std::string::npos);
}

namespace {

/// Tensors [batch, rows, heads, dim], with gaps of `pad` between heads, rows and entries.
struct Attention {
  AttentionShape shape;
  HeadStrides outGradStrides;
  Bits q, k, v, out, outGrad;
  std::vector<int32_t> queryPositions;

  static HeadStrides strides(int64_t rows, int64_t heads, int64_t dim, int64_t pad) {
    const int64_t row = heads * (dim + pad) + pad;
    return {rows * row + pad, row, dim + pad};
  }

  Attention(int64_t batch, int64_t queries, int64_t keys, int64_t heads, int64_t kvHeads,
            int64_t dim, int64_t pad) {
    shape = {batch,
             queries,
             keys,
             heads,
             kvHeads,
             dim,
             /*scale=*/0.3f,
             /*causal=*/true,
             /*q=*/strides(queries, heads, dim, pad),
             /*k=*/strides(keys, kvHeads, dim, 2 * pad),
             /*v=*/strides(keys, kvHeads, dim, pad),
             /*out=*/strides(queries, heads, dim, 3 * pad)};
    outGradStrides = strides(queries, heads, dim, pad);
    q = randomBits(batch * shape.q.batch, 1);
    k = randomBits(batch * shape.k.batch, 2);
    v = randomBits(batch * shape.v.batch, 3);
    out = randomBits(batch * shape.out.batch, 4);
    outGrad = randomBits(batch * outGradStrides.batch, 5);
    for (int64_t i = 0; i < batch * queries; ++i)
      queryPositions.push_back(static_cast<int32_t>(i % queries + keys - queries));
  }

  void check(int threads, Isa isa) {
    ThreadPool pool(threads);
    const auto wideQ = widen(q), wideK = widen(k), wideV = widen(v), wideGrad = widen(outGrad);
    auto wideOut = widen(out);
    const int64_t rows = shape.batch * shape.heads * shape.queryLength;
    std::vector<float> lse(rows), wideLse(rows);
    const AttentionInputs wideInputs{wideQ.data(), wideK.data(), wideV.data(),
                                     queryPositions.data(), nullptr};
    const AttentionBf16Inputs inputs{q.data(), k.data(), v.data(), queryPositions.data(), nullptr};
    GuardedWorkspace wideSpace(attentionWorkspaceBytes(shape, threads, isa));
    GuardedWorkspace space(attentionBf16WorkspaceBytes(shape, threads, isa));
    ASSERT_TRUE(
        attention(pool, shape, wideInputs, wideOut.data(), wideLse.data(), wideSpace.span(), isa)
            .ok());
    ASSERT_TRUE(attentionBf16(pool, shape, inputs, out.data(), lse.data(), space.span(), isa).ok());
    EXPECT_TRUE(space.intact());
    EXPECT_EQ(out, narrow(wideOut));
    EXPECT_TRUE(sameBits(lse, wideLse));

    const AttentionGradShape gradShape{shape, outGradStrides, shape.q, shape.k, shape.v};
    Bits qGrad = q, kGrad = k, vGrad = v;
    auto wideQGrad = wideQ, wideKGrad = wideK, wideVGrad = wideV;
    wideOut = widen(out); // the backward reads it rounded
    GuardedWorkspace wideGradSpace(attentionGradWorkspaceBytes(gradShape, threads, isa));
    GuardedWorkspace gradSpace(attentionBf16GradWorkspaceBytes(gradShape, threads, isa));
    ASSERT_TRUE(attentionGrad(
                    pool, gradShape, {wideInputs, wideOut.data(), lse.data(), wideGrad.data()},
                    wideQGrad.data(), wideKGrad.data(), wideVGrad.data(), wideGradSpace.span(), isa)
                    .ok());
    ASSERT_TRUE(attentionBf16Grad(pool, gradShape, {inputs, out.data(), lse.data(), outGrad.data()},
                                  qGrad.data(), kGrad.data(), vGrad.data(), gradSpace.span(), isa)
                    .ok());
    EXPECT_TRUE(gradSpace.intact());
    EXPECT_EQ(qGrad, narrow(wideQGrad));
    EXPECT_EQ(kGrad, narrow(wideKGrad));
    EXPECT_EQ(vGrad, narrow(wideVGrad));
  }
};

} // namespace

TEST(BFloat16, AttentionAndItsGradient) {
  for (Isa isa : availableIsas())
    for (int64_t pad : {0, 2}) {
      SCOPED_TRACE(std::string(toString(isa)) + ", pad " + std::to_string(pad));
      Attention(2, 70, 70, 4, 2, 16, pad).check(2, isa);
      Attention(1, 5, 33, 3, 1, 24, pad).check(3, isa);
    }
}

TEST(BFloat16, EmbeddingAndItsGradient) {
  ThreadPool pool(2);
  const EmbeddingShape shape{150, 40, 33, 35, 34};
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < shape.tokens; ++i)
    tokens.push_back(static_cast<int32_t>(i % 3 ? i % 16 : 39));
  const int32_t first = 8;
  EmbeddingShape part = shape;
  part.vocabulary = 32;
  const Bits table = randomBits(shape.vocabulary * shape.tableStride, 1);
  Bits output(shape.tokens * shape.outputStride, 0x1234);
  ASSERT_TRUE(embedding(pool, part, tokens.data(), table.data(), output.data(), &first).ok());
  for (int64_t i = 0; i < shape.tokens; ++i)
    for (int64_t j = 0; j < shape.outputStride; ++j) {
      const bool isOwn = tokens[i] >= first;
      const uint16_t wanted = isOwn ? table[(tokens[i] - first) * shape.tableStride + j] : 0;
      ASSERT_EQ(output[i * shape.outputStride + j], j < shape.dim ? wanted : 0x1234);
    }
  const Bits outputGrad = randomBits(shape.tokens * shape.outputStride, 2);
  const auto wideGrad = widen(outputGrad);
  auto found = randomFloats(shape.vocabulary * shape.tableStride, 3), expected = found;
  GuardedWorkspace workspace(embeddingGradWorkspaceBytes(shape));
  ASSERT_TRUE(embeddingGrad(pool, part, tokens.data(), outputGrad.data(), found.data(),
                            workspace.span(), &first)
                  .ok());
  ASSERT_TRUE(embeddingGrad(pool, part, tokens.data(), wideGrad.data(), expected.data(),
                            workspace.span(), &first)
                  .ok());
  EXPECT_TRUE(sameBits(found, expected));
}
