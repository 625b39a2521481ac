// Packing of buffers with known lifetimes into one arena.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace titan {

/// A buffer that is needed from instruction `begin` to instruction `end`, both included.
struct BufferLifetime {
  int64_t bytes;
  int64_t begin;
  int64_t end;
};

struct ArenaPacking {
  std::vector<int64_t> offsets; ///< one per buffer, multiples of the alignment
  int64_t bytes = 0;            ///< of the arena
};

/// The least that any packing needs: the most bytes alive at one instruction, sizes rounded up to
/// the alignment.
int64_t peakLiveBytes(std::span<const BufferLifetime> buffers, int64_t alignment = 64);

/// Gives buffers that are alive together disjoint ranges. Takes the better of two heuristics: in
/// order of begin, best fit into the gaps left free; and, for up to a few thousand buffers, in
/// order of falling size, each at the lowest offset where it fits (Pisarchyk and Lee 2020,
/// "Efficient memory management for deep neural net inference"). Time O(n log n) without the
/// second.
ArenaPacking packArena(std::span<const BufferLifetime> buffers, int64_t alignment = 64);

} // namespace titan
