#include "runtime/device/cpu/Gemm.h"
#include "runtime/device/cpu/ThreadPool.h"
#include "test/unit/device/TestArrays.h"

#include <gtest/gtest.h>

using namespace titan;
using namespace titan::cpu;

namespace {

struct Problem {
  GemmShape shape;
  std::vector<float> a, b, c;
};

Problem makeProblem(int64_t m, int64_t n, int64_t k, bool transA, bool transB, bool accumulate,
                    int64_t pad = 0, int64_t batch = 1) {
  Problem problem;
  GemmShape &shape = problem.shape;
  shape = {m, n, k, transA, transB, accumulate};
  shape.lda = (transA ? m : k) + pad;
  shape.ldb = (transB ? k : n) + 2 * pad;
  shape.ldc = n + 3 * pad;
  shape.batch = batch;
  shape.strideA = shape.lda * (transA ? k : m) + pad;
  shape.strideB = shape.ldb * (transB ? n : k) + pad;
  shape.strideC = shape.ldc * m + pad + 1;
  problem.a = randomFloats(batch * shape.strideA, 1);
  problem.b = randomFloats(batch * shape.strideB, 2);
  problem.c = randomFloats(batch * shape.strideC, 3);
  return problem;
}

std::string describe(const GemmShape &shape) {
  return std::to_string(shape.m) + " x " + std::to_string(shape.n) + " x " +
         std::to_string(shape.k) + (shape.transA ? " T" : " N") + (shape.transB ? "T" : "N") +
         (shape.accumulate ? " +=" : " =") + " batch " + std::to_string(shape.batch);
}

std::vector<double> reference(const Problem &problem) {
  const GemmShape &shape = problem.shape;
  std::vector<double> c(problem.c.begin(), problem.c.end());
  for (int64_t z = 0; z < shape.batch; ++z)
    for (int64_t i = 0; i < shape.m; ++i)
      for (int64_t j = 0; j < shape.n; ++j) {
        double &sum = c[z * shape.strideC + i * shape.ldc + j];
        sum = shape.accumulate ? sum : 0;
        for (int64_t p = 0; p < shape.k; ++p) {
          double x =
              problem.a[z * shape.strideA + (shape.transA ? p * shape.lda + i : i * shape.lda + p)];
          double y =
              problem.b[z * shape.strideB + (shape.transB ? j * shape.ldb + p : p * shape.ldb + j)];
          sum += x * y;
        }
      }
  return c;
}

/// C after gemm() on `threads`; the elements between the rows are part of it.
std::vector<float> multiply(const Problem &problem, int threads, Isa isa) {
  ThreadPool pool(threads);
  std::vector<float> c = problem.c;
  GuardedWorkspace workspace(gemmWorkspaceBytes(problem.shape, threads, isa));
  Status status = gemm(pool, problem.shape, problem.a.data(), problem.b.data(), c.data(),
                       workspace.span(), isa);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_TRUE(workspace.intact()) << describe(problem.shape);
  return c;
}

void expectRight(const Problem &problem) {
  auto expected = reference(problem);
  // Sums of k products of normal numbers; 1e-6 is a few units in the last place of the largest.
  double tolerance = 1e-6 * std::sqrt(problem.shape.k + 1.0);
  for (Isa isa : availableIsas()) {
    auto found = multiply(problem, 2, isa);
    EXPECT_LE(relativeError(found, expected), tolerance)
        << describe(problem.shape) << " on " << toString(isa);
    for (int threads : {1, 3, 4})
      EXPECT_TRUE(sameBits(multiply(problem, threads, isa), found))
          << describe(problem.shape) << " on " << toString(isa) << " with " << threads
          << " threads";
  }
}

void expectRightForEveryForm(int64_t m, int64_t n, int64_t k, int64_t pad = 0, int64_t batch = 1) {
  for (bool transA : {false, true})
    for (bool transB : {false, true})
      for (bool accumulate : {false, true})
        expectRight(makeProblem(m, n, k, transA, transB, accumulate, pad, batch));
}

} // namespace

TEST(Gemm, SmallAndEmptySizes) {
  for (int64_t m : {0, 1, 2, 7})
    for (int64_t n : {0, 1, 5, 17})
      for (int64_t k : {0, 1, 3, 9})
        expectRightForEveryForm(m, n, k);
}

TEST(Gemm, EdgesOfTiles) {
  for (auto [m, n, k] : {std::array<int64_t, 3>{6, 16, 8},
                         {5, 15, 7},
                         {7, 33, 65},
                         {13, 63, 20},
                         {12, 64, 16},
                         {49, 65, 31},
                         {97, 130, 100}})
    expectRightForEveryForm(m, n, k, /*pad=*/3);
}

TEST(Gemm, SeveralBlocksOfEverySize) {
  expectRightForEveryForm(259, 71, 1100);
  expectRightForEveryForm(131, 700, 263);
  expectRight(makeProblem(64, 3301, 40, false, true, false));
  expectRight(makeProblem(20, 48, 4500, true, false, true));
  // Panels in place, and packed because of many rows or a power of two; a transposed left operand
  // packed, and in place because of few columns.
  expectRight(makeProblem(140, 128, 1100, false, false, false, /*pad=*/3));
  expectRight(makeProblem(260, 304, 1100, true, false, true, /*pad=*/3));
  expectRight(makeProblem(260, 40, 1100, true, false, true, /*pad=*/3));
  expectRight(makeProblem(780, 96, 530, true, false, true));
  expectRight(makeProblem(32, 512, 600, true, false, true));
}

TEST(Gemm, Batches) {
  expectRightForEveryForm(11, 19, 23, /*pad=*/1, /*batch=*/3);
  expectRightForEveryForm(5, 6, 7, 0, /*batch=*/0);
}

TEST(Gemm, AStrideOfZeroRepeatsAnOperand) {
  Problem problem = makeProblem(9, 20, 30, false, true, true, 0, 4);
  problem.shape.strideB = 0;
  expectRight(problem);
}

TEST(Gemm, AgreesWithOneDnn) {
  ThreadPool pool(2);
  for (auto [transA, transB] : {std::pair{false, true}, {false, false}, {true, false}}) {
    Problem problem = makeProblem(300, 256, 513, transA, transB, true);
    auto expected = problem.c;
    ASSERT_TRUE(
        gemmOneDnn(pool, problem.shape, problem.a.data(), problem.b.data(), expected.data()).ok());
    auto found = multiply(problem, 2, bestIsa());
    EXPECT_LE(relativeError(found, {expected.begin(), expected.end()}), 2e-6);
  }
}

TEST(Gemm, InfinitiesAndNaNsPropagate) {
  Problem problem = makeProblem(8, 18, 5, false, false, false);
  problem.a[2 * problem.shape.lda + 1] = INFINITY;
  problem.b[3 * problem.shape.ldb + 17] = NAN;
  for (Isa isa : availableIsas()) {
    auto c = multiply(problem, 1, isa);
    for (int64_t i = 0; i < 8; ++i)
      for (int64_t j = 0; j < 18; ++j) {
        float value = c[i * problem.shape.ldc + j];
        EXPECT_EQ(std::isnan(value), j == 17);
        EXPECT_EQ(std::isinf(value), i == 2 && j != 17);
      }
  }
}

TEST(Gemm, RefusesBadArguments) {
  ThreadPool pool(1);
  float x[64] = {};
  auto message = [&](GemmShape shape) {
    Status status = gemm(pool, shape, x, x, x, {});
    EXPECT_EQ(status.code(), StatusCode::invalidArgument);
    return status.message();
  };
  EXPECT_EQ(message({-1, 2, 2}), "gemm: m, n, k and batch are -1, 2, 2 and 1, which must not be "
                                 "negative");
  EXPECT_EQ(message({2, 2, 3, false, false, false, 2, 2, 2}),
            "gemm: lda is 2, a row has 3 elements");
  EXPECT_EQ(message({2, 2, 3, true, true, false, 2, 2, 2}), "gemm: ldb is 2, a row has 3 elements");
  EXPECT_EQ(message({2, 2, 3, true, true, false, 2, 3, 1}), "gemm: ldc is 1, a row has 2 elements");
  EXPECT_EQ(message({2, 2, 3, true, true, false, 2, 3, 2, 2, 0, 0, 0}),
            "gemm: strideC is 0 with a batch of 2, so that its results would overlap");
}
