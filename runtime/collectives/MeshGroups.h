// Ranks of a mesh: coordinates, and the groups that its axes form.
//
// A rank's number is its position in row-major order over the axes, outermost first. On the mesh
// ["dp_shard" = 2, "tp" = 3], rank 4 has the coordinates (1, 1); its group over tp is the ranks
// 3, 4, 5, over dp_shard the ranks 1, 4.
#pragma once

#include "runtime/base/Status.h"
#include "runtime/format/Program.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace titan {

/// The ranks that differ from one rank in some axes alone, in mesh order.
struct MeshGroup {
  std::vector<int> ranks;
  int index = 0; ///< of the rank itself
};

/// Ranks of the whole mesh: the product of its axes, 1 without any. Fails (invalid argument) on a
/// size below 1, an axis that appears twice, or more than 2^31 - 1 ranks.
StatusOr<int> meshSize(std::span<const format::Axis> mesh);

/// One coordinate per axis. Fails (invalid argument) on a rank outside the mesh.
StatusOr<std::vector<int64_t>> meshCoordinates(std::span<const format::Axis> mesh, int rank);

/// The opposite. Fails (invalid argument) on another number of coordinates than axes, or one
/// outside its axis.
StatusOr<int> meshRank(std::span<const format::Axis> mesh, std::span<const int64_t> coordinates);

/// The group of `rank` over `axes`, whose order does not matter: members are in the order of the
/// mesh. No axes: the rank alone. Fails (invalid argument) on an axis that the mesh lacks or that
/// is named twice.
StatusOr<MeshGroup> meshGroup(std::span<const format::Axis> mesh, std::span<const std::string> axes,
                              int rank);

/// Bit i is set when axis i of the mesh is among `axes`. Fails as meshGroup(), and on a mesh of
/// more than 10 axes.
StatusOr<int> axesMask(std::span<const format::Axis> mesh, std::span<const std::string> axes);

} // namespace titan
