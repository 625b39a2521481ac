// Tokenized text in one memory-mapped file.
#pragma once

#include "runtime/base/File.h"
#include "runtime/base/Status.h"

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace titan {

/// The first 128 bytes of a token file, little endian. After them come the tokens (2 or 4 bytes
/// each), zeros up to a multiple of 8 bytes, and documents + 1 offsets of 8 bytes: document d is
/// the tokens from offset d to offset d + 1, its begin and end tokens included.
struct TokenIndexPrefix {
  char magic[8];          ///< "TITANTOK"
  uint32_t version;       ///< kTokenIndexVersion
  uint32_t tokenBytes;    ///< 2 or 4
  uint64_t tokens;        ///< count
  uint64_t documents;     ///< count
  uint64_t vocabSize;     ///< of the tokenizer: every token is less
  uint64_t tokenizerHash; ///< Tokenizer::hash()
  uint64_t inputsHash;    ///< hashInputs()
  uint64_t bodyChecksum;  ///< XXH64 of all that follows the prefix
  uint64_t reserved[7];
  uint64_t prefixChecksum; ///< XXH64 of the bytes before it
};
static_assert(sizeof(TokenIndexPrefix) == 128);

inline constexpr char kTokenIndexMagic[8] = {'T', 'I', 'T', 'A', 'N', 'T', 'O', 'K'};
inline constexpr uint32_t kTokenIndexVersion = 1;

/// Of the bytes before prefixChecksum.
uint64_t prefixChecksum(const TokenIndexPrefix &prefix);
/// Bytes of the tokens, padded to a multiple of 8.
uint64_t paddedTokenBytes(const TokenIndexPrefix &prefix);

class TokenIndex {
public:
  /// Checks the prefix and that the sizes agree; files up to 1 GiB are checked in full.
  static StatusOr<TokenIndex> open(const std::filesystem::path &path);
  /// Whether the file begins as a token file does.
  static bool isTokenFile(const std::filesystem::path &path);

  const std::string &name() const { return fileName; }
  const TokenIndexPrefix &prefix() const { return header; }
  /// Of the whole file, which is mapped into memory.
  int64_t bytes() const { return static_cast<int64_t>(file.bytes().size()); }
  int64_t tokens() const { return static_cast<int64_t>(header.tokens); }
  int64_t documents() const { return static_cast<int64_t>(header.documents); }
  int64_t vocabSize() const { return static_cast<int64_t>(header.vocabSize); }

  /// Reads the whole file and compares its checksum and its offsets.
  Status verify() const;
  /// The first token of document `document`, which may be documents(). Fails on a damaged offset.
  StatusOr<int64_t> documentBegin(int64_t document) const;
  /// Copies tokens from `begin` on; the range must lie in the file. Fails on a token that is not
  /// less than vocabSize().
  Status copy(int64_t begin, std::span<int32_t> destination) const;

private:
  MappedFile file;
  std::string fileName;
  TokenIndexPrefix header;
};

} // namespace titan
