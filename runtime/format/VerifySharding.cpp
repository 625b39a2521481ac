#include "runtime/format/Verify.h"

namespace titan::format {
namespace {

std::string listText(const std::vector<int64_t> &shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i)
    text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

/// All axes of a sharding in one list.
std::vector<std::string> allAxes(const Sharding &sharding) {
  std::vector<std::string> axes;
  for (const auto &dimension : sharding.dimensions)
    axes.insert(axes.end(), dimension.begin(), dimension.end());
  axes.insert(axes.end(), sharding.partial.begin(), sharding.partial.end());
  axes.insert(axes.end(), sharding.flat.begin(), sharding.flat.end());
  return axes;
}

/// What the dimensions' axes leave of the global shape.
Status divide(const Program &program, const Sharding &sharding, std::vector<int64_t> &shape) {
  for (size_t i = 0; i < sharding.shape.size(); ++i) {
    const int64_t parts = *numCoordinates(program.mesh, sharding.dimensions[i]);
    if (sharding.shape[i] % parts)
      return dataLoss("dimension " + std::to_string(i) + " of size " +
                      std::to_string(sharding.shape[i]) + " does not divide by " +
                      std::to_string(parts));
    shape.push_back(sharding.shape[i] / parts);
  }
  return okStatus();
}

} // namespace

Status verifySharding(const Program &program, const Variable &variable) {
  const Sharding &sharding = *variable.sharding;
  if (sharding.shape.size() > kMaxRank || sharding.dimensions.size() != sharding.shape.size())
    return dataLoss("the global rank is at most " + std::to_string(kMaxRank) +
                    " with a list of axes per dimension, found " +
                    std::to_string(sharding.shape.size()) + " and " +
                    std::to_string(sharding.dimensions.size()));
  View global = denseView(variable.view.type, {});
  global.rank = static_cast<uint8_t>(sharding.shape.size());
  for (size_t i = 0; i < sharding.shape.size(); ++i) {
    global.shape[i] = sharding.shape[i];
    global.strides[i] = 1;
  }
  if (!checkedSpan(global))
    return dataLoss("global extents are positive and their bytes below 2^62, found " +
                    listText(sharding.shape));
  if (!numCoordinates(program.mesh, allAxes(sharding)))
    return dataLoss("its axes are the mesh's, each once");
  if (const int64_t rows = sharding.shape.empty() ? 1 : sharding.shape[0];
      sharding.padding < 0 || sharding.padding >= rows)
    return dataLoss("the padding is 0 to " + std::to_string(rows - 1) + " rows, found " +
                    std::to_string(sharding.padding));
  // So bounded, rounding up cannot overflow.
  if (sharding.granule < 1 || sharding.granule > (int64_t{1} << 31))
    return dataLoss("the granule is between 1 and 2^31, found " + std::to_string(sharding.granule));
  std::vector<int64_t> local;
  TITAN_RETURN_IF_ERROR(divide(program, sharding, local));
  if (!sharding.flat.empty()) {
    int64_t elements = 1;
    for (int64_t extent : local)
      elements *= extent;
    const int64_t slices = *numCoordinates(program.mesh, sharding.flat);
    const int64_t slice = (elements + slices - 1) / slices;
    local = {(slice + sharding.granule - 1) / sharding.granule * sharding.granule};
  }
  const std::vector<int64_t> found(variable.view.shape.begin(),
                                   variable.view.shape.begin() + variable.view.rank);
  if (found != local)
    return dataLoss("leaves " + listText(local) + " to a rank, found " + listText(found));
  return okStatus();
}

} // namespace titan::format
