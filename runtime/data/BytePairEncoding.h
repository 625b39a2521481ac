// Byte pair encoding (Sennrich et al. 2016, https://arxiv.org/abs/1508.07909) over bytes, as GPT-2.
#pragma once

#include "runtime/base/Status.h"

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <queue>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace titan {

/// A token of the vocabulary: its bytes and its id.
struct BytePairToken {
  std::string bytes;
  int32_t id;
};

/// Replaces, in a piece of text, the neighbouring pair of least rank (leftmost first) by the token
/// of both, until no pair is in the list of merges. A heap makes that n log n. Not thread-safe.
///
/// Example: with the merges (l o), (lo w), (e r) in this order, "lower" becomes
///   l o w e r -> lo w e r -> low e r -> low er.
class BytePairEncoding {
public:
  /// `merges` are pairs of bytes in order of rank. Each byte must have a token, and so must both
  /// sides of a merge and their concatenation. With `wholePieces`, a piece that is a token is taken
  /// whole, even if merges would not reach it (Hugging Face's ignore_merges).
  static StatusOr<BytePairEncoding>
  create(const std::vector<BytePairToken> &vocabulary,
         const std::vector<std::pair<std::string, std::string>> &merges, bool wholePieces);

  /// Appends the piece's ids. The piece has less than 2^31 bytes.
  void encode(std::string_view piece, std::vector<int32_t> &ids);

private:
  struct Merge {
    uint32_t rank;
    int32_t id;
  };
  /// A symbol of the piece in work; a merged-away one has id -1.
  struct Symbol {
    int32_t id;
    int32_t previous;
    int32_t next;
  };
  struct Candidate {
    uint32_t rank;
    int32_t position;
    int32_t left, right; ///< ids when it was found: stale if they have changed
    bool operator>(const Candidate &other) const {
      return rank != other.rank ? rank > other.rank : position > other.position;
    }
  };
  struct StringHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  template <typename Value>
  using StringMap = std::unordered_map<std::string, Value, StringHash, std::equal_to<>>;

  const Merge *findMerge(int32_t left, int32_t right) const;
  void push(int32_t position);
  void mergeSymbols(std::string_view piece, std::vector<int32_t> &ids);

  std::array<int32_t, 256> byteIds;
  std::unordered_map<uint64_t, Merge> merges; ///< by left id << 32 | right id
  StringMap<int32_t> wholeIds;                ///< empty unless whole pieces are wanted
  StringMap<std::vector<int32_t>> cache;      ///< of short pieces; emptied when full
  std::vector<Symbol> symbols;
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> heap;
};

} // namespace titan
