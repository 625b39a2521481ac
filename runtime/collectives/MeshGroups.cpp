#include "runtime/collectives/MeshGroups.h"

#include <algorithm>
#include <limits>

namespace titan {

using format::Axis;

namespace {

std::string axisNames(std::span<const Axis> mesh) {
  std::string names;
  for (const Axis &axis : mesh)
    names += (names.empty() ? "" : ", ") + axis.name;
  return names.empty() ? "none" : names;
}

/// For each axis of the mesh, whether it is among `axes`.
StatusOr<std::vector<bool>> chosenAxes(std::span<const Axis> mesh,
                                       std::span<const std::string> axes) {
  std::vector<bool> chosen(mesh.size(), false);
  for (const std::string &name : axes) {
    const auto found =
        std::find_if(mesh.begin(), mesh.end(), [&](const Axis &axis) { return axis.name == name; });
    if (found == mesh.end())
      return invalidArgument("the mesh has no axis '" + name + "', only " + axisNames(mesh));
    const size_t index = static_cast<size_t>(found - mesh.begin());
    if (chosen[index])
      return invalidArgument("axis '" + name + "' is named twice");
    chosen[index] = true;
  }
  return chosen;
}

} // namespace

StatusOr<int> meshSize(std::span<const Axis> mesh) {
  int64_t size = 1;
  for (size_t i = 0; i < mesh.size(); ++i) {
    const Axis &axis = mesh[i];
    if (axis.size < 1)
      return invalidArgument("mesh axis '" + axis.name + "' has size " + std::to_string(axis.size) +
                             "; it is at least 1");
    for (size_t j = 0; j < i; ++j)
      if (mesh[j].name == axis.name)
        return invalidArgument("the mesh has axis '" + axis.name + "' twice");
    if (__builtin_mul_overflow(size, axis.size, &size) || size > std::numeric_limits<int>::max())
      return invalidArgument("the mesh has more ranks than 2147483647");
  }
  return static_cast<int>(size);
}

StatusOr<std::vector<int64_t>> meshCoordinates(std::span<const Axis> mesh, int rank) {
  TITAN_ASSIGN_OR_RETURN(const int size, meshSize(mesh));
  if (rank < 0 || rank >= size)
    return invalidArgument("rank " + std::to_string(rank) + " is not on the mesh of " +
                           std::to_string(size) + " ranks");
  std::vector<int64_t> coordinates(mesh.size());
  int64_t rest = rank;
  for (size_t i = mesh.size(); i-- > 0;) {
    coordinates[i] = rest % mesh[i].size;
    rest /= mesh[i].size;
  }
  return coordinates;
}

StatusOr<int> meshRank(std::span<const Axis> mesh, std::span<const int64_t> coordinates) {
  TITAN_RETURN_IF_ERROR(meshSize(mesh).status());
  if (coordinates.size() != mesh.size())
    return invalidArgument("a rank of this mesh has " + std::to_string(mesh.size()) +
                           " coordinates, found " + std::to_string(coordinates.size()));
  int64_t rank = 0;
  for (size_t i = 0; i < mesh.size(); ++i) {
    if (coordinates[i] < 0 || coordinates[i] >= mesh[i].size)
      return invalidArgument("coordinate " + std::to_string(coordinates[i]) + " of axis '" +
                             mesh[i].name + "' is outside [0, " + std::to_string(mesh[i].size) +
                             ")");
    rank = rank * mesh[i].size + coordinates[i];
  }
  return static_cast<int>(rank);
}

StatusOr<MeshGroup> meshGroup(std::span<const Axis> mesh, std::span<const std::string> axes,
                              int rank) {
  TITAN_ASSIGN_OR_RETURN(const std::vector<int64_t> coordinates, meshCoordinates(mesh, rank));
  TITAN_ASSIGN_OR_RETURN(const std::vector<bool> chosen, chosenAxes(mesh, axes));
  // Built from the innermost axis out: each chosen axis repeats the ranks so far at its stride.
  std::vector<int64_t> ranks{0};
  int64_t stride = 1;
  for (size_t i = mesh.size(); i-- > 0;) {
    std::vector<int64_t> outer;
    const int64_t begin = chosen[i] ? 0 : coordinates[i];
    const int64_t end = chosen[i] ? mesh[i].size : coordinates[i] + 1;
    for (int64_t coordinate = begin; coordinate < end; ++coordinate)
      for (int64_t inner : ranks)
        outer.push_back(coordinate * stride + inner);
    ranks = std::move(outer);
    stride *= mesh[i].size;
  }
  MeshGroup group;
  group.ranks.assign(ranks.begin(), ranks.end());
  group.index = static_cast<int>(std::find(group.ranks.begin(), group.ranks.end(), rank) -
                                 group.ranks.begin());
  return group;
}

StatusOr<int> axesMask(std::span<const Axis> mesh, std::span<const std::string> axes) {
  constexpr size_t kMaxAxes = 10;
  if (mesh.size() > kMaxAxes)
    return invalidArgument("the mesh has " + std::to_string(mesh.size()) +
                           " axes; at most 10 are supported");
  TITAN_ASSIGN_OR_RETURN(const std::vector<bool> chosen, chosenAxes(mesh, axes));
  int mask = 0;
  for (size_t i = 0; i < chosen.size(); ++i)
    mask |= chosen[i] ? 1 << i : 0;
  return mask;
}

} // namespace titan
