#include "runtime/base/Hash.h"
#include "runtime/data/HuggingFaceTokenizer.h"
#include "runtime/data/Tokenizer.h"

namespace titan {
namespace {

constexpr int32_t kBegin = 256;
constexpr int32_t kEnd = 257;
constexpr int32_t kVocabSize = 258;

class ByteTokenizer final : public Tokenizer {
public:
  int64_t vocabSize() const override { return kVocabSize; }
  std::optional<int32_t> beginOfText() const override { return kBegin; }
  std::optional<int32_t> endOfText() const override { return kEnd; }

  Status encode(std::string_view text, std::vector<int32_t> &ids) override {
    ids.reserve(ids.size() + text.size());
    for (char c : text)
      ids.push_back(static_cast<unsigned char>(c));
    return okStatus();
  }

  StatusOr<std::string> decode(std::span<const int32_t> ids) const override {
    std::string text;
    for (int32_t id : ids) {
      if (id < 0 || id >= kVocabSize)
        return invalidArgument("byte tokenizer: id " + std::to_string(id) +
                               " is not between 0 and 257");
      if (id == kBegin)
        text += "<|begin_of_text|>";
      else if (id == kEnd)
        text += "<|end_of_text|>";
      else
        text += static_cast<char>(id);
    }
    return text;
  }

  uint64_t hash() const override { return hash64("titan byte tokenizer, version 1"); }
  std::string name() const override { return "byte tokenizer"; }
};

} // namespace

std::unique_ptr<Tokenizer> makeByteTokenizer() { return std::make_unique<ByteTokenizer>(); }

StatusOr<std::unique_ptr<Tokenizer>> openTokenizer(const std::string &assetsPath) {
  if (assetsPath.empty())
    return makeByteTokenizer();
  auto tokenizer = HuggingFaceTokenizer::open(assetsPath);
  if (!tokenizer.ok())
    return tokenizer.status().withContext("model.hf_assets_path");
  return std::unique_ptr<Tokenizer>(*std::move(tokenizer));
}

} // namespace titan
