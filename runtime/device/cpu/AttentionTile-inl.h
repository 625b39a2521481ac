// What both directions of attention compute with. Included once per instruction set by way of
// hwy/foreach_target.h.
//
// Scores are kept transposed, [key][query]: a vector holds one key's scores of several queries, so
// maxima, sums and rescaling need no horizontal operations, and the weights are the next product's
// right operand as they are. Queries come in groups as wide as the register tile, keys in panels of
// as many as the tile has rows.

#if defined(TITAN_CPU_ATTENTION_TILE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TITAN_CPU_ATTENTION_TILE_INL_H
#undef TITAN_CPU_ATTENTION_TILE_INL_H
#else
#define TITAN_CPU_ATTENTION_TILE_INL_H
#endif

#include "runtime/device/cpu/AttentionInternal.h"
#include "runtime/device/cpu/Tile-inl.h"

#include <algorithm>
#include <climits>

HWY_BEFORE_NAMESPACE();
namespace titan::cpu::HWY_NAMESPACE {

inline constexpr int64_t kGroup = kTileColumns;
inline constexpr int64_t kPanel = kTileRows;
inline constexpr float kLog2E = 1.44269504f;
inline constexpr float kLn2 = 0.693147181f;
/// What a masked score becomes, and what a maximum begins with: so far apart that the weight of a
/// masked score is 0 even in a row without any other.
inline constexpr float kMaskedScore = -1e30f;
inline constexpr float kLeastScore = -1e28f;

inline int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t roundUp(int64_t a, int64_t b) { return ceilDiv(a, b) * b; }

/// 2^f for |f| <= 1/2: the minimax polynomial of the relative error.
HWY_INLINE FloatVector exp2Fraction(FloatVector f) {
  const FloatTag d;
  FloatVector p = hn::Set(d, 0.00132764722f);
  p = hn::MulAdd(p, f, hn::Set(d, 0.00967554133f));
  p = hn::MulAdd(p, f, hn::Set(d, 0.0555071327f));
  p = hn::MulAdd(p, f, hn::Set(d, 0.240221197f));
  p = hn::MulAdd(p, f, hn::Set(d, 0.693146967f));
  return hn::MulAdd(p, f, hn::Set(d, 1.00000007f));
}

/// 2^x for x < 127 with a relative error of 1e-7, and less than 2^-125 for x < -125.
HWY_INLINE FloatVector exp2(FloatVector x) {
#if HWY_TARGET == HWY_AVX3
  constexpr int toNearest = 8; // no exception
  FloatVector f{_mm512_reduce_ps(x.raw, toNearest)};
  return FloatVector{_mm512_scalef_ps(exp2Fraction(f).raw, hn::Sub(x, f).raw)};
#else
  const FloatTag d;
  const IntTag di;
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
  const FloatVector magic = hn::Set(d, 12582912.0f);
  FloatVector rounded = hn::Add(x, magic);
  FloatVector p = exp2Fraction(hn::Sub(x, hn::Sub(rounded, magic)));
  auto exponent = hn::ShiftLeft<23>(hn::BitCast(di, rounded));
  FloatVector result = hn::BitCast(d, hn::Add(hn::BitCast(di, p), exponent));
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -125.0f)), result);
#endif
}

/// The least and the largest position of a group of queries or a panel of keys.
struct PositionRange {
  int32_t least = INT32_MAX;
  int32_t largest = INT32_MIN;
  void add(int32_t position) {
    least = std::min(least, position);
    largest = std::max(largest, position);
  }
  void add(const PositionRange &other) {
    least = std::min(least, other.least);
    largest = std::max(largest, other.largest);
  }
};

/// Positions of consecutive rows, and the range of each block of them. Without a mask, queries are
/// all at the largest position and keys at the least.
struct Positions {
  int32_t *values;
  PositionRange *ranges;

  /// Fills the ranges of the first `count` values.
  void summarize(int64_t count, int64_t block) const {
    for (int64_t i = 0; i < count; i += block) {
      PositionRange range;
      for (int64_t j = i; j < std::min(i + block, count); ++j)
        range.add(values[j]);
      ranges[i / block] = range;
    }
  }
};

enum class Visibility { none, some, all };

HWY_INLINE Visibility visibility(const PositionRange &queries, const PositionRange &keys) {
  return queries.largest < keys.least    ? Visibility::none
         : queries.least >= keys.largest ? Visibility::all
                                         : Visibility::some;
}

/// Panels [begin, end).
struct PanelSpan {
  int64_t begin = 0, end = 0;
  bool empty() const { return begin >= end; }
};

/// The shortest span of panels within `within` that holds all a group of queries sees.
inline PanelSpan visiblePanels(const PositionRange &queries, const PositionRange *panels,
                               PanelSpan within) {
  while (!within.empty() && visibility(queries, panels[within.begin]) == Visibility::none)
    ++within.begin;
  while (!within.empty() && visibility(queries, panels[within.end - 1]) == Visibility::none)
    --within.end;
  return within;
}

/// Distance between packed panels of keys, [dim][kPanel] each: the packing writes past the end.
inline int64_t keyPanelStride(int64_t dim) { return kPanel * dim + 16; }

/// One panel's products with a group of queries: scores[key][query] of stride `stride`.
inline void panelScores(int64_t dim, const float *panel, int64_t keys, const float *queries,
                        float *scores, int64_t stride) {
  selectTile<Left::packed>(keys, kTileVectors)(dim, panel, 0, queries, kGroup, scores, stride,
                                               false, queries, 0);
}

/// Replaces the scores of keys that a query does not see.
inline HWY_NOINLINE void maskScores(const int32_t *queryPositions, const int32_t *keyPositions,
                                    int64_t keys, float *scores, int64_t stride) {
  const FloatTag d;
  const IntTag di;
  for (int64_t j = 0; j < kGroup; j += kLanes) {
    auto query = hn::LoadU(di, queryPositions + j);
    for (int64_t key = 0; key < keys; ++key) {
      float *at = scores + key * stride + j;
      auto hidden = hn::RebindMask(d, hn::Lt(query, hn::Set(di, keyPositions[key])));
      hn::StoreU(hn::IfThenElse(hidden, hn::Set(d, kMaskedScore), hn::LoadU(d, at)), d, at);
    }
  }
}

/// C^T[dim][kGroup] (+)= V^T W for one group: V packed by packColumnPanels as [dim
/// panel][key][rows] with `valueKeys` keys in all, of which [firstKey, firstKey + keys) count; W
/// [key][query] of stride `stride`, beginning at firstKey.
inline void addWeightedRows(int64_t dim, const float *values, int64_t valueKeys, int64_t firstKey,
                            int64_t keys, const float *weights, int64_t stride, float *result,
                            bool accumulate) {
  for (int64_t row = 0; row < dim; row += kTileRows) {
    int64_t rows = std::min<int64_t>(kTileRows, dim - row);
    selectTile<Left::packed>(rows, kTileVectors)(keys, values + row * valueKeys + firstKey * rows,
                                                 0, weights, stride, result + row * kGroup, kGroup,
                                                 accumulate, weights, 0);
  }
}

} // namespace titan::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
