// Replays a plan of memory: which write put each byte there, and whether a value still has its own.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

namespace titan {

/// Bytes [begin, end) of one of several address spaces.
struct ByteRange {
  uint64_t space = 0;
  int64_t begin = 0;
  int64_t end = 0;

  bool overlaps(const ByteRange &other) const {
    return space == other.space && begin < other.end && other.begin < end;
  }
};

/// Makes the piece that holds the byte, if there is one, begin there. Pieces are disjoint, by their
/// first byte; each has its `end`.
template <typename Piece> void splitAt(std::map<int64_t, Piece> &pieces, int64_t byte) {
  auto next = pieces.lower_bound(byte);
  if (next == pieces.begin())
    return;
  auto before = std::prev(next);
  if (before->second.end <= byte)
    return;
  pieces.emplace_hint(next, byte, before->second);
  before->second.end = byte;
}

/// Every byte remembers the last write to it. Defining a value takes down which writes its bytes
/// come from; the value is intact as long as they are the same. That proves a plan, however it was
/// made: a value that was given memory of another one too early is no longer intact when it is
/// read.
///
///     history.write(a, {0, 0, 64}, 1);      // op 1 computes a
///     history.write(b, {0, 32, 96}, 2);     // op 2 computes b over the second half of a
///     history.check(b);                     // intact
///     history.check(a);                     // bytes 32 to 64 were written by op 2
class MemoryHistory {
public:
  /// Names a value, and an operation in messages. 0 is no operation: memory as it was at the start.
  using Value = uint64_t;
  using Writer = uint64_t;

  struct Conflict {
    ByteRange range;
    Writer writer; ///< who holds the bytes, or wrote them last
  };

  /// `writer` computes all bytes of `value`.
  void write(Value value, ByteRange range, Writer writer);
  /// `value` is what is in memory already: an argument, a part or a union of other values.
  void adopt(Value value, ByteRange range);
  /// The first bytes of the value that were written since it was defined.
  std::optional<Conflict> check(Value value) const;

  /// From here to release(token), `token` reads `sources` and writes `destinations` at any time.
  void hold(Writer token, std::vector<ByteRange> sources, std::vector<ByteRange> destinations);
  /// The destinations are then written by the token, as parts of `values`, one per destination.
  void release(Writer token, const std::vector<Value> &values);
  /// A transfer under way that an access of `range` would disturb: a read of a destination, or a
  /// write of a source or a destination.
  std::optional<Conflict> findHold(const ByteRange &range, bool writes) const;

private:
  /// A write: equal stamps mean the same bytes of the same write.
  struct Piece {
    int64_t end;
    uint64_t stamp;
    Writer writer;
  };
  using Pieces = std::map<int64_t, Piece>; ///< by begin; without holes between 0 and infinity

  struct Definition {
    ByteRange range;
    std::vector<std::pair<int64_t, Piece>> pieces;
  };
  struct Transfer {
    std::vector<ByteRange> sources, destinations;
  };

  Pieces &spaceOf(uint64_t space);
  std::vector<std::pair<int64_t, Piece>> piecesOf(const ByteRange &range) const;

  std::unordered_map<uint64_t, Pieces> spaces;
  std::unordered_map<Value, Definition> definitions;
  std::map<Writer, Transfer> transfers;
  uint64_t stamps = 0;
};

} // namespace titan
