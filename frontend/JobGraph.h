// From a job to a graph: which model, with which dimensions, over which tokens.
//
// The model families are given (ModelDefinition); models/Registry.h has the list of them.
#pragma once

#include "frontend/GraphBuilder.h"
#include "frontend/MeshConfig.h"

#include <optional>

namespace titan {

/// The tokens that one call of a function sees: `rows` sequences of `length`.
struct BatchShape {
  int64_t rows = 0;
  int64_t length = 0;

  int64_t tokens() const { return rows * length; }
  bool operator==(const BatchShape &) const = default;
};

/// Everything that decides a graph.
struct GraphOptions {
  ModelConfig model;
  MeshConfig mesh;
  int64_t computeBytes = 4;     ///< of an element in forward and backward
  bool sequenceParallel = true; ///< tp splits the sequence between the layers' matrices
  bool wholeLogits = false;     ///< ranks that share the head exchange logits, not sums
  /// A matrix that embedding and head share is gathered once in a microbatch.
  bool keepSharedMatrix = false;
  BatchShape training;                  ///< one microbatch of the whole mesh
  std::optional<BatchShape> validation; ///< absent: no @eval
};

struct ModelFlavor {
  llvm::StringLiteral name;
  ModelConfig config;
};

/// A family of models. `build` adds to an empty graph
///
/// - parameters and derived variables, with initializers, in the order of checkpoints;
/// - @loss(%tokens, %labels), both tensor<rows x length x i32>, for options.training, with results
///   (sum of the cross entropies, number of valid tokens), both tensor<f32>;
/// - @eval of the same form for options.validation, if that is there.
struct ModelDefinition {
  llvm::StringLiteral name;
  llvm::ArrayRef<ModelFlavor> flavors;
  void (*build)(GraphBuilder &graph, const GraphOptions &options);
};

/// The graph that a job asks for on `worldSize` ranks, or on as many as its degrees of parallelism
/// say when that is 0. Errors name the option, such as an unknown flavor, dimensions that make no
/// model or that the mesh does not divide, or more tokens than 32-bit indices reach.
StatusOr<GraphOptions> resolveGraph(const ModelDefinition &definition, const JobConfig &job,
                                    int64_t worldSize = 0);

/// Builds and verifies the graph.
StatusOr<mlir::OwningOpRef<mlir::ModuleOp>> buildGraph(const ModelDefinition &definition,
                                                       const GraphOptions &options,
                                                       mlir::MLIRContext *context);

} // namespace titan
