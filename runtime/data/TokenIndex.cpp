#include "runtime/data/TokenIndex.h"

#include "runtime/base/Hash.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstring>

namespace titan {
namespace {

constexpr char kMagic[8] = {'T', 'I', 'T', 'A', 'N', 'T', 'O', 'K'};
constexpr uint64_t kAlwaysVerifiedBytes = uint64_t{1} << 30;
constexpr uint64_t kMaxTokens = uint64_t{1} << 48;

uint64_t prefixChecksum(const TokenIndexPrefix &prefix) {
  return hash64(
      std::as_bytes(std::span(&prefix, 1)).first(offsetof(TokenIndexPrefix, prefixChecksum)));
}

/// Bytes of the tokens, padded to a multiple of 8.
uint64_t paddedTokenBytes(const TokenIndexPrefix &prefix) {
  return (prefix.tokens * prefix.tokenBytes + 7) / 8 * 8;
}

Status checkPrefix(const TokenIndexPrefix &prefix, uint64_t fileBytes) {
  if (std::memcmp(prefix.magic, kMagic, sizeof(kMagic)) != 0)
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

/// Collects a token file's body: tokens are buffered, hashed and appended.
class BodyWriter {
public:
  BodyWriter(AtomicFile &file, uint32_t tokenBytes) : file(file), tokenBytes(tokenBytes) {}

  Status add(std::span<const int32_t> ids) {
    for (int32_t id : ids)
      for (uint32_t byte = 0; byte < tokenBytes; ++byte)
        buffer.push_back(static_cast<std::byte>(static_cast<uint32_t>(id) >> (8 * byte)));
    tokens += ids.size();
    offsets.push_back(tokens);
    return buffer.size() >= kFlushBytes ? flush() : okStatus();
  }

  Status finish() {
    buffer.resize((buffer.size() + 7) / 8 * 8); // flushes are multiples of 8: pads the whole
    TITAN_RETURN_IF_ERROR(flush());
    const auto bytes = std::as_bytes(std::span(offsets));
    hasher.update(bytes);
    return file.append(bytes);
  }

  uint64_t tokenCount() const { return tokens; }
  uint64_t documentCount() const { return offsets.size() - 1; }
  uint64_t checksum() const { return hasher.digest(); }

private:
  static constexpr size_t kFlushBytes = size_t{1} << 20;

  Status flush() {
    // Whole multiples of 8 go out; what is over waits for more.
    const size_t bytes = buffer.size() / 8 * 8;
    const auto ready = std::span(buffer).first(bytes);
    hasher.update(std::span<const std::byte>(ready));
    TITAN_RETURN_IF_ERROR(file.append(std::span<const std::byte>(ready)));
    buffer.erase(buffer.begin(), buffer.begin() + static_cast<ptrdiff_t>(bytes));
    return okStatus();
  }

  AtomicFile &file;
  uint32_t tokenBytes;
  std::vector<std::byte> buffer;
  std::vector<uint64_t> offsets = {0};
  uint64_t tokens = 0;
  Hasher hasher;
};

/// Logs how far the build is, every few seconds.
class Progress {
public:
  Progress(Logger &logger, size_t files) : logger(logger), files(files) {}

  void report(size_t filesDone, uint64_t tokens) {
    const auto now = std::chrono::steady_clock::now();
    if (now - last < std::chrono::seconds(5))
      return;
    last = now;
    logger.info("tokenizing: {} of {} files, {} tokens", filesDone, files, tokens);
  }

private:
  Logger &logger;
  size_t files;
  std::chrono::steady_clock::time_point last = std::chrono::steady_clock::now();
};

} // namespace

bool TokenIndex::isTokenFile(const std::filesystem::path &path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error))
    return false;
  auto file = MappedFile::open(path);
  return file.ok() && file->bytes().size() >= sizeof(kMagic) &&
         std::memcmp(file->bytes().data(), kMagic, sizeof(kMagic)) == 0;
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

Status buildTokenIndex(const std::filesystem::path &output, Tokenizer &tokenizer,
                       const std::vector<std::filesystem::path> &files,
                       const std::optional<std::string> &separator, Logger &logger) {
  TokenIndexPrefix prefix = {};
  std::copy(std::begin(kMagic), std::end(kMagic), prefix.magic);
  prefix.version = kTokenIndexVersion;
  prefix.tokenBytes = tokenizer.vocabSize() <= 1 << 16 ? 2 : 4;
  prefix.vocabSize = static_cast<uint64_t>(tokenizer.vocabSize());
  prefix.tokenizerHash = tokenizer.hash();
  // Before reading: a file that changes meanwhile makes the index stale, not wrong.
  TITAN_ASSIGN_OR_RETURN(prefix.inputsHash, hashInputs(files, separator));

  TITAN_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::create(output));
  TITAN_RETURN_IF_ERROR(file.append(std::as_bytes(std::span(&prefix, 1))));
  BodyWriter body(file, prefix.tokenBytes);
  DocumentReader reader(files, separator);
  Progress progress(logger, files.size());
  std::string document;
  std::vector<int32_t> ids;
  for (;;) {
    TITAN_ASSIGN_OR_RETURN(const bool found, reader.next(document));
    if (!found)
      break;
    ids.clear();
    if (tokenizer.beginOfText())
      ids.push_back(*tokenizer.beginOfText());
    TITAN_RETURN_IF_ERROR(tokenizer.encode(document, ids));
    if (tokenizer.endOfText())
      ids.push_back(*tokenizer.endOfText());
    if (!ids.empty())
      TITAN_RETURN_IF_ERROR(body.add(ids));
    progress.report(reader.filesDone(), body.tokenCount());
  }
  if (body.tokenCount() == 0)
    return invalidArgument("the data has no text: " + files.front().string() +
                           (files.size() > 1 ? " and the other files" : "") + " hold no document");
  TITAN_RETURN_IF_ERROR(body.finish());
  prefix.tokens = body.tokenCount();
  prefix.documents = body.documentCount();
  prefix.bodyChecksum = body.checksum();
  prefix.prefixChecksum = prefixChecksum(prefix);
  TITAN_RETURN_IF_ERROR(file.overwrite(0, std::as_bytes(std::span(&prefix, 1))));
  return file.commit();
}

} // namespace titan
