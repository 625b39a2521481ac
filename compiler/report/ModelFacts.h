// What a graph says about its model: parameters and floating-point operations.
#pragma once

#include "mlir/IR/BuiltinOps.h"

#include <cstdint>
#include <vector>

namespace titan {

/// Counted from variables and ops of the phase `graph`, for any model.
struct ModelFacts {
  int64_t parameters = 0;
  int64_t inputEmbedding = 0; ///< of these, in tables that are only looked up in (not tied)
  int64_t normWeights = 0;    ///< of these, in vectors
  int64_t attentionFlops = 0; ///< per token: forward and backward, counted without a mask
  int64_t tokens = 0;         ///< of one call of @loss: a microbatch of all ranks

  /// torchtitan's formula for its throughput lines: 6 (parameters - input embedding) + 12 layers
  /// heads head_dim sequence. A matrix product takes 2 flops per weight and token in the forward
  /// and 4 in the backward.
  int64_t flopsPerToken() const { return 6 * (parameters - inputEmbedding) + attentionFlops; }

  /// Flops of the matrix products with weights in one microbatch: 6 per matrix element and token.
  int64_t weightProductFlops() const {
    return 6 * (parameters - inputEmbedding - normWeights) * tokens;
  }
};

ModelFacts collectModelFacts(mlir::ModuleOp graph);

/// The sums of CostOpInterface over the einsums of @fwd and @bwd in the phase `local`, by pipeline
/// rank; one number without a pipeline.
std::vector<int64_t> sumEinsumFlops(mlir::ModuleOp local);

} // namespace titan
