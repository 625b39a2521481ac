#include "runtime/data/Batches.h"

#include "test/unit/data/DataTestUtils.h"

using namespace titan;
using titan::test::allTokens;
using titan::test::makeIndex;
using titan::test::TestFolder;
using Ids = std::vector<int32_t>;

namespace {

struct Batch {
  Ids tokens, labels;
};

Batch nextBatch(BatchSource &source, int64_t rows, int64_t seq) {
  Batch batch{Ids(static_cast<size_t>(rows * seq)), Ids(static_cast<size_t>(rows * seq))};
  const Status status = source.next(rows, seq, batch.tokens.data(), batch.labels.data());
  EXPECT_TRUE(status.ok()) << status.message();
  return batch;
}

std::unique_ptr<TokenStream> streamOf(std::shared_ptr<const TokenIndex> index, TokenRange range,
                                      int64_t consumed = 0) {
  auto stream = TokenStream::create(std::move(index), range, consumed);
  EXPECT_TRUE(stream.ok()) << stream.status().message();
  return *std::move(stream);
}

} // namespace

// torchtitan's way, written down: tokens of epoch after epoch flow into a buffer, and each time
// that seq + 1 are there they become one row.
TEST(TokenStream, EqualsTorchtitansBuffer) {
  TestFolder folder;
  auto index = makeIndex(folder, {"abcdefg", "hi", "", "jklmnopqrstu"});
  const Ids tokens = allTokens(*index);
  for (const int64_t seq : {1, 3, 8, 29, 30, 100}) {
    auto stream = streamOf(index, {0, index->tokens()});
    Ids buffer;
    for (int row = 0; row < 40; ++row) {
      while (std::ssize(buffer) < seq + 1)
        buffer.insert(buffer.end(), tokens.begin(), tokens.end());
      const Batch batch = nextBatch(*stream, 1, seq);
      ASSERT_EQ(batch.tokens, Ids(buffer.begin(), buffer.begin() + seq));
      ASSERT_EQ(batch.labels, Ids(buffer.begin() + 1, buffer.begin() + seq + 1));
      buffer.erase(buffer.begin(), buffer.begin() + seq + 1);
    }
  }
}

TEST(TokenStream, RowsDoNotDependOnTheBatch) {
  TestFolder folder;
  auto index = makeIndex(folder, {"the first document", "the second"});
  auto byOne = streamOf(index, {0, index->tokens()});
  auto byThree = streamOf(index, {0, index->tokens()});
  for (int i = 0; i < 5; ++i) {
    Ids rows;
    for (int row = 0; row < 3; ++row) {
      const Batch one = nextBatch(*byOne, 1, 4);
      rows.insert(rows.end(), one.tokens.begin(), one.tokens.end());
    }
    ASSERT_EQ(nextBatch(*byThree, 3, 4).tokens, rows);
  }
  EXPECT_EQ(byThree->tokensConsumed(), 75);
  EXPECT_EQ(byThree->epoch(), 75 / index->tokens());
  EXPECT_FALSE(byThree->remainingRows(4).has_value());
}

TEST(TokenStream, ResumesAndRewinds) {
  TestFolder folder;
  auto index = makeIndex(folder, {"the first document", "the second"});
  const TokenRange range = {3, index->tokens() - 5};
  auto whole = streamOf(index, range);
  const Batch first = nextBatch(*whole, 4, 7);
  const Batch second = nextBatch(*whole, 4, 7);
  auto resumed = streamOf(index, range, 4 * 8);
  EXPECT_EQ(nextBatch(*resumed, 4, 7).labels, second.labels);
  whole->rewind();
  EXPECT_EQ(nextBatch(*whole, 4, 7).tokens, first.tokens);
}

TEST(TokenStream, RefusesAnEmptyRange) {
  TestFolder folder;
  auto index = makeIndex(folder, {"text"});
  EXPECT_EQ(TokenStream::create(index, {2, 3}).status().message(),
            index->name() + ": 1 tokens are too few to train on, at least 2 are needed");
}

TEST(HeldOutWindows, PadsTheLastBatch) {
  TestFolder folder;
  auto index = makeIndex(folder, {"0123456789"});
  HeldOutWindows windows(index, {1, 11}); // "0123456789": three windows of 3, one token over
  EXPECT_EQ(windows.remainingRows(2), 3);
  EXPECT_EQ(nextBatch(windows, 2, 2).tokens, (Ids{'0', '1', '3', '4'}));
  EXPECT_EQ(windows.remainingRows(2), 1);
  const Batch last = nextBatch(windows, 2, 2);
  EXPECT_EQ(last.tokens, (Ids{'6', '7', 0, 0}));
  EXPECT_EQ(last.labels, (Ids{'7', '8', -100, -100}));
  EXPECT_EQ(windows.remainingRows(2), 0);
  windows.rewind();
  EXPECT_EQ(nextBatch(windows, 1, 2).labels, (Ids{'1', '2'}));
}

namespace {

/// A file of [steps, rows, seq] whose token i is i modulo 50 and whose label is the next one.
std::filesystem::path writeBatches(const TestFolder &folder, std::vector<int64_t> shape,
                                   Ids *tokensOut = nullptr, Ids *labelsOut = nullptr) {
  Ids tokens, labels;
  for (int64_t i = 0; i < elementCount(shape); ++i) {
    tokens.push_back(static_cast<int32_t>(i % 50));
    labels.push_back(i % 7 ? static_cast<int32_t>((i + 1) % 50) : -100);
  }
  const std::vector<TensorView> views = {
      {"tokens", DType::i32, shape, std::as_bytes(std::span(tokens))},
      {"labels", DType::i32, shape, std::as_bytes(std::span(labels))}};
  EXPECT_TRUE(writeSafetensors(folder / "batches.safetensors", views).ok());
  if (tokensOut)
    *tokensOut = tokens;
  if (labelsOut)
    *labelsOut = labels;
  return folder / "batches.safetensors";
}

std::string openError(const std::filesystem::path &path, int64_t rows, int64_t seq,
                      int64_t vocabSize) {
  const std::string message =
      PretokenizedBatches::open(path, rows, seq, vocabSize).status().message();
  return message.substr(0, path.string().size()) == path.string()
             ? message.substr(path.string().size())
             : message;
}

} // namespace

TEST(PretokenizedBatches, ReadsStepsInParts) {
  TestFolder folder;
  Ids tokens, labels;
  const auto path = writeBatches(folder, {3, 4, 5}, &tokens, &labels);
  auto source = PretokenizedBatches::open(path, 4, 5, 50);
  ASSERT_TRUE(source.ok()) << source.status().message();
  EXPECT_EQ((*source)->steps(), 3);
  Ids readTokens, readLabels;
  for (int part = 0; part < 6; ++part) {
    EXPECT_EQ((*source)->remainingRows(5), 12 - 2 * part);
    const Batch batch = nextBatch(**source, 2, 5);
    readTokens.insert(readTokens.end(), batch.tokens.begin(), batch.tokens.end());
    readLabels.insert(readLabels.end(), batch.labels.begin(), batch.labels.end());
  }
  EXPECT_EQ(readTokens, tokens);
  EXPECT_EQ(readLabels, labels);
  Ids buffer(10);
  EXPECT_EQ((*source)->next(2, 5, buffer.data(), buffer.data()).message(),
            path.string() + ": all 3 steps have been read; legal is training.steps = 3 at most");
  (*source)->rewind();
  EXPECT_EQ(nextBatch(**source, 1, 5).tokens, Ids(tokens.begin(), tokens.begin() + 5));
}

TEST(PretokenizedBatches, NamesWhatDoesNotFit) {
  TestFolder folder;
  const auto path = writeBatches(folder, {3, 4, 5});
  EXPECT_EQ(openError(path, 8, 5, 50),
            ": tensor 'tokens' is i32 [3, 4, 5], expected i32 [-1, 8, 5]");
  EXPECT_EQ(openError(path, 4, 6, 50),
            ": tensor 'tokens' is i32 [3, 4, 5], expected i32 [-1, 4, 6]");
  EXPECT_EQ(openError(path, 4, 5, 49), ": tensor 'tokens' has 49 at element 49, legal is 0 to 48");
  EXPECT_EQ(openError(folder / "missing.safetensors", 4, 5, 50).substr(0, 11), "cannot open");
  EXPECT_EQ(openError(writeBatches(folder, {0, 4, 5}), 4, 5, 50),
            ": tensor 'tokens' holds no steps");
  const Ids ids = {1, 2, -100, -7};
  const std::vector<TensorView> views = {
      {"tokens", DType::i32, {1, 1, 2}, std::as_bytes(std::span(ids).first(2))},
      {"labels", DType::i32, {1, 1, 2}, std::as_bytes(std::span(ids).last(2))}};
  ASSERT_TRUE(writeSafetensors(folder / "bad", views).ok());
  EXPECT_EQ(openError(folder / "bad", 1, 2, 50),
            ": tensor 'labels' has -7 at element 1, legal is 0 to 49, or -100");
  ASSERT_TRUE(writeSafetensors(folder / "bad", std::span(views).first(1)).ok());
  EXPECT_EQ(openError(folder / "bad", 1, 2, 50), ": no tensor 'labels'");
}
