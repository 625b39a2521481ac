#include "passes/memory/ArenaPacking.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

namespace titan {
namespace {

/// Above this many buffers the quadratic heuristic is left out.
constexpr size_t kMaxBuffersBySize = 4000;

int64_t alignUp(int64_t bytes, int64_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

/// Free byte ranges below the top of an arena that grows as needed.
class FreeRanges {
public:
  /// The smallest range that fits; else the top grows, from the last range if that touches it.
  int64_t allocate(int64_t bytes) {
    if (auto best = bySize.lower_bound({bytes, 0}); best != bySize.end()) {
      const auto [size, offset] = *best;
      erase(ranges.find(offset));
      if (size > bytes)
        insert(offset + bytes, size - bytes);
      return offset;
    }
    int64_t offset = top;
    if (!ranges.empty())
      if (auto last = std::prev(ranges.end()); last->first + last->second == top) {
        offset = last->first;
        erase(last);
      }
    top = offset + bytes;
    return offset;
  }

  void release(int64_t offset, int64_t bytes) {
    auto next = ranges.lower_bound(offset);
    if (next != ranges.end() && offset + bytes == next->first) {
      bytes += next->second;
      next = erase(next);
    }
    if (next != ranges.begin())
      if (auto before = std::prev(next); before->first + before->second == offset) {
        offset = before->first;
        bytes += before->second;
        erase(before);
      }
    insert(offset, bytes);
  }

  int64_t getTop() const { return top; }

private:
  using Ranges = std::map<int64_t, int64_t>;

  void insert(int64_t offset, int64_t size) {
    ranges.emplace(offset, size);
    bySize.emplace(size, offset);
  }
  Ranges::iterator erase(Ranges::iterator range) {
    bySize.erase({range->second, range->first});
    return ranges.erase(range);
  }

  Ranges ranges;                                ///< offset to size; no two touch
  std::set<std::pair<int64_t, int64_t>> bySize; ///< the same as (size, offset)
  int64_t top = 0;
};

std::vector<size_t> order(size_t count, auto &&before) {
  std::vector<size_t> indices(count);
  std::iota(indices.begin(), indices.end(), 0);
  std::sort(indices.begin(), indices.end(),
            [&](size_t a, size_t b) { return before(a, b) || (!before(b, a) && a < b); });
  return indices;
}

ArenaPacking packInOrderOfBegin(std::span<const BufferLifetime> buffers, int64_t alignment) {
  ArenaPacking packing;
  packing.offsets.resize(buffers.size());
  FreeRanges free;
  std::multimap<int64_t, size_t> alive; ///< by end
  for (size_t index : order(buffers.size(), [&](size_t a, size_t b) {
         return buffers[a].begin < buffers[b].begin;
       })) {
    const BufferLifetime &buffer = buffers[index];
    while (!alive.empty() && alive.begin()->first < buffer.begin) {
      const size_t dead = alive.begin()->second;
      free.release(packing.offsets[dead], alignUp(buffers[dead].bytes, alignment));
      alive.erase(alive.begin());
    }
    if (buffer.bytes == 0)
      continue;
    packing.offsets[index] = free.allocate(alignUp(buffer.bytes, alignment));
    alive.emplace(buffer.end, index);
  }
  packing.bytes = free.getTop();
  return packing;
}

ArenaPacking packInOrderOfSize(std::span<const BufferLifetime> buffers, int64_t alignment) {
  ArenaPacking packing;
  packing.offsets.resize(buffers.size());
  std::vector<size_t> placed; ///< by offset
  for (size_t index : order(buffers.size(), [&](size_t a, size_t b) {
         return buffers[a].bytes > buffers[b].bytes;
       })) {
    const BufferLifetime &buffer = buffers[index];
    const int64_t bytes = alignUp(buffer.bytes, alignment);
    int64_t offset = 0;
    for (size_t other : placed) {
      const BufferLifetime &neighbour = buffers[other];
      if (neighbour.end < buffer.begin || buffer.end < neighbour.begin)
        continue;
      if (packing.offsets[other] >= offset + bytes)
        break;
      offset = std::max(offset, packing.offsets[other] + alignUp(neighbour.bytes, alignment));
    }
    packing.offsets[index] = offset;
    packing.bytes = std::max(packing.bytes, offset + bytes);
    placed.insert(std::upper_bound(
                      placed.begin(), placed.end(), offset,
                      [&](int64_t value, size_t other) { return value < packing.offsets[other]; }),
                  index);
  }
  return packing;
}

} // namespace

int64_t peakLiveBytes(std::span<const BufferLifetime> buffers, int64_t alignment) {
  std::map<int64_t, int64_t> changes;
  for (const BufferLifetime &buffer : buffers) {
    changes[buffer.begin] += alignUp(buffer.bytes, alignment);
    changes[buffer.end + 1] -= alignUp(buffer.bytes, alignment);
  }
  int64_t live = 0, peak = 0;
  for (auto [instruction, change] : changes)
    peak = std::max(peak, live += change);
  return peak;
}

ArenaPacking packArena(std::span<const BufferLifetime> buffers, int64_t alignment) {
  ArenaPacking best = packInOrderOfBegin(buffers, alignment);
  if (buffers.size() <= kMaxBuffersBySize)
    if (ArenaPacking other = packInOrderOfSize(buffers, alignment); other.bytes < best.bytes)
      best = std::move(other);
  return best;
}

} // namespace titan
