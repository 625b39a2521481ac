// Training against reference numbers from another program.
#pragma once

#include "compiler/reference/Compare.h"
#include "runtime/base/Status.h"

namespace titan {

struct GoldenResult {
  Deviation deviation; ///< the largest
  struct Step {
    double loss, gradientNorm;
  };
  std::vector<Step> steps;
};

/// Trains the module's program from the parameters in PREFIX.init.safetensors on the batches in
/// PREFIX.batches.safetensors for `steps` steps. Compares with PREFIX.json each step's loss and
/// gradient norm (relative difference), and with PREFIX.float64.safetensors the gradients of step
/// 1 and the parameters after the steps it has (relative Euclidean norm of the difference).
/// A batch whose rows are a multiple of @fwd's is accumulated over microbatches. The learning rates
/// are those of PREFIX.json.
StatusOr<GoldenResult> trainAgainstGolden(mlir::ModuleOp module, Interpreter &interpreter,
                                          const std::string &prefix, int64_t steps);

} // namespace titan
