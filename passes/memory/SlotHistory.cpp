#include "passes/memory/SlotHistory.h"

#include <algorithm>
#include <map>

namespace titan {
namespace {

/// Of a byte: the microbatch that wrote it, and its first and its last entry that did.
struct Contents {
  int64_t end = 0; ///< of the piece
  int64_t microbatch = 0;
  std::optional<size_t> first, last; ///< none of an input
};

class SlotHistory {
public:
  explicit SlotHistory(const std::vector<SlotEntry> &entries) : entries(entries) {}

  void addInput(const SlotInput &input) {
    replace(input.range, [&](int64_t end, const Contents *) {
      return Contents{end, input.microbatch, std::nullopt, std::nullopt};
    });
  }

  std::optional<SlotConflict> run() {
    for (size_t entry = 0; entry < entries.size(); ++entry)
      if (auto conflict = apply(entry))
        return conflict;
    return std::nullopt;
  }

private:
  using Pieces = std::map<int64_t, Contents>; ///< by first byte; disjoint

  std::optional<SlotConflict> apply(size_t entry) {
    const SlotEntry &it = entries[entry];
    if (it.kind == SlotEntry::Kind::await) {
      underWay.erase(std::find(underWay.begin(), underWay.end(), it.started));
      for (const ByteRange &range : entries[it.started].writes)
        write(range, it.started);
      return std::nullopt;
    }
    for (const ByteRange &range : it.reads) {
      if (auto conflict = checkFree(entry, range, false))
        return conflict;
      if (auto conflict = checkRead(entry, range))
        return conflict;
    }
    for (const ByteRange &range : it.writes)
      if (auto conflict = checkFree(entry, range, true))
        return conflict;
    if (it.kind == SlotEntry::Kind::start)
      underWay.push_back(entry);
    else
      for (const ByteRange &range : it.writes)
        write(range, entry);
    return std::nullopt;
  }

  std::optional<SlotConflict> checkFree(size_t entry, const ByteRange &range, bool writes) const {
    const auto touches = [&](const std::vector<ByteRange> &ranges) {
      return std::any_of(ranges.begin(), ranges.end(),
                         [&](const ByteRange &other) { return other.overlaps(range); });
    };
    for (const size_t start : underWay)
      if (touches(entries[start].writes) || (writes && touches(entries[start].reads)))
        return SlotConflict{SlotConflict::Kind::underWay, entry, range, 0, start};
    return std::nullopt;
  }

  std::optional<SlotConflict> checkRead(size_t entry, const ByteRange &range) const {
    const int64_t microbatch = entries[entry].microbatch;
    const auto pieces = spaces.find(range.space);
    int64_t at = range.begin;
    while (at < range.end) {
      const Contents *contents = pieces == spaces.end() ? nullptr : find(pieces->second, at);
      if (!contents)
        return SlotConflict{
            SlotConflict::Kind::unwritten, entry, {range.space, at, range.end}, 0, std::nullopt};
      const ByteRange piece{range.space, at, std::min(range.end, contents->end)};
      if (contents->microbatch != microbatch)
        return SlotConflict{SlotConflict::Kind::foreign, entry, piece, contents->microbatch,
                            contents->last};
      if (contents->first != contents->last)
        return SlotConflict{SlotConflict::Kind::overwritten, entry, piece, microbatch,
                            contents->last};
      at = contents->end;
    }
    return std::nullopt;
  }

  static const Contents *find(const Pieces &pieces, int64_t at) {
    auto piece = pieces.upper_bound(at);
    if (piece == pieces.begin())
      return nullptr;
    --piece;
    return piece->second.end > at ? &piece->second : nullptr;
  }

  void write(const ByteRange &range, size_t entry) {
    const int64_t microbatch = entries[entry].microbatch;
    replace(range, [&](int64_t end, const Contents *before) {
      const bool isOwn = before && before->microbatch == microbatch;
      return Contents{end, microbatch, isOwn ? before->first : entry, entry};
    });
  }

  /// Gives the range new contents, piece by piece, from the old ones or null.
  template <typename Change> void replace(const ByteRange &range, Change change) {
    Pieces &pieces = spaces[range.space];
    splitAt(pieces, range.begin);
    splitAt(pieces, range.end);
    int64_t at = range.begin;
    for (auto piece = pieces.lower_bound(at); at < range.end;) {
      const bool isHole = piece == pieces.end() || piece->first > at;
      const int64_t end =
          !isHole ? piece->second.end
                  : std::min(range.end, piece == pieces.end() ? range.end : piece->first);
      const Contents contents = change(end, isHole ? nullptr : &piece->second);
      if (isHole)
        piece = pieces.emplace_hint(piece, at, contents);
      else
        piece->second = contents;
      ++piece;
      at = end;
    }
  }

  const std::vector<SlotEntry> &entries;
  std::map<uint64_t, Pieces> spaces;
  std::vector<size_t> underWay; ///< starts
};

} // namespace

std::optional<SlotConflict> findSlotConflict(const std::vector<SlotEntry> &entries,
                                             const std::vector<SlotInput> &inputs) {
  SlotHistory history(entries);
  for (const SlotInput &input : inputs)
    history.addInput(input);
  return history.run();
}

} // namespace titan
