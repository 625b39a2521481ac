// Ids must equal those that Hugging Face's `tokenizers` gave (make_tokenizer_fixture.py).
#include "runtime/data/HuggingFaceTokenizer.h"

#include "runtime/base/File.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

using namespace titan;
using nlohmann::json;

namespace {

json readJson(const char *name) {
  auto text = readFile(std::filesystem::path(TITAN_FIXTURE) / name);
  EXPECT_TRUE(text.ok()) << text.status().message();
  return json::parse(*text, nullptr, false);
}

std::unique_ptr<HuggingFaceTokenizer> load(const json &root) {
  auto tokenizer = HuggingFaceTokenizer::parse(root.dump(), "", "fixture");
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

void expectCases(Tokenizer &tokenizer, const char *variant) {
  const json cases = readJson("cases.json");
  ASSERT_GE(cases.size(), 150u);
  for (const json &entry : cases) {
    const auto text = entry["text"].get<std::string>();
    std::vector<int32_t> ids;
    ASSERT_TRUE(tokenizer.encode(text, ids).ok());
    ASSERT_EQ(ids, entry[variant].get<std::vector<int32_t>>()) << entry["text"];
    auto decoded = tokenizer.decode(ids);
    ASSERT_TRUE(decoded.ok());
    ASSERT_EQ(*decoded, text);
  }
}

} // namespace

TEST(HuggingFaceTokenizer, IdsEqualTheLibrarys) {
  auto tokenizer = HuggingFaceTokenizer::open(TITAN_FIXTURE);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  EXPECT_EQ((*tokenizer)->vocabSize(), 605);
  EXPECT_EQ((*tokenizer)->beginOfText(), 601);
  EXPECT_EQ((*tokenizer)->endOfText(), 602);
  expectCases(**tokenizer, "plain");
}

TEST(HuggingFaceTokenizer, OldMergesAreStrings) {
  json root = readJson("tokenizer.json");
  for (json &merge : root["model"]["merges"]) {
    ASSERT_TRUE(merge.is_array());
    merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  }
  expectCases(*load(root), "plain");
}

TEST(HuggingFaceTokenizer, IgnoresMerges) {
  json root = readJson("tokenizer.json");
  root["model"]["ignore_merges"] = true;
  expectCases(*load(root), "ignore_merges");
}

TEST(HuggingFaceTokenizer, Gpt2Splitting) {
  json root = readJson("tokenizer.json");
  root["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  expectCases(*load(root), "gpt2");
}

TEST(HuggingFaceTokenizer, AnyBytesRoundTrip) {
  auto tokenizer = load(readJson("tokenizer.json"));
  std::string text;
  for (int i = 0; i < 3000; ++i)
    text += static_cast<char>(i * i * 31 + i / 7);
  for (const std::string &sample :
       {text, std::string("\xff"), std::string("ok\xc3(\xe2\x82<|end_of_text|>\xf0\x9f\x98")}) {
    std::vector<int32_t> ids;
    ASSERT_TRUE(tokenizer->encode(sample, ids).ok());
    EXPECT_EQ(*tokenizer->decode(ids), sample);
  }
}

TEST(HuggingFaceTokenizer, WithoutConfigTheEdgesHaveLlamasNames) {
  json root = readJson("tokenizer.json");
  EXPECT_EQ(load(root)->beginOfText(), 601);
  root["added_tokens"] = json::array();
  auto bare = load(root);
  EXPECT_FALSE(bare->beginOfText());
  EXPECT_FALSE(bare->endOfText());
}

TEST(HuggingFaceTokenizer, HashFollowsTheContent) {
  json root = readJson("tokenizer.json");
  const uint64_t hash = load(root)->hash();
  EXPECT_EQ(load(root)->hash(), hash);
  root["model"]["ignore_merges"] = true;
  EXPECT_NE(load(root)->hash(), hash);
}

TEST(ByteTokenizer, RoundTrips) {
  auto tokenizer = openTokenizer("");
  ASSERT_TRUE(tokenizer.ok());
  EXPECT_EQ((*tokenizer)->vocabSize(), 258);
  std::vector<int32_t> ids = {256};
  ASSERT_TRUE((*tokenizer)->encode("h\xc3\xa9\xff", ids).ok());
  ids.push_back(257);
  EXPECT_EQ(ids, (std::vector<int32_t>{256, 'h', 0xc3, 0xa9, 0xff, 257}));
  EXPECT_EQ(*(*tokenizer)->decode(std::span(ids).subspan(1, 4)), "h\xc3\xa9\xff");
  EXPECT_EQ((*tokenizer)->decode(std::vector<int32_t>{258}).status().message(),
            "byte tokenizer: id 258 is not between 0 and 257");
  EXPECT_FALSE((*tokenizer)->decode(std::vector<int32_t>{-1}).ok());
}
