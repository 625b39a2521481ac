#include "runtime/data/BytePairEncoding.h"

#include <gtest/gtest.h>

#include <random>

using namespace titan;
using Merges = std::vector<std::pair<std::string, std::string>>;

namespace {

/// All bytes, then the merges' results in order.
std::vector<BytePairToken> vocabularyOf(const Merges &merges) {
  std::vector<BytePairToken> vocabulary;
  for (int byte = 0; byte < 256; ++byte)
    vocabulary.push_back({std::string(1, static_cast<char>(byte)), byte});
  for (const auto &[left, right] : merges)
    vocabulary.push_back({left + right, static_cast<int32_t>(vocabulary.size())});
  return vocabulary;
}

BytePairEncoding make(const Merges &merges, bool wholePieces = false) {
  auto model = BytePairEncoding::create(vocabularyOf(merges), merges, wholePieces);
  EXPECT_TRUE(model.ok()) << model.status().message();
  return *std::move(model);
}

std::vector<int32_t> encode(BytePairEncoding &model, std::string_view piece) {
  std::vector<int32_t> ids;
  model.encode(piece, ids);
  return ids;
}

/// The definition, done literally: search the whole piece for the least rank, again and again.
std::vector<int32_t> encodeSlowly(const Merges &merges, std::string_view piece) {
  std::vector<std::string> parts;
  for (char c : piece)
    parts.emplace_back(1, c);
  for (;;) {
    size_t best = merges.size(), at = 0;
    for (size_t i = 0; i + 1 < parts.size(); ++i)
      for (size_t rank = 0; rank < best; ++rank)
        if (merges[rank].first == parts[i] && merges[rank].second == parts[i + 1]) {
          best = rank;
          at = i;
        }
    if (best == merges.size())
      break;
    parts[at] += parts[at + 1];
    parts.erase(parts.begin() + static_cast<ptrdiff_t>(at) + 1);
  }
  std::vector<int32_t> ids;
  for (const std::string &part : parts)
    for (const BytePairToken &token : vocabularyOf(merges))
      if (token.bytes == part) {
        ids.push_back(token.id);
        break;
      }
  return ids;
}

} // namespace

TEST(BytePairEncoding, MergesByRank) {
  BytePairEncoding model = make({{"l", "o"}, {"lo", "w"}, {"e", "r"}});
  EXPECT_EQ(encode(model, "lower"), (std::vector<int32_t>{257, 258}));
  EXPECT_EQ(encode(model, "lower"), (std::vector<int32_t>{257, 258})); // from the cache
  EXPECT_EQ(encode(model, ""), std::vector<int32_t>());
  EXPECT_EQ(encode(model, "l"), std::vector<int32_t>{'l'});
}

TEST(BytePairEncoding, LeftmostFirst) {
  BytePairEncoding model = make({{"a", "a"}});
  EXPECT_EQ(encode(model, "aaa"), (std::vector<int32_t>{256, 'a'}));
}

TEST(BytePairEncoding, WholePiecesSkipTheMerges) {
  const Merges merges = {{"a", "b"}};
  std::vector<BytePairToken> vocabulary = vocabularyOf(merges);
  vocabulary.push_back({"xyz", 999});
  for (bool whole : {false, true}) {
    auto model = BytePairEncoding::create(vocabulary, merges, whole);
    ASSERT_TRUE(model.ok());
    const std::vector<int32_t> merged = {'x', 'y', 'z'};
    EXPECT_EQ(encode(*model, "xyz"), whole ? std::vector<int32_t>{999} : merged);
    EXPECT_EQ(encode(*model, "xyza").size(), 4u);
  }
}

TEST(BytePairEncoding, EqualsTheDefinitionOnRandomModels) {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    std::vector<std::string> known = {"a", "b", "c"};
    Merges merges;
    for (int i = 0; i < 12; ++i) {
      const std::string left = known[random() % known.size()];
      const std::string right = known[random() % known.size()];
      if (std::find(known.begin(), known.end(), left + right) != known.end())
        continue;
      merges.emplace_back(left, right);
      known.push_back(left + right);
    }
    BytePairEncoding model = make(merges);
    for (int i = 0; i < 40; ++i) {
      std::string piece;
      for (size_t length = random() % 100; length > 0; --length)
        piece += static_cast<char>('a' + random() % 4);
      ASSERT_EQ(encode(model, piece), encodeSlowly(merges, piece)) << piece;
    }
  }
}

TEST(BytePairEncoding, LongPiecesAreFast) {
  BytePairEncoding model = make({{"a", "a"}, {"aa", "aa"}, {"aaaa", "aaaa"}});
  EXPECT_EQ(encode(model, std::string(1 << 20, 'a')).size(), size_t{1} << 17);
}

TEST(BytePairEncoding, NamesWhatTheVocabularyLacks) {
  std::vector<BytePairToken> vocabulary = vocabularyOf({});
  EXPECT_EQ(BytePairEncoding::create(vocabulary, {{"a", "b"}}, false).status().message(),
            "model.merges[0]: 'ab' is not in model.vocab");
  EXPECT_EQ(BytePairEncoding::create(vocabulary, {{"\nq", "b"}}, false).status().message(),
            "model.merges[0]: '\\x0aq' is not in model.vocab");
  vocabulary.erase(vocabulary.begin() + 10);
  EXPECT_EQ(BytePairEncoding::create(vocabulary, {}, false).status().message(),
            "model.vocab has no token for the byte 0x0a");
}
