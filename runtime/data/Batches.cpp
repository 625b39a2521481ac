#include "runtime/data/Batches.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace titan {
namespace {

/// A window's tokens and labels.
void writeRow(std::span<const int32_t> window, int32_t *tokens, int32_t *labels) {
  std::copy(window.begin(), window.end() - 1, tokens);
  std::copy(window.begin() + 1, window.end(), labels);
}

Status checkIds(const TensorView &tensor, int64_t vocabSize, bool mayBeIgnored) {
  const auto count = static_cast<int64_t>(tensor.bytes.size() / sizeof(int32_t));
  for (int64_t i = 0; i < count; ++i) {
    int32_t id;
    std::memcpy(&id, tensor.bytes.data() + i * 4, sizeof(id));
    if (mayBeIgnored && id == kIgnoredLabel)
      continue;
    if (id < 0 || id >= vocabSize)
      return invalidArgument(fmt::format("tensor '{}' has {} at element {}, legal is 0 to {}{}",
                                         tensor.name, id, i, vocabSize - 1,
                                         mayBeIgnored ? ", or -100" : ""));
  }
  return okStatus();
}

} // namespace

StatusOr<std::unique_ptr<TokenStream>> TokenStream::create(std::shared_ptr<const TokenIndex> index,
                                                           TokenRange range, int64_t consumed) {
  if (range.size() < 2)
    return invalidArgument(
        fmt::format("{}: {} tokens are too few to train on, at least 2 are needed", index->name(),
                    range.size()));
  return std::unique_ptr<TokenStream>(new TokenStream(std::move(index), range, consumed));
}

Status TokenStream::next(int64_t rows, int64_t seq, int32_t *tokens, int32_t *labels) {
  window.resize(static_cast<size_t>(seq) + 1);
  for (int64_t row = 0; row < rows; ++row) {
    for (std::span<int32_t> rest(window); !rest.empty();) {
      const int64_t offset = position % range.size();
      const auto length = std::min<int64_t>(range.size() - offset, std::ssize(rest));
      TITAN_RETURN_IF_ERROR(
          index->copy(range.begin + offset, rest.first(static_cast<size_t>(length))));
      rest = rest.subspan(static_cast<size_t>(length));
      position += length;
    }
    writeRow(window, tokens + row * seq, labels + row * seq);
  }
  return okStatus();
}

std::optional<int64_t> HeldOutWindows::remainingRows(int64_t seq) const {
  return std::max<int64_t>(0, range.size() - position) / (seq + 1);
}

Status HeldOutWindows::next(int64_t rows, int64_t seq, int32_t *tokens, int32_t *labels) {
  window.resize(static_cast<size_t>(seq) + 1);
  for (int64_t row = 0; row < rows; ++row) {
    if (*remainingRows(seq) > 0) {
      TITAN_RETURN_IF_ERROR(index->copy(range.begin + position, window));
      writeRow(window, tokens + row * seq, labels + row * seq);
    } else {
      std::fill_n(tokens + row * seq, seq, 0);
      std::fill_n(labels + row * seq, seq, kIgnoredLabel);
    }
    position += seq + 1;
  }
  return okStatus();
}

StatusOr<std::unique_ptr<PretokenizedBatches>>
PretokenizedBatches::open(const std::filesystem::path &path, int64_t rows, int64_t seq,
                          int64_t vocabSize) {
  TITAN_ASSIGN_OR_RETURN(Safetensors file, Safetensors::open(path));
  std::unique_ptr<PretokenizedBatches> source(new PretokenizedBatches(std::move(file)));
  const std::array<int64_t, 3> shape = {-1, rows, seq};
  TITAN_ASSIGN_OR_RETURN(const TensorView *tokens, source->file.get("tokens", DType::i32, shape));
  TITAN_ASSIGN_OR_RETURN(const TensorView *labels,
                         source->file.get("labels", DType::i32, tokens->shape));
  if (tokens->shape[0] == 0)
    return invalidArgument(path.string() + ": tensor 'tokens' holds no steps");
  TITAN_RETURN_IF_ERROR(checkIds(*tokens, vocabSize, false).withContext(path.string()));
  TITAN_RETURN_IF_ERROR(checkIds(*labels, vocabSize, true).withContext(path.string()));
  source->tokenBytes = tokens->bytes.data();
  source->labelBytes = labels->bytes.data();
  source->rowsPerStep = rows;
  source->totalRows = tokens->shape[0] * rows;
  source->seqLen = seq;
  return source;
}

Status PretokenizedBatches::next(int64_t rows, int64_t seq, int32_t *tokens, int32_t *labels) {
  if (seq != seqLen)
    return invalidArgument(
        fmt::format("{}: rows have {} tokens, {} were asked for", file.name(), seqLen, seq));
  if (rows > totalRows - position)
    return invalidArgument(fmt::format("{}: all {} steps have been read; legal is training.steps = "
                                       "{} at most",
                                       file.name(), steps(), steps()));
  const auto begin = static_cast<size_t>(position * seq) * sizeof(int32_t);
  const auto bytes = static_cast<size_t>(rows * seq) * sizeof(int32_t);
  std::memcpy(tokens, tokenBytes + begin, bytes);
  std::memcpy(labels, labelBytes + begin, bytes);
  position += rows;
  return okStatus();
}

} // namespace titan
