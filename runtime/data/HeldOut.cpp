#include "runtime/data/HeldOut.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cassert>
#include <cmath>

namespace titan {
namespace {

constexpr int64_t kFewDocuments = 20;
constexpr int64_t kHeldOutShare = 20; ///< one part of so many

/// Occurrences of each token.
StatusOr<std::vector<int64_t>> countTokens(const TokenText &text) {
  const auto &[index, range] = text;
  std::vector<int64_t> counts(static_cast<size_t>(index.vocabSize()));
  std::vector<int32_t> buffer;
  for (int64_t begin = range.begin; begin < range.end;) {
    const int64_t length = std::min<int64_t>(range.end - begin, 1 << 16);
    buffer.resize(static_cast<size_t>(length));
    TITAN_RETURN_IF_ERROR(index.copy(begin, buffer));
    for (int32_t token : buffer)
      ++counts[static_cast<size_t>(token)];
    begin += length;
  }
  return counts;
}

} // namespace

StatusOr<CorpusSplit> splitCorpus(const TokenIndex &index, int64_t seq) {
  const int64_t tokens = index.tokens();
  const int64_t window = seq + 1;
  int64_t begin = tokens - tokens / kHeldOutShare;
  if (index.documents() >= kFewDocuments) {
    TITAN_ASSIGN_OR_RETURN(
        begin, index.documentBegin(index.documents() - index.documents() / kHeldOutShare));
  }
  begin = std::min(begin, tokens - window);
  if (begin < window)
    return invalidArgument(fmt::format(
        "{}: {} tokens are too few to train on and to hold out a window of {}; use more data, a "
        "shorter sequence, or validation.dataset_path",
        index.name(), tokens, window));
  return CorpusSplit{{0, begin}, {begin, tokens}};
}

StatusOr<double> unigramEntropy(const TokenText &training, const TokenText &heldOut) {
  assert(training.index.vocabSize() == heldOut.index.vocabSize());
  TITAN_ASSIGN_OR_RETURN(const std::vector<int64_t> trainingCounts, countTokens(training));
  TITAN_ASSIGN_OR_RETURN(const std::vector<int64_t> heldOutCounts, countTokens(heldOut));
  const auto total = static_cast<double>(training.range.size() + training.index.vocabSize());
  double sum = 0;
  for (size_t token = 0; token < trainingCounts.size(); ++token)
    if (heldOutCounts[token])
      sum -= static_cast<double>(heldOutCounts[token]) *
             std::log(static_cast<double>(trainingCounts[token] + 1) / total);
  return sum / static_cast<double>(heldOut.range.size());
}

} // namespace titan
