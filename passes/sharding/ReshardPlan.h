// How a tensor gets from one layout to another: the collectives and local moves, in order.
#pragma once

#include <cstdint>
#include <vector>

namespace titan {

/// A list of mesh axes by their numbers, outermost first.
using AxisList = std::vector<unsigned>;

/// How many ranks the axes of a list make; `axisSizes` by number.
int64_t countRanks(const AxisList &axes, const std::vector<int64_t> &axisSizes);

/// A tensor's layout, #titan.sharding with axes as numbers.
struct Layout {
  std::vector<AxisList> dimensions;
  AxisList partial;
  AxisList flat;
  int64_t granule = 1; ///< elements; of flat layouts

  bool operator==(const Layout &) const = default;
};

/// One step, from what a rank holds to what it holds next.
struct ReshardStep {
  enum class Kind {
    allGather,     ///< the parts of the ranks along `axes`, one after another in `dimension`
    reduceScatter, ///< the rank's part, in `dimension`, of the sum over `axes`
    allReduce,     ///< the sum over `axes`
    axisSlice,     ///< the rank's part, in `dimension`, of what all along `axes` hold
    keepFirst,     ///< the value where all coordinates in `axes` are 0, zeros elsewhere
    flatten,       ///< all elements in one dimension, then zeros up to shape[0] elements
    unflatten,     ///< the first elements of one dimension, under the shape `shape`
  };
  Kind kind;
  AxisList axes;
  unsigned dimension = 0;
  std::vector<int64_t> shape; ///< local, of flatten and unflatten

  bool operator==(const ReshardStep &) const = default;
};

/// The steps that take a tensor of global `shape` from one layout to another on a mesh whose axes
/// have the sizes `axisSizes`. Both layouts divide the shape.
///
/// Sums are taken as early as the data is small and scattered wherever the target is split: a
/// gradient, partial over the flat axes, is scattered and then summed over what else it is partial
/// over, so that this runs on slices. A dimension that changes its axes is gathered, then cut.
///
/// Example: [{0}, {}] to [{}, {0}] is allGather {0} in dimension 0, axisSlice {0} in dimension 1;
/// [{}, {}] partial {0} to [{}, {0}] is reduceScatter {0} in dimension 1.
std::vector<ReshardStep> planReshard(const Layout &from, const Layout &to,
                                     const std::vector<int64_t> &shape,
                                     const std::vector<int64_t> &axisSizes);

} // namespace titan
