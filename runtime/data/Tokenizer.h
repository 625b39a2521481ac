// Text to token ids and back.
#pragma once

#include "runtime/base/Status.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace titan {

/// Not thread-safe, since encoding uses a cache and scratch memory: one object per thread.
class Tokenizer {
public:
  virtual ~Tokenizer() = default;

  /// One more than the largest id.
  virtual int64_t vocabSize() const = 0;
  /// The ids that begin and end a document; absent when the tokenizer has none.
  virtual std::optional<int32_t> beginOfText() const = 0;
  virtual std::optional<int32_t> endOfText() const = 0;

  /// Appends the ids of `text` to `ids`, without begin and end. Any bytes can be encoded.
  virtual Status encode(std::string_view text, std::vector<int32_t> &ids) = 0;
  /// The bytes of the ids; special tokens appear by name. Fails on an id out of range.
  virtual StatusOr<std::string> decode(std::span<const int32_t> ids) const = 0;

  /// Equal for tokenizers that give equal ids: token files remember it.
  virtual uint64_t hash() const = 0;
  /// "byte tokenizer" or the file's path.
  virtual std::string name() const = 0;
};

/// One token per byte (0 to 255), 256 begins and 257 ends a document.
std::unique_ptr<Tokenizer> makeByteTokenizer();

/// The tokenizer of a job: `assetsPath` is a folder with tokenizer.json (and tokenizer_config.json,
/// which names the tokens that begin and end a text), or tokenizer.json itself; empty means the
/// byte tokenizer.
StatusOr<std::unique_ptr<Tokenizer>> openTokenizer(const std::string &assetsPath);

} // namespace titan
