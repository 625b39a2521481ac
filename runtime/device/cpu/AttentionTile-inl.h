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

/// The minimax polynomial of the relative error of 2^f, evaluated at f.
HWY_INLINE FloatVector exp2Fraction(FloatVector f, const float (&coefficients)[6]) {
  const FloatTag d;
  FloatVector p = hn::Set(d, coefficients[5]);
  HWY_UNROLL(5)
  for (int i = 4; i >= 0; --i)
    p = hn::MulAdd(p, f, hn::Set(d, coefficients[i]));
  return p;
}

/// 2^x for x < 127 with a relative error of 2e-7, and less than 2^-125 for x < -125.
HWY_INLINE FloatVector exp2(FloatVector x) {
#if HWY_TARGET == HWY_AVX3
  constexpr int down = 9; // no exception
  constexpr float coefficients[] = {0.99999994f,   0.693153083f,   0.240153611f,
                                    0.0558263175f, 0.00898933969f, 0.00187757669f}; // 0 <= f <= 1
  FloatVector f{_mm512_reduce_ps(x.raw, down)};
  return FloatVector{_mm512_scalef_ps(exp2Fraction(f, coefficients).raw, x.raw)};
#else
  const FloatTag d;
  const IntTag di;
  constexpr float coefficients[] = {1.00000007f,   0.693146967f,   0.240221197f,
                                    0.0555071327f, 0.00967554133f, 0.00132764722f}; // |f| <= 1/2
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
  const FloatVector magic = hn::Set(d, 12582912.0f);
  FloatVector rounded = hn::Add(x, magic);
  FloatVector p = exp2Fraction(hn::Sub(x, hn::Sub(rounded, magic)), coefficients);
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

/// Asks for one head's rows, which lie so far apart that the hardware sees no stream, and so evenly
/// that they compete for few sets of the first-level cache: they come to the second.
inline void prefetchRows(const float *from, int64_t stride, int64_t rows, int64_t dim) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < dim; j += kLineFloats)
      __builtin_prefetch(from + i * stride + j, 0, 2);
}

/// One panel of keys and a group of queries.
struct PanelOperands {
  int64_t dim;
  const float *keys;             ///< [dim][rows]
  const float *queries;          ///< [dim][kGroup]
  const int32_t *queryPositions; ///< [kGroup]
  const int32_t *keyPositions;   ///< [rows]; null where every query sees every key
};

/// scores[key][query], with those of keys that a query does not see replaced.
template <int rows>
HWY_INLINE void panelScores(const PanelOperands &operands,
                            FloatVector (&scores)[rows][kTileVectors]) {
  const FloatTag d;
  const IntTag di;
  tileSums<rows, kTileVectors, Left::packed>(operands.dim, operands.keys, 0, operands.queries,
                                             kGroup, operands.queries, 0, scores);
  if (!operands.keyPositions)
    return;
  HWY_UNROLL(8)
  for (int j = 0; j < kTileVectors; ++j) {
    auto query = hn::LoadU(di, operands.queryPositions + j * kLanes);
    HWY_UNROLL(16)
    for (int i = 0; i < rows; ++i) {
      auto hidden = hn::RebindMask(d, hn::Lt(query, hn::Set(di, operands.keyPositions[i])));
      scores[i][j] = hn::IfThenElse(hidden, hn::Set(d, kMaskedScore), scores[i][j]);
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
