// Replays what a rank's timeline does to memory that microbatches have in turns.
#pragma once

#include "passes/memory/MemoryHistory.h"

#include <cstddef>

namespace titan {

/// A timeline entry, and what it does to slots.
struct SlotEntry {
  enum class Kind : uint8_t {
    run,
    start, ///< of a transfer, which reads and writes from here to its await
    await,
  };
  Kind kind = Kind::run;
  int64_t microbatch = 0;
  size_t started = 0; ///< of an await: the number of the start
  /// Bytes that it reads before it writes them, and those that it writes; none of an await.
  std::vector<ByteRange> reads = {}, writes = {};
};

/// Bytes that a microbatch has before the first entry: its inputs.
struct SlotInput {
  ByteRange range;
  int64_t microbatch = 0;
};

/// An entry that finds something else in a slot than it should.
struct SlotConflict {
  enum class Kind : uint8_t {
    unwritten,   ///< reads what nothing wrote
    foreign,     ///< reads what another microbatch has there
    overwritten, ///< reads what two entries of its microbatch wrote, the second over the first
    underWay,    ///< touches what a transfer fills, or writes what one takes
  };
  Kind kind = Kind::unwritten;
  size_t entry = 0;
  ByteRange range;
  /// Foreign: whose it is. Then, and if overwritten, `other` is the last entry that wrote, if it
  /// was one; if under way the transfer's start.
  int64_t microbatch = 0;
  std::optional<size_t> other;
};

/// The first conflict of entries in their order, or none: each byte that an entry reads was written
/// by one entry of the same microbatch, or is its input, and nothing disturbs a transfer between
/// its start and its await. Which entry that has to be follows: a microbatch's slot is written
/// once. It knows nothing of how slots were given out.
std::optional<SlotConflict> findSlotConflict(const std::vector<SlotEntry> &entries,
                                             const std::vector<SlotInput> &inputs = {});

} // namespace titan
