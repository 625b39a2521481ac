#include "runtime/device/cpu/Embedding.h"
#include "runtime/device/cpu/ThreadPool.h"
#include "test/unit/device/TestArrays.h"

#include <gtest/gtest.h>

using namespace titan;
using namespace titan::cpu;

namespace {

struct Case {
  EmbeddingShape shape;
  std::vector<int32_t> tokens;
};

/// Tokens of which a third are the same one, as padding is.
Case makeCase(int64_t tokens, int64_t vocabulary, int64_t dim, int64_t pad) {
  Case result;
  result.shape = {tokens, vocabulary, dim, dim + pad, dim + 2 * pad};
  std::mt19937 generator(static_cast<uint32_t>(tokens + vocabulary));
  for (int64_t i = 0; i < tokens; ++i)
    result.tokens.push_back(i % 3 == 0 ? int32_t(vocabulary - 1)
                                       : int32_t(generator() % vocabulary));
  return result;
}

/// Cheap numbers that differ from row to row.
std::vector<float> randomTable(const EmbeddingShape &shape) {
  std::vector<float> table(shape.vocabulary * shape.tableStride);
  std::minstd_rand generator(3);
  for (float &value : table)
    value = float(generator()) * 1e-9f - 1.0f;
  return table;
}

std::vector<Case> cases() {
  std::vector<Case> result;
  for (int64_t tokens : {0, 1, 2, 63, 64, 65, 500})
    for (int64_t vocabulary : {1, 2, 40, 2050})
      for (int64_t dim : {1, 16, 257})
        result.push_back(makeCase(tokens, vocabulary, dim, dim % 5));
  result.push_back(makeCase(3, 7, 0, 0));
  // The sort needs a digit more above 2048 rows of the table, and a third above 2^22.
  result.push_back(makeCase(300, (1 << 22) + 1, 1, 0));
  return result;
}

} // namespace

TEST(Embedding, GathersRows) {
  ThreadPool pool(3);
  for (const Case &test : cases()) {
    const EmbeddingShape &shape = test.shape;
    auto table = randomTable(shape);
    std::vector<float> output(shape.tokens * shape.outputStride, -7.0f);
    ASSERT_TRUE(embedding(pool, shape, test.tokens.data(), table.data(), output.data()).ok());
    for (int64_t i = 0; i < shape.tokens; ++i)
      for (int64_t j = 0; j < shape.outputStride; ++j)
        ASSERT_EQ(output[i * shape.outputStride + j],
                  j < shape.dim ? table[test.tokens[i] * shape.tableStride + j] : -7.0f);
  }
}

TEST(Embedding, GradientHasTheBitsOfTheSerialLoop) {
  for (int threads : {1, 2, 3, 4}) {
    ThreadPool pool(threads);
    for (const Case &test : cases()) {
      const EmbeddingShape &shape = test.shape;
      auto outputGrad = randomFloats(shape.tokens * shape.outputStride, 2);
      auto tableGrad = randomTable(shape);
      auto expected = tableGrad;
      for (int64_t i = 0; i < shape.tokens; ++i)
        for (int64_t j = 0; j < shape.dim; ++j)
          expected[test.tokens[i] * shape.tableStride + j] +=
              outputGrad[i * shape.outputStride + j];
      GuardedWorkspace workspace(embeddingGradWorkspaceBytes(shape));
      ASSERT_TRUE(embeddingGrad(pool, shape, test.tokens.data(), outputGrad.data(),
                                tableGrad.data(), workspace.span())
                      .ok());
      EXPECT_TRUE(sameBits(tableGrad, expected))
          << shape.tokens << " tokens of " << shape.vocabulary << ", dim " << shape.dim;
      EXPECT_TRUE(workspace.intact());
    }
  }
}

/// A vocabulary of 40 rows in parts of 16, the last one with rows that no token has.
TEST(Embedding, PartsOfATableAddUpToTheWhole) {
  ThreadPool pool(3);
  const Case test = makeCase(500, 40, 33, 2);
  const EmbeddingShape &shape = test.shape;
  EmbeddingShape part = shape;
  part.vocabulary = 16;
  auto table = randomTable({shape.tokens, 48, shape.dim, shape.tableStride, shape.outputStride});
  auto outputGrad = randomFloats(shape.tokens * shape.outputStride, 2);
  std::vector<float> whole(shape.tokens * shape.outputStride), sum(whole.size());
  ASSERT_TRUE(embedding(pool, shape, test.tokens.data(), table.data(), whole.data()).ok());
  std::vector<float> wholeGrad(table.size()), partGrad(table.size());
  GuardedWorkspace workspace(embeddingGradWorkspaceBytes(shape));
  ASSERT_TRUE(embeddingGrad(pool, shape, test.tokens.data(), outputGrad.data(), wholeGrad.data(),
                            workspace.span())
                  .ok());
  for (int32_t first : {0, 16, 32}) {
    std::vector<float> rows(whole.size(), -7.0f);
    const int64_t offset = first * shape.tableStride;
    ASSERT_TRUE(embedding(pool, part, test.tokens.data(), table.data() + offset, rows.data(), &first)
                    .ok());
    for (int64_t i = 0; i < shape.tokens; ++i)
      for (int64_t j = 0; j < shape.dim; ++j) {
        const bool isOwn = test.tokens[i] >= first && test.tokens[i] < first + 16;
        const int64_t at = i * shape.outputStride + j;
        ASSERT_EQ(rows[at], isOwn ? whole[at] : 0.0f);
        sum[at] += rows[at];
      }
    ASSERT_TRUE(embeddingGrad(pool, part, test.tokens.data(), outputGrad.data(),
                              partGrad.data() + offset, workspace.span(), &first)
                    .ok());
  }
  EXPECT_TRUE(sameBits(partGrad, wholeGrad));
  EXPECT_TRUE(workspace.intact());
}

TEST(Embedding, NamesABadTokenAndWritesNothing) {
  ThreadPool pool(2);
  for (int32_t bad : {-1, 40, INT32_MIN, INT32_MAX}) {
    Case test = makeCase(100, 40, 8, 0);
    test.tokens[71] = bad;
    std::vector<float> table(40 * 8, 1.0f), output(100 * 8, 2.0f);
    auto untouchedTable = table, untouchedOutput = output;
    std::string expected = "embedding: token " + std::to_string(bad) +
                           " at position 71 is outside the vocabulary [0, 40)";
    Status forward = embedding(pool, test.shape, test.tokens.data(), table.data(), output.data());
    EXPECT_EQ(forward.code(), StatusCode::invalidArgument);
    EXPECT_EQ(forward.message(), expected);
    GuardedWorkspace workspace(embeddingGradWorkspaceBytes(test.shape));
    Status backward = embeddingGrad(pool, test.shape, test.tokens.data(), output.data(),
                                    table.data(), workspace.span());
    EXPECT_EQ(backward.message(), expected);
    EXPECT_TRUE(sameBits(table, untouchedTable) && sameBits(output, untouchedOutput));
  }
}

TEST(Embedding, RefusesBadShapesAndWorkspaces) {
  ThreadPool pool(1);
  int32_t tokens[2] = {0, 0};
  float table[8] = {}, output[8] = {};
  EXPECT_EQ(embedding(pool, {2, 1, 4, 3, 4}, tokens, table, output).code(),
            StatusCode::invalidArgument);
  EXPECT_EQ(embedding(pool, {-2, 1, 4, 4, 4}, tokens, table, output).code(),
            StatusCode::invalidArgument);
  Status status = embeddingGrad(pool, {2, 1, 4, 4, 4}, tokens, output, table, {});
  EXPECT_EQ(status.message(), "embedding gradient: the workspace has 0 bytes, needed are 128");
}
