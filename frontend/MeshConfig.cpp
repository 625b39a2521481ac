#include "frontend/MeshConfig.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/fmt/ranges.h>

#include <numeric>
#include <vector>

namespace titan {

static std::vector<int64_t> divisors(int64_t number) {
  std::vector<int64_t> result;
  for (int64_t degree = 1; degree <= number; ++degree)
    if (number % degree == 0)
      result.push_back(degree);
  return result;
}

static Status tooManyRanks(const ParallelismSection &section) {
  return invalidArgument(fmt::format(
      "parallelism.data_parallel_replicate_degree = {}, parallelism.data_parallel_shard_degree = "
      "{}, parallelism.tensor_parallel_degree = {} and parallelism.pipeline_parallel_degree = {} "
      "must multiply to at most {} ranks, such as 8",
      section.dataParallelReplicateDegree, section.dataParallelShardDegree,
      section.tensorParallelDegree, section.pipelineParallelDegree, kMaxRanks));
}

StatusOr<MeshConfig> resolveMesh(const ParallelismSection &section, int64_t worldSize) {
  MeshConfig mesh;
  mesh.pipeline = section.pipelineParallelDegree;
  mesh.replicate = section.dataParallelReplicateDegree;
  mesh.context = section.contextParallelDegree;
  mesh.tensor = section.tensorParallelDegree;
  // Degrees are not above 2^31 by the job's ranges, but their product may be.
  int64_t others = 1;
  for (int64_t degree : {mesh.pipeline, mesh.replicate, mesh.context, mesh.tensor})
    if (__builtin_mul_overflow(others, degree, &others) || others > kMaxRanks)
      return tooManyRanks(section);
  if (worldSize > kMaxRanks)
    return invalidArgument(
        fmt::format("--world-size {} must be at most {}, such as 8", worldSize, kMaxRanks));
  mesh.shard = section.dataParallelShardDegree;
  if (mesh.shard < 0) {
    mesh.shard = worldSize ? worldSize / others : 1;
    if (worldSize && worldSize % others)
      return invalidArgument(fmt::format(
          "parallelism.data_parallel_shard_degree = -1 takes what the other degrees leave, but "
          "these multiply to {}, which does not divide --world-size {}; use a multiple of {} ranks",
          others, worldSize, others));
  }
  if (mesh.shard > kMaxRanks / others)
    return tooManyRanks(section);
  if (worldSize && mesh.numRanks() != worldSize)
    return invalidArgument(fmt::format(
        "--world-size {} is not the product of the degrees of parallelism, {}: pipeline {}, "
        "data_parallel_replicate {}, data_parallel_shard {}, context {}, tensor {}; use "
        "--world-size {}, or parallelism.data_parallel_shard_degree = -1 for what is left",
        worldSize, mesh.numRanks(), mesh.pipeline, mesh.replicate, mesh.shard, mesh.context,
        mesh.tensor, mesh.numRanks()));
  return mesh;
}

Status checkMesh(const MeshConfig &mesh, const ModelConfig &model, int64_t seqLen,
                 bool sequenceParallel) {
  struct Extent {
    const char *option;
    int64_t size;
  };
  std::vector<Extent> extents = {{"model.n_heads", model.numHeads},
                                 {"model.n_kv_heads", model.numKvHeads},
                                 {"model.ffn_hidden_dim", model.ffnHiddenDim}};
  if (sequenceParallel)
    extents.push_back({"seq_len", seqLen});
  int64_t common = 0;
  for (const Extent &extent : extents)
    common = std::gcd(common, extent.size);
  for (const Extent &extent : extents)
    if (extent.size % mesh.tensor)
      return invalidArgument(
          fmt::format("parallelism.tensor_parallel_degree = {} must divide {} = {}; degrees "
                      "that divide this model are {}",
                      mesh.tensor, extent.option, extent.size, fmt::join(divisors(common), ", ")));
  return okStatus();
}

} // namespace titan
