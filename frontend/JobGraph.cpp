#include "frontend/JobGraph.h"

#include "mlir/IR/Verifier.h"
#include "llvm/ADT/StringExtras.h"

#include <spdlog/fmt/fmt.h>

using namespace mlir;

namespace titan {

static Status checkBatch(const char *section, const BatchShape &batch) {
  // Devices count tokens in 32 bits.
  constexpr int64_t kMostTokens = int64_t(1) << 31;
  if (batch.rows >= 1 && batch.length >= 1 && batch.length < kMostTokens &&
      batch.rows < kMostTokens && batch.tokens() < kMostTokens)
    return okStatus();
  return invalidArgument(
      fmt::format("{0}.local_batch_size = {1} times {0}.seq_len = {2} must be from 1 to {3} tokens",
                  section, batch.rows, batch.length, kMostTokens - 1));
}

/// Everything that a step keeps, in elements, rounded up: parameters and what the forward pass of a
/// microbatch makes. Beyond 2^52 sums of byte sizes would leave 64 bits.
static Status checkSize(const ModelConfig &model, const char *section, const BatchShape &batch) {
  const auto number = [](int64_t value) { return static_cast<double>(value); };
  const double dim = number(model.dim), ffn = number(model.ffnHiddenDim);
  const double layer = 4 * dim * dim + 3 * dim * ffn;
  const double parameters = 2 * number(model.vocabSize) * dim + number(model.numLayers) * layer;
  const double activations =
      number(batch.tokens()) *
      (number(model.vocabSize) + number(model.numLayers) * (16 * dim + 4 * ffn));
  const double most = number(int64_t(1) << 52);
  if (parameters > most)
    return invalidArgument(fmt::format(
        "model.n_layers = {}, model.dim = {}, model.ffn_hidden_dim = {} and model.vocab_size = {} "
        "make {:.2g} parameters, which must be at most {:.2g}; flavor 405B has 4.1e+11",
        model.numLayers, model.dim, model.ffnHiddenDim, model.vocabSize, parameters, most));
  if (activations > most)
    return invalidArgument(fmt::format(
        "{0}.local_batch_size = {1} and {0}.seq_len = {2} make {3:.2g} values in the forward pass "
        "of this model, which must be at most {4:.2g}, such as with {0}.local_batch_size = 1",
        section, batch.rows, batch.length, activations, most));
  return okStatus();
}

StatusOr<GraphOptions> resolveGraph(const ModelDefinition &definition, const JobConfig &job,
                                    int64_t worldSize) {
  const auto *flavor = llvm::find_if(definition.flavors, [&](const ModelFlavor &candidate) {
    return candidate.name == job.model.flavor;
  });
  if (flavor == definition.flavors.end()) {
    auto names = llvm::map_range(definition.flavors, [](const ModelFlavor &f) { return f.name; });
    return invalidArgument(fmt::format("model.flavor = \"{}\" is no flavor of {}; there are {}",
                                       job.model.flavor, definition.name.str(),
                                       llvm::join(names, ", ")));
  }
  GraphOptions options;
  options.model = overrideModel(flavor->config, job.model);
  TITAN_RETURN_IF_ERROR(checkModel(options.model));
  TITAN_ASSIGN_OR_RETURN(options.mesh, resolveMesh(job.parallelism, worldSize));
  options.computeBytes = job.training.mixedPrecisionParam == "bfloat16" ? 2 : 4;
  options.sequenceParallel = job.parallelism.enableSequenceParallel;
  options.wholeLogits = job.parallelism.disableLossParallel;
  options.keepSharedMatrix = job.parallelism.fsdpReshardAfterForward == "default";
  const int64_t batchDegree = options.mesh.batchDegree();
  const int64_t rowsAtOnce = job.training.localBatchSize * batchDegree;
  if (job.globalRows(batchDegree) % rowsAtOnce)
    return invalidArgument(fmt::format("training.global_batch_size = {} must be a multiple of "
                                       "training.local_batch_size = {} times "
                                       "the {} ranks that split the batch, such as {}",
                                       job.globalRows(batchDegree), job.training.localBatchSize,
                                       batchDegree, rowsAtOnce));
  auto resolveBatch = [&](const char *section, BatchShape local) -> StatusOr<BatchShape> {
    TITAN_RETURN_IF_ERROR(checkBatch(section, local));
    TITAN_RETURN_IF_ERROR(checkSize(options.model, section, local));
    TITAN_RETURN_IF_ERROR(
        checkMesh(options.mesh, options.model, local.length, options.sequenceParallel)
            .withContext(section));
    const int64_t rows =
        options.mesh.pipeline == 1 ? local.rows : job.parallelism.pipelineParallelMicrobatchSize;
    return BatchShape{rows * batchDegree, local.length};
  };
  TITAN_ASSIGN_OR_RETURN(options.training, resolveBatch("training", {job.training.localBatchSize,
                                                                     job.training.seqLen}));
  if (job.validation.enable) {
    TITAN_ASSIGN_OR_RETURN(
        options.validation,
        resolveBatch("validation", {job.validation.localBatchSize, job.validation.seqLen}));
  }
  return options;
}

StatusOr<OwningOpRef<ModuleOp>> buildGraph(const ModelDefinition &definition,
                                           const GraphOptions &options, MLIRContext *context) {
  GraphBuilder graph(context);
  definition.build(graph, options);
  OwningOpRef<ModuleOp> module = graph.takeModule();
  if (failed(verify(*module)))
    return internalError(
        fmt::format("the graph of model {} is not valid IR", definition.name.str()));
  return module;
}

} // namespace titan
