// The dimensions of a decoder-only transformer: a flavor's, with what a job overrides.
#pragma once

#include "runtime/base/JobConfig.h"
#include "runtime/base/Status.h"

#include <cstdint>

namespace titan {

struct ModelConfig {
  int64_t dim = 0;          ///< width of the residual stream
  int64_t numLayers = 0;    ///< transformer blocks
  int64_t numHeads = 0;     ///< query heads; their dimension is dim / numHeads
  int64_t numKvHeads = 0;   ///< key and value heads, each shared by numHeads / numKvHeads queries
  int64_t ffnHiddenDim = 0; ///< width inside the feed-forward block
  int64_t vocabSize = 0;    ///< rows of the embedding, classes of the head
  bool tiedEmbeddings = false; ///< the head uses the embedding's matrix
  double normEpsilon = 1e-5;
  double ropeTheta = 500000.0;

  int64_t headDim() const { return dim / numHeads; }

  bool operator==(const ModelConfig &) const = default;
};

/// The flavor's dimensions, except those that the job's [model] section sets.
ModelConfig overrideModel(const ModelConfig &flavor, const ModelSection &section);

/// Checks the rules that make the dimensions a model; the message names the option of [model].
Status checkModel(const ModelConfig &config);

} // namespace titan
