// Which collectives of a function become one: the algorithm of titan-bucket-collectives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace titan {

/// A collective of a function. Positions count the function's ops from 0.
struct BucketCandidate {
  /// Never needed before the function's end.
  static constexpr int64_t kAtEnd = std::numeric_limits<int64_t>::max();

  int64_t key = 0;       ///< what may be grouped has one: kind, axes, dimension, element type
  std::string layer;     ///< what may be grouped has one
  int64_t ready = -1;    ///< the last op that computes an operand; -1 if all are there at entry
  int64_t firstUse = 0;  ///< the first op that needs a result where it stands
  int64_t bytes = 0;     ///< of operands or results, whichever are larger
  bool isGather = false; ///< goes to its first use; others go where their operands are ready
};

/// Groups candidates, each of which is in one group; the groups and their members are in the order
/// of where they go. Grouped are neighbours: in that order no candidate of the same key, but of
/// another layer, lies between members. A group has an op before which it can stand: all operands
/// are ready, and no result is needed yet. Its bytes exceed `limit` only if it has one member; a
/// limit of 0 groups nothing.
///
///     // Gathers of two weights of layer 0 and of one of layer 1.
///     formBuckets({{0, "layers.0", -1, 3, 64, true}, {0, "layers.0", -1, 9, 64, true},
///                  {0, "layers.1", -1, 12, 64, true}}, 1 << 20);   // {{0, 1}, {2}}
std::vector<std::vector<size_t>> formBuckets(const std::vector<BucketCandidate> &candidates,
                                             int64_t limit);

} // namespace titan
