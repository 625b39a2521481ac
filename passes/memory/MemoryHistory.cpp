#include "passes/memory/MemoryHistory.h"

#include <algorithm>
#include <limits>

namespace titan {

MemoryHistory::Pieces &MemoryHistory::spaceOf(uint64_t space) {
  Pieces &pieces = spaces[space];
  if (pieces.empty())
    pieces.emplace(0, Piece{std::numeric_limits<int64_t>::max(), 0, 0});
  return pieces;
}

std::vector<std::pair<int64_t, MemoryHistory::Piece>>
MemoryHistory::piecesOf(const ByteRange &range) const {
  std::vector<std::pair<int64_t, Piece>> result;
  auto space = spaces.find(range.space);
  if (space == spaces.end()) {
    result.emplace_back(range.begin, Piece{range.end, 0, 0});
    return result;
  }
  for (auto it = std::prev(space->second.upper_bound(range.begin));
       it != space->second.end() && it->first < range.end; ++it) {
    Piece piece = it->second;
    const int64_t begin = std::max(it->first, range.begin);
    piece.end = std::min(piece.end, range.end);
    // What one write put there is one piece, however often it was split since.
    if (!result.empty() && result.back().second.stamp == piece.stamp)
      result.back().second.end = piece.end;
    else
      result.emplace_back(begin, piece);
  }
  return result;
}

void MemoryHistory::write(Value value, ByteRange range, Writer writer) {
  if (range.begin < range.end) {
    Pieces &pieces = spaceOf(range.space);
    splitAt(pieces, range.begin);
    splitAt(pieces, range.end);
    pieces.erase(pieces.lower_bound(range.begin), pieces.lower_bound(range.end));
    pieces.emplace(range.begin, Piece{range.end, ++stamps, writer});
  }
  adopt(value, range);
}

void MemoryHistory::adopt(Value value, ByteRange range) {
  definitions[value] = {range, piecesOf(range)};
}

std::optional<MemoryHistory::Conflict> MemoryHistory::check(Value value) const {
  const Definition &definition = definitions.at(value);
  const auto now = piecesOf(definition.range);
  // Walk both lists of pieces to the first difference of stamps.
  size_t i = 0, j = 0;
  while (i < now.size() && j < definition.pieces.size()) {
    const auto &[begin, current] = now[i];
    const Piece &then = definition.pieces[j].second;
    if (current.stamp != then.stamp) {
      const int64_t from = std::max(begin, definition.pieces[j].first);
      return Conflict{{definition.range.space, from, std::min(current.end, then.end)},
                      current.writer};
    }
    i += current.end <= then.end;
    j += then.end <= current.end;
  }
  return std::nullopt;
}

void MemoryHistory::hold(Writer token, std::vector<ByteRange> sources,
                         std::vector<ByteRange> destinations) {
  transfers[token] = {std::move(sources), std::move(destinations)};
}

void MemoryHistory::release(Writer token, const std::vector<Value> &values) {
  const Transfer transfer = std::move(transfers.at(token));
  transfers.erase(token);
  for (size_t i = 0; i < transfer.destinations.size(); ++i)
    write(values[i], transfer.destinations[i], token);
}

std::optional<MemoryHistory::Conflict> MemoryHistory::findHold(const ByteRange &range,
                                                               bool writes) const {
  for (const auto &[token, transfer] : transfers) {
    for (const ByteRange &destination : transfer.destinations)
      if (destination.overlaps(range))
        return Conflict{destination, token};
    for (const ByteRange &source : transfer.sources)
      if (writes && source.overlaps(range))
        return Conflict{source, token};
  }
  return std::nullopt;
}

} // namespace titan
