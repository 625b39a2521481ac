// The work of one collective among threads, cut into chunks that any of them may do.
//
// A chunk reads what it needs from all ranks' sources and writes all destinations that take it, so
// a reduction is computed once and no phase waits for another: an all_reduce of n ranks reads each
// source once and writes each destination once.
//
// Chunks stand in lanes, one per rank. A rank works on its own lane first and then helps the
// others, so whoever is late or slow holds nobody up. With one pair of 3 elements per rank,
// all_gather on two ranks has the chunks {part 0} in lane 0 and {part 1} in lane 1.
#pragma once

#include "runtime/collectives/Communicator.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace titan::local {

/// Where the pairs of one rank lie, once its operation is started.
struct ResolvedPairs {
  std::vector<std::byte *> sources, destinations;
};

class WorkPlan {
public:
  /// For `ranks` participants: the group's size, or 2 (sender, receiver) for send and receive. The
  /// operation is checked. Ranks that agree on the signature get equal plans.
  WorkPlan(const CollectiveOperation &operation, int ranks);

  /// Lane i is chunks [laneBegin(i), laneBegin(i + 1)).
  int lanes() const { return static_cast<int>(begins.size()) - 1; }
  uint32_t laneBegin(int lane) const { return begins[static_cast<size_t>(lane)]; }
  uint32_t chunks() const { return begins.back(); }
  /// Whether it is so much that waking other threads pays.
  bool isLarge() const { return large; }

  /// Does one chunk. `pairs` are the participants'; `addresses` is room for one address each.
  void run(uint32_t chunk, std::span<const ResolvedPairs *const> pairs,
           std::span<const std::byte *> addresses) const;

private:
  /// `count` elements from `begin` of part `part` (of part `part` for rank `other`).
  struct Chunk {
    uint32_t pair;
    int part, other;
    int64_t begin, count;
  };

  void addLane(const CollectiveOperation &operation, int lane);
  void addRange(uint32_t pair, int part, int other, int64_t begin, int64_t end);
  void copyToAll(const Chunk &chunk, int from, std::span<const ResolvedPairs *const> pairs,
                 int64_t destinationBegin) const;
  void reduceInto(const Chunk &chunk, std::span<const ResolvedPairs *const> pairs,
                  std::span<const std::byte *> addresses, int64_t sourceBegin, int to) const;

  format::Collective collective;
  format::Reduction reduction;
  int root;
  int ranks;
  std::vector<DType> types;
  std::vector<int64_t> partCounts; ///< elements of a part, per pair
  std::vector<Chunk> all;
  std::vector<uint32_t> begins;
  int64_t chunkBytes = 0;
  bool large = false, streaming = false;
};

} // namespace titan::local
