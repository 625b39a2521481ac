#include "runtime/data/TokenIndex.h"

#include "runtime/base/Hash.h"
#include "test/unit/data/DataTestUtils.h"

#include <cstddef>
#include <cstring>

using namespace titan;
using titan::test::allTokens;
using titan::test::makeIndex;
using titan::test::TestFolder;

namespace {

/// Recomputes both checksums, so that what is behind them is tested.
void reseal(std::string &bytes) {
  TokenIndexPrefix prefix;
  if (bytes.size() < sizeof(prefix))
    return;
  std::memcpy(&prefix, bytes.data(), sizeof(prefix));
  prefix.bodyChecksum = hash64(std::string_view(bytes).substr(sizeof(prefix)));
  prefix.prefixChecksum = hash64(
      std::as_bytes(std::span(&prefix, 1)).first(offsetof(TokenIndexPrefix, prefixChecksum)));
  std::memcpy(bytes.data(), &prefix, sizeof(prefix));
}

} // namespace

TEST(TokenIndex, HoldsDocumentsWithTheirEdges) {
  TestFolder folder;
  auto index = makeIndex(folder, {"ab", "", "c"});
  EXPECT_EQ(index->documents(), 3);
  EXPECT_EQ(allTokens(*index), (std::vector<int32_t>{256, 'a', 'b', 257, 256, 257, 256, 'c', 257}));
  const std::vector<int64_t> begins = {0, 4, 6, 9};
  for (size_t i = 0; i < begins.size(); ++i)
    EXPECT_EQ(*index->documentBegin(static_cast<int64_t>(i)), begins[i]);
  EXPECT_EQ(index->prefix().tokenBytes, 2u);
  EXPECT_EQ(index->prefix().tokenizerHash, makeByteTokenizer()->hash());
  EXPECT_TRUE(TokenIndex::isTokenFile(folder / "test.tokens"));
  EXPECT_FALSE(TokenIndex::isTokenFile(folder / "index-input.jsonl"));
  EXPECT_FALSE(TokenIndex::isTokenFile(folder.path));
}

/// A tokenizer with one token per byte of more than 16 bits, and no begin or end.
class WideTokenizer final : public Tokenizer {
public:
  int64_t vocabSize() const override { return 100'256; }
  std::optional<int32_t> beginOfText() const override { return {}; }
  std::optional<int32_t> endOfText() const override { return {}; }
  Status encode(std::string_view text, std::vector<int32_t> &ids) override {
    for (char c : text)
      ids.push_back(100'000 + c);
    return okStatus();
  }
  StatusOr<std::string> decode(std::span<const int32_t>) const override { return std::string(); }
  uint64_t hash() const override { return 1; }
  std::string name() const override { return "wide"; }
};

TEST(TokenIndex, LargeVocabulariesTakeFourBytes) {
  TestFolder folder;
  const auto input =
      folder.write("a.jsonl", "{\"text\": \"ab\"}\n{\"text\": \"\"}\n{\"text\": \"c\"}\n");
  WideTokenizer tokenizer;
  Logger logger = Logger::silent();
  ASSERT_TRUE(buildTokenIndex(folder / "x", tokenizer, {input}, {}, logger).ok());
  auto index = TokenIndex::open(folder / "x");
  ASSERT_TRUE(index.ok()) << index.status().message();
  EXPECT_EQ(index->prefix().tokenBytes, 4u);
  EXPECT_EQ(index->documents(), 2); // a document without tokens is none
  EXPECT_EQ(allTokens(*index), (std::vector<int32_t>{100'097, 100'098, 100'099}));
}

TEST(TokenIndex, LongInputsGoThroughTheBuffer) {
  TestFolder folder;
  std::string text;
  for (int i = 0; i < 1'500'001; ++i)
    text += static_cast<char>('a' + i % 23);
  const std::vector<std::string> documents = {text, "x", text};
  auto index = makeIndex(folder, documents);
  const std::vector<int32_t> tokens = allTokens(*index);
  ASSERT_EQ(tokens.size(), 2 * text.size() + 7);
  size_t at = 0;
  for (const std::string &document : documents) {
    ASSERT_EQ(tokens[at++], 256);
    for (char c : document)
      ASSERT_EQ(tokens[at++], c);
    ASSERT_EQ(tokens[at++], 257);
  }
}

TEST(TokenIndex, NothingIsLeftOfAFailedBuild) {
  TestFolder folder;
  auto tokenizer = makeByteTokenizer();
  Logger logger = Logger::silent();
  const auto broken = folder.write("a.jsonl", "{\"text\": \"ab\"}\n{");
  EXPECT_FALSE(buildTokenIndex(folder / "x", *tokenizer, {broken}, {}, logger).ok());
  const auto empty = folder.write("empty.jsonl", "\n");
  const Status status = buildTokenIndex(folder / "x", *tokenizer, {empty}, {}, logger);
  EXPECT_EQ(status.message(), "the data has no text: " + empty.string() + " hold no document");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path),
                          std::filesystem::directory_iterator()),
            2);
}

TEST(TokenIndex, DetectsDamageByChecksum) {
  TestFolder folder;
  makeIndex(folder, {"some text", "and more"});
  const std::string original = *readFile(folder / "test.tokens");
  for (size_t i = 0; i < original.size(); ++i) {
    std::string damaged = original;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    EXPECT_FALSE(TokenIndex::open(folder.write("damaged", damaged)).ok()) << i;
  }
}

/// With good checksums: an error, or an index that can be read without a crash.
static void expectHarmless(const TestFolder &folder, const std::string &bytes) {
  auto index = TokenIndex::open(folder.write("damaged", bytes));
  if (!index.ok())
    return;
  std::vector<int32_t> tokens(static_cast<size_t>(index->tokens()));
  if (index->copy(0, tokens).ok())
    for (int32_t token : tokens)
      ASSERT_LT(token, index->vocabSize());
  for (int64_t document = 0; document <= index->documents(); ++document)
    ASSERT_TRUE(index->documentBegin(document).ok());
}

TEST(TokenIndex, ResealedDamageIsHarmless) {
  TestFolder folder;
  makeIndex(folder, {"text", "more"});
  const std::string original = *readFile(folder / "test.tokens");
  for (size_t i = 0; i < original.size(); ++i)
    for (const int flip : {1, 0x40, 0xff}) {
      std::string damaged = original;
      damaged[i] = static_cast<char>(damaged[i] ^ flip);
      reseal(damaged);
      expectHarmless(folder, damaged);
    }
  for (size_t length = 0; length < original.size(); ++length) {
    std::string truncated = original.substr(0, length);
    reseal(truncated);
    EXPECT_FALSE(TokenIndex::open(folder.write("damaged", truncated)).ok()) << length;
  }
}

TEST(TokenIndex, NamesTheDamage) {
  TestFolder folder;
  makeIndex(folder, {"text", "more"});
  const std::string original = *readFile(folder / "test.tokens");
  const auto error = [&](size_t offset, uint64_t value, size_t bytes) {
    std::string damaged = original;
    std::memcpy(damaged.data() + offset, &value, bytes);
    reseal(damaged);
    const auto path = folder.write("damaged", damaged);
    const std::string message = TokenIndex::open(path).status().message();
    return message.empty() ? message : message.substr(path.string().size());
  };
  EXPECT_EQ(error(offsetof(TokenIndexPrefix, version), 9, 4),
            ": format version 9, this program reads 1; build it again");
  EXPECT_EQ(error(offsetof(TokenIndexPrefix, tokenBytes), 3, 4),
            ": damaged: tokens of 3 bytes, legal are 2 and 4");
  EXPECT_EQ(error(offsetof(TokenIndexPrefix, vocabSize), 1 << 17, 8),
            ": damaged: a vocabulary of 131072 for tokens of 2 bytes");
  EXPECT_EQ(error(offsetof(TokenIndexPrefix, tokens), uint64_t{1} << 63, 8),
            ": damaged: 9223372036854775808 tokens in 2 documents");
  EXPECT_EQ(error(offsetof(TokenIndexPrefix, tokens), 100, 8),
            ": damaged: 176 bytes, its prefix says 352");
  EXPECT_EQ(error(original.size() - 16, 13, 8),
            ": damaged: the offset of document 1 is beyond the last token");
  EXPECT_EQ(error(original.size() - 8, 11, 8), ": damaged: the offset of document 2 is 11");
  EXPECT_EQ(error(original.size() - 24, 1, 8), ": damaged: the offset of document 0 is 1");
  EXPECT_EQ(error(sizeof(TokenIndexPrefix), 300, 2), "");
  auto index = TokenIndex::open(folder / "damaged");
  ASSERT_TRUE(index.ok());
  std::vector<int32_t> tokens(3);
  EXPECT_EQ(index->copy(0, tokens).message(),
            (folder / "damaged").string() + ": damaged: token 0 is 300, the vocabulary has 258");
}
