// The mesh that a job asks for.
#pragma once

#include "frontend/ModelConfig.h"

namespace titan {

/// Of one job.
inline constexpr int64_t kMaxRanks = int64_t(1) << 24;

/// Sizes of the mesh's axes, outermost first. (Axes and their order are those of torchtitan.)
struct MeshConfig {
  int64_t pipeline = 1;  ///< pp: stages of the model
  int64_t replicate = 1; ///< dp_replicate: copies of the model
  int64_t shard = 1;     ///< dp_shard: ranks that split the batch and keep slices of parameters
  int64_t context = 1;   ///< cp: ranks that split the sequence
  int64_t tensor = 1;    ///< tp: ranks that split each layer

  int64_t numRanks() const { return pipeline * replicate * shard * context * tensor; }
  /// How many parts the batch is split into.
  int64_t batchDegree() const { return replicate * shard; }

  bool operator==(const MeshConfig &) const = default;
};

/// The mesh of the job's degrees for `worldSize` ranks, or for as many as the degrees say when that
/// is 0. Errors name the options, what they multiply to and what would fit.
StatusOr<MeshConfig> resolveMesh(const ParallelismSection &section, int64_t worldSize);

/// Checks that the tensor-parallel degree divides the model's heads and widths, and the sequence if
/// that is split too; the message names the option and the legal degrees. The vocabulary is padded.
Status checkMesh(const MeshConfig &mesh, const ModelConfig &model, int64_t seqLen,
                 bool sequenceParallel);

} // namespace titan
