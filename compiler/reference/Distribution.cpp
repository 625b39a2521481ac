#include "compiler/reference/Distribution.h"

#include <cmath>
#include <limits>

using namespace mlir;

namespace titan {

/// Calls visit(local index, global index) for every element that a rank holds; padding of a flat
/// slice has the global index -1.
static void forEachElement(RankedTensorType global, const MeshShape &mesh, int64_t rank,
                           function_ref<void(int64_t, int64_t)> visit) {
  ShardingAttr sharding = getSharding(global);
  RankedTensorType block = getLocalType(withSharding(global, sharding.withoutFlat()), mesh);
  const int64_t tensorRank = global.getRank();
  SmallVector<int64_t> origin(tensorRank);
  for (int64_t i = 0; i < tensorRank; ++i)
    origin[i] = mesh.getCoordinate(rank, sharding.getAxes(i)) * block.getDimSize(i);
  int64_t begin = 0, count = block.getNumElements();
  if (sharding.isFlat()) {
    count = getFlatStorage(global, mesh).sliceElements;
    begin = mesh.getCoordinate(rank, sharding.getFlat()) * count;
  }
  for (int64_t local = 0; local < count; ++local) {
    int64_t rest = begin + local, index = 0, stride = 1;
    if (rest >= block.getNumElements()) {
      visit(local, -1);
      continue;
    }
    for (int64_t i = tensorRank - 1; i >= 0; --i) {
      index += (origin[i] + rest % block.getDimSize(i)) * stride;
      rest /= block.getDimSize(i);
      stride *= global.getDimSize(i);
    }
    visit(local, index);
  }
}

HostTensor scatterToRank(const HostTensor &tensor, RankedTensorType global, const MeshShape &mesh,
                         int64_t rank, Padding padding) {
  HostTensor part(getLocalType(global, mesh));
  const bool isAddend = mesh.getCoordinate(rank, getSharding(global).getPartial()) == 0;
  const double fill = padding == Padding::zero ? 0.0 : std::numeric_limits<double>::quiet_NaN();
  forEachElement(global, mesh, rank, [&](int64_t local, int64_t index) {
    part.values[local] = index < 0 ? fill : isAddend ? tensor.values[index] : 0.0;
  });
  return part;
}

static bool isSame(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

std::optional<GatherError> findDifference(ArrayRef<const HostTensor *> copies) {
  const auto *owner = llvm::find_if(copies, [](const HostTensor *copy) { return copy; });
  for (const auto *copy = owner; copy != copies.end(); ++copy) {
    if (!*copy)
      continue;
    for (size_t index = 0; index < (*copy)->values.size(); ++index)
      if (!isSame((*copy)->values[index], (*owner)->values[index]))
        return GatherError{owner - copies.begin(), copy - copies.begin(),
                           static_cast<int64_t>(index)};
  }
  return std::nullopt;
}

std::optional<GatherError> gatherFromRanks(ArrayRef<const HostTensor *> parts,
                                           RankedTensorType global, const MeshShape &mesh,
                                           HostTensor &tensor) {
  ShardingAttr sharding = getSharding(global);
  tensor = HostTensor(withoutSharding(global));
  // Per element and coordinate in the partial axes, the first rank that had it.
  const int64_t addends = mesh.getSize(sharding.getPartial());
  std::vector<int64_t> owners(tensor.values.size() * addends, -1);
  std::vector<double> held(owners.size());
  std::optional<GatherError> error;
  for (int64_t rank = 0; rank < static_cast<int64_t>(parts.size()); ++rank) {
    if (!parts[rank])
      continue;
    const int64_t addend = mesh.getCoordinate(rank, sharding.getPartial());
    forEachElement(global, mesh, rank, [&](int64_t local, int64_t index) {
      if (index < 0)
        return;
      const double value = parts[rank]->values[local];
      int64_t &owner = owners[index * addends + addend];
      if (owner < 0) {
        owner = rank;
        held[index * addends + addend] = value;
        tensor.values[index] += value;
        return;
      }
      const double other = held[index * addends + addend];
      if (!error && !isSame(value, other))
        error = GatherError{owner, rank, index};
    });
  }
  return error;
}

} // namespace titan
