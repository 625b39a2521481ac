// What the ranks of a finished program exchange in one step.
#pragma once

#include "mlir/IR/BuiltinOps.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace titan {

/// Read from the mesh, the collectives and the timelines of training of the phase `exec`. Bytes are
/// what each rank sends, and receives as many, when a collective runs over a ring of its n ranks:
/// (n-1)/n of the larger side of an all-gather, a reduce-scatter or an all-to-all, and twice that
/// of an all-reduce (Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters of
/// workstations", 2009); all bytes of a broadcast, a send or a receive.
struct TrafficFacts {
  struct Axis {
    std::string name;
    int64_t size = 1;
  };
  /// All collectives of one kind over the same axes.
  struct Row {
    std::string kind; ///< "all_gather"
    std::string axes; ///< "dp_replicate x dp_shard", outermost first
    int64_t ranks = 1;
    int64_t countPerLocalBatch = 0, bytesPerLocalBatch = 0; ///< body of the timeline
    int64_t countPerStep = 0, bytesPerStep = 0;             ///< its prologue and epilogue

    int64_t count(int64_t localBatches) const {
      return countPerStep + localBatches * countPerLocalBatch;
    }
    int64_t bytes(int64_t localBatches) const {
      return bytesPerStep + localBatches * bytesPerLocalBatch;
    }
  };
  /// One collective, or several alike: in one function, of the same size and kind, whose source
  /// names differ in numbers only.
  struct Collective {
    std::string kind, axes, function;
    std::string name;      ///< of the first tensor in it; numbers are "N" if there are several
    int64_t stretches = 1; ///< of memory that it moves together
    int64_t bytes = 0;     ///< of one
    int64_t count = 1;
  };

  /// What a rank does; of a pipeline, one of each coordinate in its axis.
  struct Rank {
    std::optional<int64_t> pipelineRank;
    std::vector<Row> rows; ///< by axes, then by kind
    /// Of a local batch: its reductions over the axes that split the batch.
    int64_t gradientBytes = 0;
    /// By how much its gradients would grow if a step accumulated them unreduced.
    int64_t unreducedGradientBytes = 0;

    int64_t bytes(int64_t localBatches) const;
  };

  std::vector<Axis> mesh;
  std::vector<Rank> ranks;
  std::vector<Collective> largest; ///< of all ranks, largest first
  int64_t batchDegree = 1;         ///< ranks that have rows of the batch of their own

  int64_t numRanks() const;
  /// Those that compute the same part of the model.
  int64_t numRanksOfStage() const;
};

TrafficFacts collectTrafficFacts(mlir::ModuleOp exec, size_t mostCollectives = 10);

/// The convention above for one tensor, of `bytes` on the larger side; rounded up.
int64_t ringBytes(llvm::StringRef kind, int64_t bytes, int64_t ranks);

} // namespace titan
