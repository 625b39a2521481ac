// The part of a corpus that is kept from training, and how hard it is to predict without context.
#pragma once

#include "runtime/data/Batches.h"

namespace titan {

struct CorpusSplit {
  TokenRange training;
  TokenRange heldOut;
};

/// Keeps the last 5 % from training: of the documents, or of the tokens where there are fewer than
/// 20 documents; at least the tokens of one window, that is `seq` + 1. Fails when fewer tokens than
/// that are left for training.
StatusOr<CorpusSplit> splitCorpus(const TokenIndex &index, int64_t seq);

/// A range of an index: some text.
struct TokenText {
  const TokenIndex &index;
  TokenRange range;
};

/// Mean negative logarithm (nats per token) of the held-out tokens under the frequencies of the
/// training tokens, each of the vocabulary's tokens counted once more: what a model that knows only
/// frequencies would reach. Both come from one tokenizer. Fails on damaged tokens.
StatusOr<double> unigramEntropy(const TokenText &training, const TokenText &heldOut);

} // namespace titan
