// Which bytes hold something that is read later, found from the last instruction to the first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace titan {

/// Bytes [begin, end) of a segment or slot.
struct ByteSpan {
  int64_t begin = 0, end = 0;
};

/// Bytes in use by instruction, as the sum of lives.
class LiveCount {
public:
  explicit LiveCount(size_t instructions) : changes(instructions + 1) {}

  /// `first` and `last` included.
  void add(int64_t bytes, size_t first, size_t last) {
    changes[first] += bytes;
    changes[last + 1] -= bytes;
  }
  std::vector<int64_t> take() const;

private:
  std::vector<int64_t> changes;
};

/// The live ranges of one segment or slot; calls come with falling instruction numbers.
class LiveBytes {
public:
  /// Bytes that nothing read later are from here on: their last read is `instruction`, or just
  /// before it where the instruction itself overwrites them, so that a byte counts once.
  void read(ByteSpan range, size_t instruction);
  /// The range is overwritten: the lives that it begins are counted. What nobody reads counts at
  /// the instruction alone.
  void write(ByteSpan range, size_t instruction, LiveCount &count);
  /// What is live still began at `instruction`.
  void finish(size_t instruction, LiveCount &count);

private:
  struct Life {
    int64_t end;     ///< of its bytes
    size_t lastRead; ///< instruction
  };
  void addLife(ByteSpan range, size_t instruction);

  std::map<int64_t, Life> lives;          ///< by first byte; disjoint
  std::map<int64_t, int64_t> justWritten; ///< ends by first byte, by the latest instruction
  size_t writer = 0;                      ///< that instruction
};

} // namespace titan
