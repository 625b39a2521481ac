// The data of a job: from its options to batches.
#pragma once

#include "runtime/base/JobConfig.h"
#include "runtime/base/Logger.h"
#include "runtime/data/Batches.h"

namespace titan {

struct JobData {
  std::unique_ptr<BatchSource> training;
  std::unique_ptr<BatchSource> validation; ///< null unless validation.enable
  /// unigramEntropy() of the held-out text under the training text; absent when validation is off,
  /// for batches from safetensors, and for corpora beyond 2^28 tokens.
  std::optional<double> unigramEntropy;
};

/// Opens training.dataset_path, and validation.dataset_path if it is set; else, when validation is
/// on, splits the training data (HeldOut.h). A path is
///   NAME.safetensors   batches made elsewhere (PretokenizedBatches);
///   a token file       from titan-data build, with the job's tokenizer;
///   anything else      text (Documents.h), tokenized into job.dump_folder/tokens/ if it has at
///                      most 1 GiB, and found there again while text and tokenizer are unchanged.
/// `vocabSize` is the model's; a tokenizer with more tokens is an error. An evaluation takes
/// `validationRows` rows at once, those of all ranks.
StatusOr<JobData> openJobData(const JobConfig &config, int64_t vocabSize, int64_t validationRows,
                              Logger &logger);

} // namespace titan
