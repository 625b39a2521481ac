// Broken and unsupported tokenizer files: a message that names the place, never a crash.
#include "runtime/base/File.h"
#include "runtime/data/HuggingFaceTokenizer.h"
#include "test/unit/TestFolder.h"

#include <nlohmann/json.hpp>

using namespace titan;
using nlohmann::json;

namespace {

json fixture() {
  auto text = readFile(std::filesystem::path(TITAN_FIXTURE) / "tokenizer.json");
  EXPECT_TRUE(text.ok());
  return json::parse(*text, nullptr, false);
}

std::string errorOf(const json &root, std::string_view config = "") {
  return HuggingFaceTokenizer::parse(root.dump(), config, "t").status().message();
}

/// The error after the value at `pointer` is replaced.
std::string errorWith(const char *pointer, const json &value) {
  json root = fixture();
  root[json::json_pointer(pointer)] = value;
  return errorOf(root);
}

} // namespace

TEST(TokenizerErrors, NotATokenizer) {
  EXPECT_EQ(HuggingFaceTokenizer::parse("{\"a\": ", "", "t").status().message(),
            "t: not a JSON object");
  EXPECT_EQ(HuggingFaceTokenizer::parse("", "", "t").status().message(), "t: not a JSON object");
  EXPECT_EQ(errorOf(json::array()), "t: not a JSON object");
  EXPECT_EQ(errorOf(json::object()), "t: model is not an object");
  EXPECT_FALSE(HuggingFaceTokenizer::parse(std::string(100000, '['), "", "t").ok());
}

TEST(TokenizerErrors, Model) {
  EXPECT_EQ(errorWith("/model/type", "Unigram"),
            "t: model.type = \"Unigram\" is not supported; legal is \"BPE\"");
  EXPECT_EQ(errorWith("/model/byte_fallback", true),
            "t: model.byte_fallback = true is not supported; legal is false");
  EXPECT_EQ(errorWith("/model/dropout", 0.1),
            "t: model.dropout = 0.1 is not supported; legal is null");
  EXPECT_EQ(errorWith("/model/end_of_word_suffix", "</w>"),
            "t: model.end_of_word_suffix = \"</w>\" is not supported; legal is null");
  EXPECT_EQ(errorWith("/model/vocab", 3), "t: model.vocab is not an object");
  EXPECT_EQ(errorWith("/model/vocab/x", -1),
            "t: model.vocab['x']: the id -1 is not an integer from 0 to 16777215");
  EXPECT_EQ(errorWith("/model/vocab/x", 1e30).substr(0, 31), "t: model.vocab['x']: the id 1e+");
  EXPECT_EQ(errorWith("/model/vocab/x", 4000000000u).substr(0, 30),
            "t: model.vocab['x']: the id 40");
  EXPECT_EQ(errorWith("/model/merges", json::object()), "t: model.merges is not a list");
  for (const json &merge : {json("ab"), json("a b c"), json(3), json({"a"}), json({"a", 3}),
                            json({"a", ""}), json(" b")})
    EXPECT_EQ(errorWith("/model/merges/1", merge).substr(0, 18), "t: model.merges[1]") << merge;
  EXPECT_EQ(errorWith("/model/merges/0", {"z", "qq"}),
            "t: model.merges[0]: 'qq' is not in model.vocab");
  json root = fixture();
  root["model"]["vocab"].erase("!");
  EXPECT_EQ(errorOf(root), "t: model.vocab has no token for the byte 0x21");
}

TEST(TokenizerErrors, Pipeline) {
  EXPECT_EQ(errorWith("/normalizer", {{"type", "NFC"}}),
            "t: normalizer (not null) is not supported; legal is null");
  EXPECT_NE(errorWith("/truncation", {{"max_length", 3}}), "");
  EXPECT_NE(errorWith("/pre_tokenizer", nullptr), "");
  EXPECT_NE(errorWith("/pre_tokenizer", {{"type", "Whitespace"}}), "");
  EXPECT_NE(errorWith("/pre_tokenizer/pretokenizers", json::array()), "");
  EXPECT_EQ(errorWith("/pre_tokenizer/pretokenizers", 3),
            "t: pre_tokenizer.pretokenizers is not a list");
  EXPECT_EQ(errorWith("/pre_tokenizer/pretokenizers/0", {{"type", "Digits"}}),
            "t: pre_tokenizer \"Digits\" at this place is not supported; legal is \"Split\", and "
            "\"ByteLevel\" at the end");
  EXPECT_EQ(errorWith("/pre_tokenizer/pretokenizers/0/behavior", "Removed"),
            "t: pre_tokenizer Split with behavior = \"Removed\" is not supported; legal is "
            "\"Isolated\"");
  EXPECT_NE(errorWith("/pre_tokenizer/pretokenizers/0/invert", true), "");
  EXPECT_NE(errorWith("/pre_tokenizer/pretokenizers/0/pattern", {{"String", " "}}), "");
  EXPECT_EQ(errorWith("/pre_tokenizer/pretokenizers/0/pattern/Regex", "(a"),
            "t: pre_tokenizer: pattern '(a': missing closing parenthesis");
  EXPECT_EQ(errorWith("/pre_tokenizer/pretokenizers/0/pattern/Regex", "[^\\S]"),
            "t: pre_tokenizer: pattern '[^\\S]': \\S inside [] is not supported");
  EXPECT_EQ(errorWith("/pre_tokenizer/pretokenizers/1/add_prefix_space", true),
            "t: pre_tokenizer ByteLevel with add_prefix_space = true is not supported; legal is "
            "false");
}

TEST(TokenizerErrors, AddedTokens) {
  EXPECT_EQ(errorWith("/added_tokens", 3), "t: added_tokens is not a list");
  EXPECT_EQ(errorWith("/added_tokens/0/content", ""), "t: added_tokens[0]: content is not a text");
  EXPECT_EQ(errorWith("/added_tokens/1/id", "x"),
            "t: added_tokens[1]: the id \"x\" is not an integer from 0 to 16777215");
  EXPECT_EQ(errorWith("/added_tokens/1/id", 700),
            "t: added_tokens[1]: the id 700 of '<|end_of_text|>' must be 602, the next after the "
            "vocabulary and the added tokens before it");
  EXPECT_EQ(errorWith("/added_tokens/1/lstrip", true),
            "t: added_tokens[1]: lstrip = true is not supported; legal is false");
}

TEST(TokenizerErrors, Config) {
  EXPECT_EQ(errorOf(fixture(), "["), "t: tokenizer_config.json is not a JSON object");
  EXPECT_EQ(errorOf(fixture(), R"({"eos_token": "<nope>"})"),
            "t: tokenizer_config.json: eos_token '<nope>' is not a token of tokenizer.json");
}

TEST(TokenizerErrors, Files) {
  test::TestFolder folder;
  auto missing = openTokenizer(folder.path.string());
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.status().code(), StatusCode::notFound);
  EXPECT_EQ(missing.status().message().substr(0, 35), "model.hf_assets_path: cannot open '");
  folder.write("tokenizer.json", fixture().dump());
  EXPECT_TRUE(openTokenizer(folder.path.string()).ok());
  EXPECT_TRUE(openTokenizer((folder / "tokenizer.json").string()).ok());
  folder.write("tokenizer_config.json", "");
  EXPECT_FALSE(openTokenizer(folder.path.string()).ok());
}

/// Damage to a small valid file: a Status, or a tokenizer that encodes without crashing.
TEST(TokenizerErrors, AnyFlippedByteIsHarmless) {
  json root = fixture();
  root["model"]["merges"] = json::array({json::array({"a", "b"}), json::array({"ab", "b"})});
  json vocab = json::object();
  for (const auto &[token, id] : root["model"]["vocab"].items())
    if (id.get<int>() < 256)
      vocab[token] = id;
  vocab["ab"] = 256;
  vocab["abb"] = 257;
  root["model"]["vocab"] = vocab;
  for (size_t i = 0; i < root["added_tokens"].size(); ++i)
    root["added_tokens"][i]["id"] = 258 + i;
  const std::string original = root.dump();
  ASSERT_TRUE(HuggingFaceTokenizer::parse(original, "", "t").ok());
  for (size_t i = 0; i < original.size(); ++i)
    for (const int flip : {1, 2, 0x10, 0x80}) {
      std::string damaged = original;
      damaged[i] = static_cast<char>(damaged[i] ^ flip);
      auto tokenizer = HuggingFaceTokenizer::parse(damaged, "", "t");
      std::vector<int32_t> ids;
      if (tokenizer.ok() && (*tokenizer)->encode("abb it's <|end_of_text|> 12", ids).ok()) {
        EXPECT_TRUE((*tokenizer)->decode(ids).ok());
      }
    }
}
