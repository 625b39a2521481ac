#include "runtime/exec/VariableLayout.h"

#include <algorithm>

namespace titan {

int64_t coordinateOf(std::span<const format::Axis> mesh, std::span<const std::string> axes,
                     int rank) {
  int64_t coordinate = 0;
  for (const std::string &name : axes) {
    int64_t stride = 1;
    for (size_t i = mesh.size(); i-- > 0; stride *= mesh[i].size)
      if (mesh[i].name == name) {
        coordinate = coordinate * mesh[i].size + rank / stride % mesh[i].size;
        break;
      }
  }
  return coordinate;
}

int64_t rotationOffset(const format::Buffer &buffer, std::span<const format::Axis> mesh, int rank) {
  const auto &rotation = buffer.rotation;
  if (!rotation)
    return 0;
  const int64_t places = *format::numCoordinates({mesh.begin(), mesh.end()}, rotation->axes);
  return (coordinateOf(mesh, rotation->axes, rank) + rotation->shift) % places * rotation->stride;
}

VariableLayout::VariableLayout(const format::Variable &variable, std::span<const format::Axis> mesh,
                               int rank)
    : whole(variable.view) {
  if (!variable.sharding) {
    std::copy_n(whole.shape.begin(), whole.rank, block.begin());
    end = whole.numElements();
    firstHolder = rank == 0;
    return;
  }
  const format::Sharding &sharding = *variable.sharding;
  const auto tensorRank = static_cast<int>(sharding.shape.size());
  whole = format::denseView(variable.view.type, sharding.shape.data(), tensorRank);
  std::vector<std::string> used = sharding.partial;
  used.insert(used.end(), sharding.flat.begin(), sharding.flat.end());
  int64_t elements = 1;
  for (int i = 0; i < tensorRank; ++i) {
    const std::vector<std::string> &axes = sharding.dimensions[static_cast<size_t>(i)];
    const auto dimension = static_cast<size_t>(i);
    block[dimension] =
        whole.shape[dimension] / *format::numCoordinates({mesh.begin(), mesh.end()}, axes);
    origin[dimension] = coordinateOf(mesh, axes, rank) * block[dimension];
    elements *= block[dimension];
    used.insert(used.end(), axes.begin(), axes.end());
  }
  end = elements;
  if (!sharding.flat.empty()) {
    const int64_t slice = variable.view.numElements();
    begin = std::min(elements, coordinateOf(mesh, sharding.flat, rank) * slice);
    end = std::min(elements, begin + slice);
  }
  whole.shape[0] -= sharding.padding;
  std::vector<std::string> others;
  for (const format::Axis &axis : mesh)
    if (std::find(used.begin(), used.end(), axis.name) == used.end())
      others.push_back(axis.name);
  firstHolder = coordinateOf(mesh, others, rank) == 0;
}

void VariableLayout::forEachRun(FunctionRef<void(int64_t, int64_t, int64_t)> visit) const {
  // From the last dimension that is split on, a row of the part is one run.
  int split = whole.rank - 1;
  while (split > 0 && block[static_cast<size_t>(split)] == whole.shape[static_cast<size_t>(split)])
    --split;
  int64_t length = 1;
  for (int i = std::max(0, split); i < whole.rank; ++i)
    length *= block[static_cast<size_t>(i)];
  if (length == 0)
    return;
  for (int64_t element = begin; element < end;) {
    const int64_t count = std::min(end, (element / length + 1) * length) - element;
    int64_t rest = element, global = 0, stride = 1;
    for (int i = whole.rank - 1; i >= 0; --i) {
      const auto dimension = static_cast<size_t>(i);
      global += (origin[dimension] + rest % block[dimension]) * stride;
      rest /= block[dimension];
      stride *= whole.shape[dimension];
    }
    // Rows of padding are the tensor's last elements.
    if (const int64_t known = std::min(count, whole.numElements() - global); known > 0)
      visit(element - begin, global, known);
    element += count;
  }
}

} // namespace titan
