#include "runtime/data/TokenIndex.h"

#include "runtime/base/Hash.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace titan {

uint64_t prefixChecksum(const TokenIndexPrefix &prefix) {
  return hash64(
      std::as_bytes(std::span(&prefix, 1)).first(offsetof(TokenIndexPrefix, prefixChecksum)));
}

uint64_t paddedTokenBytes(const TokenIndexPrefix &prefix) {
  return (prefix.tokens * prefix.tokenBytes + 7) / 8 * 8;
}

namespace {

constexpr uint64_t kAlwaysVerifiedBytes = uint64_t{1} << 30;
constexpr uint64_t kMaxTokens = uint64_t{1} << 48;

Status checkPrefix(const TokenIndexPrefix &prefix, uint64_t fileBytes) {
  if (std::memcmp(prefix.magic, kTokenIndexMagic, sizeof(kTokenIndexMagic)) != 0)
    return dataLoss("not a token file");
  if (prefix.prefixChecksum != prefixChecksum(prefix))
    return dataLoss("damaged: the checksum of the prefix differs");
  if (prefix.version != kTokenIndexVersion)
    return dataLoss(fmt::format("format version {}, this program reads {}; build it again",
                                prefix.version, kTokenIndexVersion));
  if (prefix.tokenBytes != 2 && prefix.tokenBytes != 4)
    return dataLoss(
        fmt::format("damaged: tokens of {} bytes, legal are 2 and 4", prefix.tokenBytes));
  const uint64_t maxVocab = uint64_t{1} << (prefix.tokenBytes == 2 ? 16 : 31);
  if (prefix.vocabSize == 0 || prefix.vocabSize > maxVocab)
    return dataLoss(fmt::format("damaged: a vocabulary of {} for tokens of {} bytes",
                                prefix.vocabSize, prefix.tokenBytes));
  if (prefix.tokens == 0 || prefix.tokens > kMaxTokens || prefix.documents == 0 ||
      prefix.documents > prefix.tokens)
    return dataLoss(
        fmt::format("damaged: {} tokens in {} documents", prefix.tokens, prefix.documents));
  const uint64_t expected =
      sizeof(TokenIndexPrefix) + paddedTokenBytes(prefix) + 8 * (prefix.documents + 1);
  if (fileBytes != expected)
    return dataLoss(fmt::format("damaged: {} bytes, its prefix says {}", fileBytes, expected));
  return okStatus();
}

} // namespace

bool TokenIndex::isTokenFile(const std::filesystem::path &path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error))
    return false;
  auto file = MappedFile::open(path);
  return file.ok() && file->bytes().size() >= sizeof(kTokenIndexMagic) &&
         std::memcmp(file->bytes().data(), kTokenIndexMagic, sizeof(kTokenIndexMagic)) == 0;
}

StatusOr<TokenIndex> TokenIndex::open(const std::filesystem::path &path) {
  TokenIndex index;
  TITAN_ASSIGN_OR_RETURN(index.file, MappedFile::open(path));
  index.fileName = path.string();
  const std::span<const std::byte> bytes = index.file.bytes();
  if (bytes.size() < sizeof(TokenIndexPrefix))
    return dataLoss(index.fileName + ": not a token file: it has " + std::to_string(bytes.size()) +
                    " bytes");
  std::memcpy(&index.header, bytes.data(), sizeof(TokenIndexPrefix));
  TITAN_RETURN_IF_ERROR(checkPrefix(index.header, bytes.size()).withContext(index.fileName));
  if (bytes.size() <= kAlwaysVerifiedBytes)
    TITAN_RETURN_IF_ERROR(index.verify());
  return index;
}

Status TokenIndex::verify() const {
  if (hash64(file.bytes().subspan(sizeof(TokenIndexPrefix))) != header.bodyChecksum)
    return dataLoss(fileName + ": damaged: the checksum of the tokens differs; build it again");
  int64_t previous = 0;
  for (int64_t document = 0; document <= documents(); ++document) {
    TITAN_ASSIGN_OR_RETURN(const int64_t begin, documentBegin(document));
    const bool edge = document == 0             ? begin == 0
                      : document == documents() ? begin == tokens()
                                                : true;
    if (begin < previous || !edge)
      return dataLoss(fileName + ": damaged: the offset of document " + std::to_string(document) +
                      " is " + std::to_string(begin));
    previous = begin;
  }
  return okStatus();
}

StatusOr<int64_t> TokenIndex::documentBegin(int64_t document) const {
  const uint64_t place =
      sizeof(TokenIndexPrefix) + paddedTokenBytes(header) + 8 * static_cast<uint64_t>(document);
  uint64_t begin;
  std::memcpy(&begin, file.bytes().data() + place, sizeof(begin));
  if (begin > header.tokens)
    return dataLoss(fileName + ": damaged: the offset of document " + std::to_string(document) +
                    " is beyond the last token");
  return static_cast<int64_t>(begin);
}

Status TokenIndex::copy(int64_t begin, std::span<int32_t> destination) const {
  const std::byte *source = file.bytes().data() + sizeof(TokenIndexPrefix) +
                            static_cast<size_t>(begin) * header.tokenBytes;
  if (header.tokenBytes == 4) {
    std::memcpy(destination.data(), source, destination.size_bytes());
  } else {
    for (size_t i = 0; i < destination.size(); ++i) {
      uint16_t token;
      std::memcpy(&token, source + 2 * i, sizeof(token));
      destination[i] = token;
    }
  }
  for (size_t i = 0; i < destination.size(); ++i)
    if (static_cast<uint32_t>(destination[i]) >= header.vocabSize)
      return dataLoss(fmt::format("{}: damaged: token {} is {}, the vocabulary has {}", fileName,
                                  begin + static_cast<int64_t>(i),
                                  static_cast<uint32_t>(destination[i]), header.vocabSize));
  return okStatus();
}

} // namespace titan
