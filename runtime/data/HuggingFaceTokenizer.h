// Byte-level BPE tokenizers from Hugging Face's tokenizer.json, such as those of Llama 3 and GPT-2.
#pragma once

#include "runtime/data/BytePairEncoding.h"
#include "runtime/data/Splitter.h"
#include "runtime/data/Tokenizer.h"

#include <array>

namespace titan {

/// A token that text is searched for before it is split into pieces, such as <|end_of_text|>.
struct AddedToken {
  std::string content;
  int32_t id;
};

/// Finds added tokens: leftmost first, the longest of those that begin at one place.
class AddedTokenSet {
public:
  void insert(AddedToken token);
  /// Call after the last insert().
  void finish();

  struct Match {
    size_t begin;
    const AddedToken *token;
  };
  /// The first match at or after `from`.
  std::optional<Match> find(std::string_view text, size_t from) const;

private:
  std::array<std::vector<AddedToken>, 256> byFirstByte; ///< longest first
};

/// Ids equal those of Hugging Face's `tokenizers` without its post-processor (which would add the
/// begin of a text: the data loader adds begin and end, once per document). Of tokenizer.json the
/// following is supported, and anything else is an error that names it: a BPE model, no normalizer,
/// pre-tokenizers Split (a regular expression, "Isolated") and a final ByteLevel without
/// add_prefix_space, added tokens without lstrip, rstrip and single_word.
class HuggingFaceTokenizer final : public Tokenizer {
public:
  static StatusOr<std::unique_ptr<HuggingFaceTokenizer>> open(const std::filesystem::path &path);
  /// The same from texts; `configText` (tokenizer_config.json) may be empty: then the text begins
  /// with <|begin_of_text|> and ends with <|end_of_text|>, where the tokenizer has them.
  static StatusOr<std::unique_ptr<HuggingFaceTokenizer>>
  parse(std::string_view text, std::string_view configText, const std::string &name);

  int64_t vocabSize() const override { return static_cast<int64_t>(idBytes.size()); }
  std::optional<int32_t> beginOfText() const override { return begin; }
  std::optional<int32_t> endOfText() const override { return end; }
  Status encode(std::string_view text, std::vector<int32_t> &ids) override;
  StatusOr<std::string> decode(std::span<const int32_t> ids) const override;
  uint64_t hash() const override { return contentHash; }
  std::string name() const override { return fileName; }

private:
  friend class TokenizerReader;
  HuggingFaceTokenizer(BytePairEncoding model) : model(std::move(model)) {}

  Status encodeSection(std::string_view section, size_t addedSet, std::vector<int32_t> &ids);
  Status encodePlain(std::string_view section, std::vector<int32_t> &ids);
  Status encodeValid(std::string_view section, size_t splitter, std::vector<int32_t> &ids);

  std::string fileName;
  uint64_t contentHash = 0;
  BytePairEncoding model;
  std::vector<Splitter> splitters;          ///< applied one after another
  std::array<AddedTokenSet, 2> addedTokens; ///< searched one after another
  std::vector<std::string> idBytes;         ///< by id
  std::optional<int32_t> begin;
  std::optional<int32_t> end;
};

} // namespace titan
