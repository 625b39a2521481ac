#include "compiler/report/LiveBytes.h"

#include "passes/memory/MemoryHistory.h"

namespace titan {

std::vector<int64_t> LiveCount::take() const {
  std::vector<int64_t> bytes(changes.size() - 1);
  int64_t current = 0;
  for (size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = current += changes[i];
  return bytes;
}

/// Adds a life that ends at the instruction, in pieces where it overwrites some of the bytes.
void LiveBytes::addLife(ByteSpan range, size_t instruction) {
  const bool overwrites = writer == instruction && instruction > 0;
  while (range.begin < range.end) {
    auto next = overwrites ? justWritten.upper_bound(range.begin) : justWritten.end();
    int64_t end = next == justWritten.end() ? range.end : std::min(range.end, next->first);
    size_t last = instruction;
    if (overwrites && next != justWritten.begin() && std::prev(next)->second > range.begin) {
      end = std::min(range.end, std::prev(next)->second);
      last = instruction - 1;
    }
    lives.emplace(range.begin, Life{end, last});
    range.begin = end;
  }
}

void LiveBytes::read(ByteSpan range, size_t instruction) {
  int64_t at = range.begin;
  auto next = lives.lower_bound(range.begin);
  if (next != lives.begin())
    at = std::max(at, std::prev(next)->second.end);
  while (at < range.end) {
    const int64_t gapEnd = next == lives.end() ? range.end : std::min(range.end, next->first);
    if (at < gapEnd)
      addLife({at, gapEnd}, instruction);
    if (next == lives.end())
      break;
    at = next->second.end;
    ++next;
  }
}

void LiveBytes::write(ByteSpan range, size_t instruction, LiveCount &count) {
  if (writer != instruction)
    justWritten.clear();
  writer = instruction;
  int64_t &end = justWritten[range.begin];
  end = std::max(end, range.end);
  splitAt(lives, range.begin);
  splitAt(lives, range.end);
  int64_t unread = range.end - range.begin;
  auto life = lives.lower_bound(range.begin);
  while (life != lives.end() && life->first < range.end) {
    const int64_t bytes = life->second.end - life->first;
    count.add(bytes, instruction, life->second.lastRead);
    unread -= bytes;
    life = lives.erase(life);
  }
  count.add(unread, instruction, instruction);
}

void LiveBytes::finish(size_t instruction, LiveCount &count) {
  for (auto &[begin, life] : lives)
    count.add(life.end - begin, instruction, life.lastRead);
  lives.clear();
}

} // namespace titan
