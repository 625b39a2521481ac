#include "frontend/ModelConfig.h"

#include <spdlog/fmt/fmt.h>

#include <cmath>

namespace titan {

/// No dimension may be larger: products of any two, times an element's size, then fit in 64 bits.
static constexpr int64_t kLargestDimension = int64_t(1) << 29;
/// Layers are unrolled: compile time and memory grow with them.
static constexpr int64_t kMostLayers = 4096;

ModelConfig overrideModel(const ModelConfig &flavor, const ModelSection &section) {
  ModelConfig config = flavor;
  config.dim = section.dim.value_or(flavor.dim);
  config.numLayers = section.nLayers.value_or(flavor.numLayers);
  config.numHeads = section.nHeads.value_or(flavor.numHeads);
  config.numKvHeads = section.nKvHeads.value_or(flavor.numKvHeads);
  config.ffnHiddenDim = section.ffnHiddenDim.value_or(flavor.ffnHiddenDim);
  config.vocabSize = section.vocabSize.value_or(flavor.vocabSize);
  config.tiedEmbeddings = section.tiedEmbeddings.value_or(flavor.tiedEmbeddings);
  config.normEpsilon = section.normEps.value_or(flavor.normEpsilon);
  config.ropeTheta = section.ropeTheta.value_or(flavor.ropeTheta);
  return config;
}

/// The largest divisor of `number` that is at most `limit`: what to suggest instead of `limit`.
static int64_t divisorUpTo(int64_t number, int64_t limit) {
  int64_t divisor = std::min(number, limit);
  while (number % divisor != 0)
    --divisor;
  return divisor;
}

static Status checkRanges(const ModelConfig &config) {
  const std::pair<const char *, int64_t> dimensions[] = {
      {"dim", config.dim},
      {"n_heads", config.numHeads},
      {"n_kv_heads", config.numKvHeads},
      {"ffn_hidden_dim", config.ffnHiddenDim},
      {"vocab_size", config.vocabSize},
  };
  for (auto [name, value] : dimensions)
    if (value < 1 || value > kLargestDimension)
      return invalidArgument(
          fmt::format("model.{} = {} must be from 1 to {}", name, value, kLargestDimension));
  if (config.numLayers < 1 || config.numLayers > kMostLayers)
    return invalidArgument(fmt::format("model.n_layers = {} must be from 1 to {}, such as 32",
                                       config.numLayers, kMostLayers));
  if (!(config.normEpsilon > 0) || !std::isfinite(config.normEpsilon))
    return invalidArgument(fmt::format("model.norm_eps = {} must be a number above 0, such as 1e-5",
                                       config.normEpsilon));
  if (!(config.ropeTheta > 0) || !std::isfinite(config.ropeTheta))
    return invalidArgument(fmt::format(
        "model.rope_theta = {} must be a number above 0, such as 500000.0", config.ropeTheta));
  return okStatus();
}

Status checkModel(const ModelConfig &config) {
  TITAN_RETURN_IF_ERROR(checkRanges(config));
  if (config.dim % config.numHeads != 0)
    return invalidArgument(fmt::format("model.n_heads = {} must divide model.dim = {}, such as {}",
                                       config.numHeads, config.dim,
                                       divisorUpTo(config.dim, config.numHeads)));
  if (config.headDim() % 2 != 0)
    return invalidArgument(fmt::format(
        "model.dim = {} over model.n_heads = {} gives heads of dimension {}, which must be even, "
        "since rotary positions turn pairs; with these heads model.dim = {} would do",
        config.dim, config.numHeads, config.headDim(), config.numHeads * (config.headDim() + 1)));
  if (config.numHeads % config.numKvHeads != 0)
    return invalidArgument(fmt::format(
        "model.n_kv_heads = {} must divide model.n_heads = {}, such as {}", config.numKvHeads,
        config.numHeads, divisorUpTo(config.numHeads, config.numKvHeads)));
  return okStatus();
}

} // namespace titan
