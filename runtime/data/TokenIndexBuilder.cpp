#include "runtime/data/TokenIndexBuilder.h"

#include "runtime/data/BuildFolder.h"
#include "runtime/data/Documents.h"
#include "runtime/data/TokenIndex.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <chrono>
#include <cstring>

namespace titan {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kBatchBytes = uint64_t{1} << 20;
constexpr size_t kBatchDocuments = 4096;

/// Logs how far the build is, every few seconds.
class Progress {
public:
  static StatusOr<Progress> create(const std::vector<fs::path> &files, Logger &logger) {
    Progress progress(logger);
    uint64_t sum = 0;
    for (const fs::path &file : files) {
      progress.bytesBefore.push_back(sum);
      TITAN_ASSIGN_OR_RETURN(const uint64_t bytes, inputBytes(std::span(&file, 1)));
      sum += bytes;
    }
    progress.bytesBefore.push_back(sum);
    return progress;
  }

  /// The position from which on this process reads.
  void begin(const DocumentReader &reader) { skipped = bytesRead(reader); }

  void report(const DocumentReader &reader, uint64_t tokens) {
    const auto now = Clock::now();
    if (now - last < std::chrono::seconds(2))
      return;
    last = now;
    const uint64_t done = bytesRead(reader), all = std::max<uint64_t>(bytesBefore.back(), 1);
    const double rate = static_cast<double>(done - std::min(done, skipped)) /
                        std::chrono::duration<double>(now - start).count();
    logger.info("tokenizing: {:.0f} %, {} of {} files, {} tokens, {:.1f} MB/s, {:.0f} s left",
                100 * static_cast<double>(done) / static_cast<double>(all), reader.position().file,
                bytesBefore.size() - 1, tokens, rate / 1e6,
                static_cast<double>(all - std::min(done, all)) / std::max(rate, 1.0));
  }

private:
  using Clock = std::chrono::steady_clock;

  explicit Progress(Logger &logger) : logger(logger) {}

  uint64_t bytesRead(const DocumentReader &reader) const {
    return bytesBefore[static_cast<size_t>(reader.position().file)] + reader.bytesOfFile();
  }

  Logger &logger;
  std::vector<uint64_t> bytesBefore; ///< bytes of the files before each one, and of all
  uint64_t skipped = 0;
  Clock::time_point start = Clock::now(), last = start;
};

/// The bytes of ids in a token file.
void appendIds(std::span<const int32_t> ids, uint32_t tokenBytes, std::vector<std::byte> &bytes) {
  size_t at = bytes.size();
  bytes.resize(at + ids.size() * tokenBytes);
  for (int32_t id : ids)
    for (uint32_t byte = 0; byte < tokenBytes; ++byte)
      bytes[at++] = static_cast<std::byte>(static_cast<uint32_t>(id) >> (8 * byte));
}

/// One run of a build, from where the folder says.
class Builder {
public:
  Builder(const TokenIndexPrefix &prefix, BuildFolder &folder, DocumentReader &reader,
          Progress &progress, uint64_t commitBytes)
      : prefix(prefix), folder(folder), reader(reader), progress(progress),
        commitBytes(commitBytes) {}

  /// Tokenizes all that is left. An error of the inputs sets `inputsAreBad`.
  Status run(EncodingPipeline &pipeline, Logger &logger);
  Status finish(const fs::path &output);

  bool inputsAreBad = false;
  uint64_t tokens() const { return state.tokens; }

private:
  /// A batch that was read, and the position after it.
  struct Pending {
    ReadPosition end;
    uint64_t bytes;
  };

  Status begin(Logger &logger);
  StatusOr<std::unique_ptr<DocumentBatch>> readBatch();
  Status store(const DocumentBatch &batch, const Pending &pending);

  TokenIndexPrefix prefix;
  BuildFolder &folder;
  DocumentReader &reader;
  Progress &progress;
  uint64_t commitBytes;
  BuildState state;
  Hasher hasher; ///< of the tokens
  std::deque<Pending> pending;
  uint64_t uncommitted = 0; ///< bytes of text
};

Status Builder::begin(Logger &logger) {
  BuildState wanted;
  wanted.inputsHash = prefix.inputsHash;
  wanted.tokenizerHash = prefix.tokenizerHash;
  TITAN_ASSIGN_OR_RETURN(state, folder.begin(wanted, prefix.tokenBytes, hasher));
  if (state.tokens > 0)
    logger.info("continuing a build that was interrupted, at {} tokens of {} documents",
                state.tokens, state.documents);
  TITAN_RETURN_IF_ERROR(reader.skipTo({state.file, state.fileDocuments}));
  progress.begin(reader);
  return okStatus();
}

/// Null at the end.
StatusOr<std::unique_ptr<DocumentBatch>> Builder::readBatch() {
  auto batch = std::make_unique<DocumentBatch>();
  const uint64_t most = std::min(kBatchBytes, commitBytes);
  uint64_t bytes = 0;
  std::string document;
  while (bytes < most && batch->documents.size() < kBatchDocuments) {
    TITAN_ASSIGN_OR_RETURN(const bool found, reader.next(document));
    if (!found)
      break;
    bytes += document.size();
    batch->documents.push_back(std::move(document));
  }
  if (batch->documents.empty())
    return std::unique_ptr<DocumentBatch>();
  pending.push_back({reader.position(), bytes});
  return batch;
}

Status Builder::store(const DocumentBatch &batch, const Pending &read) {
  std::vector<std::byte> bytes;
  appendIds(batch.tokens, prefix.tokenBytes, bytes);
  std::vector<uint64_t> ends;
  for (const uint64_t length : batch.lengths)
    ends.push_back(state.tokens += length);
  state.documents += ends.size();
  state.file = read.end.file;
  state.fileDocuments = read.end.documents;
  hasher.update(std::span<const std::byte>(bytes));
  state.tokensChecksum = hasher.digest();
  TITAN_RETURN_IF_ERROR(folder.append(bytes, ends));
  uncommitted += read.bytes;
  if (uncommitted < commitBytes)
    return okStatus();
  uncommitted = 0;
  return folder.commit(state);
}

Status Builder::run(EncodingPipeline &pipeline, Logger &logger) {
  TITAN_RETURN_IF_ERROR(begin(logger));
  for (bool atEnd = false; !atEnd || !pipeline.empty();) {
    if (!atEnd && pipeline.hasRoom()) {
      auto batch = readBatch();
      inputsAreBad = !batch.ok();
      if (!batch.ok())
        return batch.status();
      atEnd = !*batch;
      if (*batch)
        pipeline.give(*std::move(batch));
      continue;
    }
    const std::unique_ptr<DocumentBatch> batch = pipeline.take();
    inputsAreBad = !batch->status.ok();
    TITAN_RETURN_IF_ERROR(batch->status);
    TITAN_RETURN_IF_ERROR(store(*batch, pending.front()));
    pending.pop_front();
    progress.report(reader, state.tokens);
  }
  return okStatus();
}

Status Builder::finish(const fs::path &output) {
  prefix.tokens = state.tokens;
  prefix.documents = state.documents;
  const std::vector<std::byte> padding(paddedTokenBytes(prefix) - state.tokens * prefix.tokenBytes);
  return folder.finish(output, padding, hasher, [&] {
    prefix.bodyChecksum = hasher.digest();
    prefix.prefixChecksum = prefixChecksum(prefix);
    return std::as_bytes(std::span(&prefix, 1));
  });
}

bool isDone(const fs::path &output, const TokenIndexPrefix &wanted) {
  auto index = TokenIndex::open(output);
  return index.ok() && index->prefix().inputsHash == wanted.inputsHash &&
         index->prefix().tokenizerHash == wanted.tokenizerHash;
}

} // namespace

Status buildTokenIndex(const fs::path &output, Tokenizer &tokenizer,
                       const std::vector<fs::path> &files,
                       const std::optional<std::string> &separator, Logger &logger,
                       const TokenIndexBuildOptions &options) {
  TokenIndexPrefix prefix = {};
  std::copy(std::begin(kTokenIndexMagic), std::end(kTokenIndexMagic), prefix.magic);
  prefix.version = kTokenIndexVersion;
  prefix.tokenBytes = tokenizer.vocabSize() <= 1 << 16 ? 2 : 4;
  prefix.vocabSize = static_cast<uint64_t>(tokenizer.vocabSize());
  prefix.tokenizerHash = tokenizer.hash();
  // Before reading: a file that changes meanwhile makes the index stale, not wrong.
  TITAN_ASSIGN_OR_RETURN(prefix.inputsHash, hashInputs(files, separator));
  TITAN_ASSIGN_OR_RETURN(Progress progress, Progress::create(files, logger));

  TITAN_ASSIGN_OR_RETURN(BuildFolder folder, BuildFolder::open(output, logger));
  if (folder.mayBeDone() && isDone(output, prefix)) {
    folder.remove();
    return okStatus();
  }
  DocumentReader reader(files, separator);
  Builder builder(prefix, folder, reader, progress, options.commitBytes);
  Status status;
  {
    EncodingPipeline pipeline(tokenizer, options.threads, options.openTokenizer);
    status = builder.run(pipeline, logger);
  }
  if (status.ok() && builder.tokens() == 0) {
    builder.inputsAreBad = true;
    status =
        invalidArgument("the data has no text: " + files.front().string() +
                        (files.size() > 1 ? " and the other files" : "") + " hold no document");
  }
  if (builder.inputsAreBad)
    folder.remove(); // mended inputs are other inputs
  TITAN_RETURN_IF_ERROR(status);
  return builder.finish(output);
}

} // namespace titan
