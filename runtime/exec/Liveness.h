// What instructions read and write, and when bytes of scratch memory are dead.
#pragma once

#include "runtime/format/Program.h"

#include <cstdint>
#include <map>
#include <vector>

namespace titan {

/// Half-open ranges of bytes, disjoint and merged.
class ByteSet {
public:
  void add(int64_t begin, int64_t end);
  void remove(int64_t begin, int64_t end);
  void remove(const ByteSet &other);
  bool contains(int64_t begin, int64_t end) const;
  bool empty() const { return ranges.empty(); }
  /// Begin to end.
  const std::map<int64_t, int64_t> &all() const { return ranges; }

private:
  std::map<int64_t, int64_t> ranges;
};

/// A buffer that an instruction touches.
struct Touch {
  uint32_t buffer;
  format::Access access;
  /// Workspace: written before it is read, and worth nothing afterwards.
  bool scratch = false;
};

/// The buffers of an instruction. A gemm that accumulates reads and writes its result.
std::vector<Touch> touchesOf(const format::Program &program,
                             const format::Instruction &instruction);

/// The bytes that a view at byte offset `offset` covers, element by element.
void addBytes(ByteSet &set, int64_t offset, const format::View &view);

/// For each instruction of a function, the bytes of segment `segment` that it touches and nothing
/// later reads before writing them, on rank `rank`. Memory of the segment does not outlive the
/// function.
std::vector<ByteSet> deadAfterEach(const format::Program &program, const format::Function &function,
                                   uint32_t segment, int rank);

} // namespace titan
