#include "runtime/device/cpu/Attention.h"
#include "runtime/device/cpu/ThreadPool.h"
#include "test/unit/device/TestArrays.h"

#include <gtest/gtest.h>

#include <limits>

using namespace titan;
using namespace titan::cpu;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// A tensor [batch, rows, heads, dim] with its strides; gaps keep their values.
struct Tensor {
  HeadStrides strides;
  std::vector<float> data;

  Tensor(int64_t batch, int64_t rows, int64_t heads, int64_t dim, int64_t pad, uint32_t seed) {
    strides.head = dim + pad;
    strides.row = heads * strides.head + 2 * pad;
    strides.batch = rows * strides.row + pad;
    data = randomFloats(std::max<int64_t>(batch * strides.batch, 1), seed);
  }
  int64_t at(int64_t b, int64_t row, int64_t head) const {
    return b * strides.batch + row * strides.row + head * strides.head;
  }
};

struct Results {
  std::vector<float> out, lse, qGrad, kGrad, vGrad;
};

struct Expected {
  std::vector<double> out, lse, qGrad, kGrad, vGrad;
};

struct Case {
  AttentionShape shape;
  int64_t pad = 0;
  std::vector<int32_t> queryPositions, keyPositions;
  Tensor q, k, v, out, outGrad;

  Case(int64_t batch, int64_t queryLength, int64_t keyLength, int64_t heads, int64_t kvHeads,
       int64_t dim, bool causal = true, int64_t pad = 0)
      : pad(pad), q(batch, queryLength, heads, dim, pad, 1),
        k(batch, keyLength, kvHeads, dim, pad, 2), v(batch, keyLength, kvHeads, dim, 2 * pad, 3),
        out(batch, queryLength, heads, dim, 3 * pad, 4),
        outGrad(batch, queryLength, heads, dim, pad, 5) {
    shape.batch = batch;
    shape.queryLength = queryLength;
    shape.keyLength = keyLength;
    shape.heads = heads;
    shape.kvHeads = kvHeads;
    shape.headDim = dim;
    shape.scale = dim ? 1.5f / std::sqrt(float(dim)) : 1.0f;
    shape.causal = causal;
    shape.q = q.strides;
    shape.k = k.strides;
    shape.v = v.strides;
    shape.out = out.strides;
  }

  AttentionInputs inputs() const {
    return {q.data.data(), k.data.data(), v.data.data(),
            queryPositions.empty() ? nullptr : queryPositions.data(),
            keyPositions.empty() ? nullptr : keyPositions.data()};
  }

  bool sees(int64_t b, int64_t query, int64_t key) const {
    int64_t qp = queryPositions.empty() ? query : queryPositions[b * shape.queryLength + query];
    int64_t kp = keyPositions.empty() ? key : keyPositions[b * shape.keyLength + key];
    return !shape.causal || qp >= kp;
  }

  std::string describe() const {
    return "batch " + std::to_string(shape.batch) + ", lengths " +
           std::to_string(shape.queryLength) + " and " + std::to_string(shape.keyLength) +
           ", heads " + std::to_string(shape.heads) + "/" + std::to_string(shape.kvHeads) +
           ", dim " + std::to_string(shape.headDim) + (shape.causal ? ", causal" : "") + ", pad " +
           std::to_string(pad) + (queryPositions.empty() ? "" : ", query positions") +
           (keyPositions.empty() ? "" : ", key positions");
  }
};

Results run(const Case &test, int threads, Isa isa) {
  ThreadPool pool(threads);
  const AttentionShape &shape = test.shape;
  Results results;
  results.out = test.out.data;
  results.lse.assign(shape.batch * shape.heads * shape.queryLength, 5.0f);
  results.qGrad = test.q.data;
  results.kGrad = test.k.data;
  results.vGrad = test.v.data;
  GuardedWorkspace workspace(attentionWorkspaceBytes(shape, threads, isa));
  Status status = attention(pool, shape, test.inputs(), results.out.data(), results.lse.data(),
                            workspace.span(), isa);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_TRUE(workspace.intact()) << test.describe();

  AttentionGradShape gradShape{shape, test.outGrad.strides, shape.q, shape.k, shape.v};
  AttentionGradInputs gradInputs{test.inputs(), results.out.data(), results.lse.data(),
                                 test.outGrad.data.data()};
  GuardedWorkspace gradWorkspace(attentionGradWorkspaceBytes(gradShape, threads, isa));
  status = attentionGrad(pool, gradShape, gradInputs, results.qGrad.data(), results.kGrad.data(),
                         results.vGrad.data(), gradWorkspace.span(), isa);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_TRUE(gradWorkspace.intact()) << test.describe();
  return results;
}

/// One query of the reference: its row of `expected`, and its terms of the gradients.
void referenceRow(const Case &test, int64_t b, int64_t h, int64_t i, Expected &expected) {
  const AttentionShape &shape = test.shape;
  int64_t kvHead = h / (shape.heads / shape.kvHeads);
  auto dot = [&](const Tensor &x, int64_t xAt, const Tensor &y, int64_t yAt) {
    double sum = 0;
    for (int64_t d = 0; d < shape.headDim; ++d)
      sum += double(x.data[xAt + d]) * y.data[yAt + d];
    return sum;
  };
  int64_t qAt = test.q.at(b, i, h), outAt = test.out.at(b, i, h),
          outGradAt = test.outGrad.at(b, i, h);
  std::vector<double> weights(shape.keyLength, -kInfinity);
  double largest = -kInfinity, sum = 0;
  for (int64_t j = 0; j < shape.keyLength; ++j)
    if (test.sees(b, i, j)) {
      weights[j] = double(shape.scale) * dot(test.q, qAt, test.k, test.k.at(b, j, kvHead));
      largest = std::max(largest, weights[j]);
    }
  for (double &weight : weights)
    sum += weight = weight == -kInfinity ? 0 : std::exp(weight - largest);
  expected.lse[(b * shape.heads + h) * shape.queryLength + i] =
      sum > 0 ? largest + std::log(sum) : -kInfinity;
  for (int64_t d = 0; d < shape.headDim; ++d)
    expected.out[outAt + d] = expected.qGrad[qAt + d] = 0;
  double delta = 0;
  for (int64_t j = 0; j < shape.keyLength && sum > 0; ++j) {
    if (!test.sees(b, i, j))
      continue;
    weights[j] /= sum;
    for (int64_t d = 0; d < shape.headDim; ++d)
      expected.out[outAt + d] += weights[j] * test.v.data[test.v.at(b, j, kvHead) + d];
    delta += weights[j] * dot(test.outGrad, outGradAt, test.v, test.v.at(b, j, kvHead));
  }
  for (int64_t j = 0; j < shape.keyLength && sum > 0; ++j) {
    if (!test.sees(b, i, j))
      continue;
    int64_t kAt = test.k.at(b, j, kvHead), vAt = test.v.at(b, j, kvHead);
    double scoreGrad =
        shape.scale * weights[j] * (dot(test.outGrad, outGradAt, test.v, vAt) - delta);
    for (int64_t d = 0; d < shape.headDim; ++d) {
      expected.vGrad[vAt + d] += weights[j] * test.outGrad.data[outGradAt + d];
      expected.kGrad[kAt + d] += scoreGrad * test.q.data[qAt + d];
      expected.qGrad[qAt + d] += scoreGrad * test.k.data[kAt + d];
    }
  }
}

Expected reference(const Case &test) {
  const AttentionShape &shape = test.shape;
  auto doubles = [](const std::vector<float> &x) {
    return std::vector<double>(x.begin(), x.end());
  };
  Expected expected{doubles(test.out.data),
                    std::vector<double>(shape.batch * shape.heads * shape.queryLength),
                    doubles(test.q.data), doubles(test.k.data), doubles(test.v.data)};
  for (int64_t b = 0; b < shape.batch; ++b)
    for (int64_t h = 0; h < shape.kvHeads; ++h)
      for (int64_t j = 0; j < shape.keyLength; ++j)
        for (int64_t d = 0; d < shape.headDim; ++d)
          expected.kGrad[test.k.at(b, j, h) + d] = expected.vGrad[test.v.at(b, j, h) + d] = 0;
  for (int64_t b = 0; b < shape.batch; ++b)
    for (int64_t h = 0; h < shape.heads; ++h)
      for (int64_t i = 0; i < shape.queryLength; ++i)
        referenceRow(test, b, h, i, expected);
  return expected;
}

double lseError(const std::vector<float> &found, const std::vector<double> &expected) {
  double error = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    if (expected[i] == -kInfinity && found[i] == -kInfinity)
      continue;
    double difference = std::abs(found[i] - expected[i]);
    error = difference <= error ? error : difference;
  }
  return error;
}

/// `slack` widens the tolerances, for scores so large that their rounding shows.
void expectRight(const Case &test, double slack = 1) {
  Expected expected = reference(test);
  for (Isa isa : availableIsas()) {
    SCOPED_TRACE(test.describe() + " on " + toString(isa));
    Results found = run(test, 2, isa);
    EXPECT_LE(lseError(found.lse, expected.lse), 4e-6 * slack);
    EXPECT_LE(relativeError(found.out, expected.out), 2e-6 * slack);
    EXPECT_LE(relativeError(found.qGrad, expected.qGrad, 1.0), 5e-6 * slack);
    EXPECT_LE(relativeError(found.kGrad, expected.kGrad, 1.0), 5e-6 * slack);
    EXPECT_LE(relativeError(found.vGrad, expected.vGrad), 5e-6 * slack);
    for (int threads : {1, 2, 3, 4}) {
      Results again = run(test, threads, isa);
      EXPECT_TRUE(sameBits(again.out, found.out) && sameBits(again.lse, found.lse))
          << threads << " threads";
      EXPECT_TRUE(sameBits(again.qGrad, found.qGrad) && sameBits(again.kGrad, found.kGrad) &&
                  sameBits(again.vGrad, found.vGrad))
          << threads << " threads";
    }
  }
}

} // namespace

TEST(Attention, EmptyAndTinySizes) {
  for (bool causal : {true, false}) {
    expectRight(Case(0, 4, 4, 2, 2, 8, causal));
    expectRight(Case(1, 0, 4, 2, 2, 8, causal));
    expectRight(Case(1, 4, 0, 2, 2, 8, causal)); // queries without a key
    expectRight(Case(1, 1, 1, 1, 1, 1, causal));
    expectRight(Case(2, 3, 2, 2, 1, 5, causal));
    expectRight(Case(1, 5, 5, 1, 1, 0, causal));
  }
}

TEST(Attention, HeadDimensions) {
  for (int64_t dim : {2, 7, 8, 16, 17, 32, 40, 64, 80, 100, 128, 192})
    expectRight(Case(1, 37, 37, 2, 2, dim));
}

TEST(Attention, LengthsAroundTheBlocks) {
  for (int64_t length : {2, 6, 15, 16, 17, 63, 64, 65, 95, 97, 129, 193, 300})
    expectRight(Case(1, length, length, 1, 1, 16));
}

TEST(Attention, LongerSequence) {
  expectRight(Case(1, 700, 700, 2, 1, 16));
  expectRight(Case(1, 530, 530, 1, 1, 64));
}

TEST(Attention, QueryAndKeyLengthsDiffer) {
  for (bool causal : {true, false}) {
    expectRight(Case(1, 20, 150, 2, 2, 16, causal));
    expectRight(Case(1, 150, 20, 2, 2, 16, causal));
    expectRight(Case(2, 1, 77, 2, 1, 32, causal));
  }
}

TEST(Attention, GroupedQueries) {
  expectRight(Case(2, 70, 70, 6, 2, 24));
  expectRight(Case(1, 70, 70, 4, 1, 24, false));
  expectRight(Case(3, 33, 33, 8, 8, 16));
}

TEST(Attention, Strides) {
  expectRight(Case(2, 45, 67, 4, 2, 20, true, /*pad=*/3));
  expectRight(Case(2, 70, 70, 2, 2, 16, true, /*pad=*/8));
}

TEST(Attention, PositionsOfALaterShard) {
  // A context-parallel rank: queries 100.., keys 40.. of one sequence.
  Case test(2, 66, 130, 2, 1, 16);
  for (int64_t i = 0; i < 2 * 66; ++i)
    test.queryPositions.push_back(int32_t(100 + i % 66));
  for (int64_t i = 0; i < 2 * 130; ++i)
    test.keyPositions.push_back(int32_t(40 + i % 130));
  expectRight(test);
}

TEST(Attention, PositionsInAnyOrder) {
  std::mt19937 generator(7);
  for (bool queries : {true, false})
    for (bool keys : {true, false}) {
      Case test(2, 90, 110, 2, 2, 16);
      for (int64_t i = 0; i < 2 * 90 && queries; ++i)
        test.queryPositions.push_back(int32_t(generator() % 120));
      for (int64_t i = 0; i < 2 * 110 && keys; ++i)
        test.keyPositions.push_back(int32_t(generator() % 120) - 20);
      expectRight(test);
    }
}

TEST(Attention, HeadTailPositions) {
  // Two far-apart chunks per rank, as balanced context parallelism places them.
  Case test(1, 128, 128, 1, 1, 32);
  for (int64_t i = 0; i < 128; ++i)
    test.queryPositions.push_back(int32_t(i < 64 ? i : 448 + i));
  test.keyPositions = test.queryPositions;
  expectRight(test);
}

TEST(Attention, BlocksOfHiddenKeysAreSkipped) {
  // The middle third of the keys comes after every query, and NaN stands there: a weight of 0 would
  // not hide it in a product.
  Case test(1, 80, 576, 2, 1, 16);
  for (int64_t i = 0; i < 80; ++i)
    test.queryPositions.push_back(int32_t(600 + i));
  for (int64_t i = 0; i < 576; ++i)
    test.keyPositions.push_back(int32_t(i / 192 == 1 ? 10000 + i : i));
  for (Tensor *tensor : {&test.k, &test.v})
    std::fill(tensor->data.begin() + tensor->at(0, 192, 0),
              tensor->data.begin() + tensor->at(0, 384, 0),
              std::numeric_limits<float>::quiet_NaN());
  expectRight(test);
}

TEST(Attention, QueriesBeforeEveryKeySeeNothing) {
  Case test(1, 40, 40, 1, 1, 16);
  for (int64_t i = 0; i < 40; ++i)
    test.queryPositions.push_back(int32_t(i) - 25);
  expectRight(test);
}

TEST(Attention, LeastAndLargestScoresInAnyBlock) {
  // Weights are not relative to a row's largest score where a block's scores allow it: here single
  // keys have scores far above or below all others, in the first block of keys and in later ones.
  for (int64_t key : {5, 200, 399})
    for (float factor : {-90.0f, 25.0f, 90.0f}) {
      Case test(1, 20, 400, 1, 1, 16, /*causal=*/false);
      for (int64_t i = 0; i < 16; ++i) {
        test.k.data[test.k.at(0, key, 0) + i] = factor / 16;
        for (int64_t query = 0; query < 20; ++query)
          test.q.data[test.q.at(0, query, 0) + i] = 1.0f / test.shape.scale;
      }
      expectRight(test, /*slack=*/4);
    }
  // All scores are far below 0, and then far above.
  for (float factor : {-90.0f, 90.0f}) {
    Case test(1, 20, 400, 1, 1, 16, /*causal=*/false);
    std::fill(test.k.data.begin(), test.k.data.end(), factor / 16);
    std::fill(test.q.data.begin(), test.q.data.end(), 1.0f / test.shape.scale);
    expectRight(test, /*slack=*/4);
  }
}

TEST(Attention, LargeScoresDoNotOverflow) {
  Case test(1, 80, 80, 1, 1, 16);
  test.shape.scale = 40.0f;
  Results found = run(test, 2, bestIsa());
  Expected expected = reference(test);
  // Rounding of scores around 500 shows: their unit in the last place is 6e-5.
  EXPECT_LE(relativeError(found.out, expected.out), 1e-3);
  EXPECT_LE(relativeError(found.qGrad, expected.qGrad), 1e-2);
}

TEST(Attention, RefusesBadArguments) {
  ThreadPool pool(1);
  Case test(1, 4, 4, 3, 3, 8);
  test.shape.kvHeads = 2;
  Status status = attention(pool, test.shape, test.inputs(), nullptr, nullptr, {});
  EXPECT_EQ(status.code(), StatusCode::invalidArgument);
  EXPECT_EQ(status.message(), "attention: 3 heads are not a multiple of 2 key heads");
  test.shape.kvHeads = 3;
  status = attention(pool, test.shape, test.inputs(), nullptr, nullptr, {});
  EXPECT_EQ(status.message().rfind("attention: the workspace has 0 bytes, needed are ", 0), 0u)
      << status.message();
  test.shape.queryLength = -4;
  status = attention(pool, test.shape, test.inputs(), nullptr, nullptr, {});
  EXPECT_EQ(status.code(), StatusCode::invalidArgument);
}
