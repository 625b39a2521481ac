// The register tile that GEMM and attention multiply with, and 8 x 8 transposes. Included once per
// instruction set by way of hwy/foreach_target.h, hence the unusual include guard.

#if defined(TITAN_CPU_TILE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TITAN_CPU_TILE_INL_H
#undef TITAN_CPU_TILE_INL_H
#else
#define TITAN_CPU_TILE_INL_H
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <cstdint>
#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace titan::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::ScalableTag<float>;
using FloatVector = hn::Vec<FloatTag>;
using IntTag = hn::RebindToSigned<FloatTag>;

inline constexpr int kLanes = HWY_LANES(float);
/// The tile is 6 rows by kTileVectors vectors: 24 of 32 registers hold sums on AVX-512, 12 of 16 on
/// AVX2. It wants few loads per multiplication: 10 for 24, or 8 for 12.
inline constexpr int kTileRows = 6;
inline constexpr int kTileVectors = HWY_TARGET == HWY_AVX3 ? 4 : 2;
inline constexpr int kTileColumns = kTileVectors * kLanes;

/// Floats of a cache line.
inline constexpr int kLineFloats = 16;

/// How a tile reads its left operand.
enum class Left {
  packed,     ///< [k][rows]
  inPlace,    ///< rows of stride lda, k adjacent
  transposed, ///< the transpose in place: k rows of stride lda
};

/// How many steps ahead a transposed left operand is fetched.
inline constexpr int64_t kTransposedAhead = 24;

/// A tile's depth is unrolled by this; per step it prefetches one line.
inline constexpr int64_t kTileUnroll = 4;
/// Floats from `next` that a tile of depth k prefetches.
inline constexpr int64_t tilePrefetchFloats(int64_t k) { return k / kTileUnroll * kLineFloats; }

/// sums[rows][vectors] = A B, where B is [k] rows of stride ldb. Every element is one chain of
/// fused multiply-adds in the order of k, whatever the tile's size: so the bits of a result do not
/// depend on how a matrix is cut into tiles. What the caller reads after it, from `next` on, is
/// brought into the second-level cache meanwhile, a line every kTileUnroll steps, nextStride floats
/// apart: no hardware prefetcher sees where the next panel lies.
template <int rows, int vectors, Left left>
HWY_INLINE void tileSums(int64_t k, const float *HWY_RESTRICT a, int64_t lda,
                         const float *HWY_RESTRICT b, int64_t ldb, const float *next,
                         int64_t nextStride, FloatVector (&sums)[rows][vectors]) {
  const FloatTag d;
  HWY_UNROLL(16)
  for (int i = 0; i < rows; ++i)
    HWY_UNROLL(8)
  for (int j = 0; j < vectors; ++j)
    sums[i][j] = hn::Zero(d);

  // Rows in place are reached from a pointer for every three of them, which x86 addresses as
  // p, p + lda and p + 2 lda.
  constexpr int pointers = (rows + 2) / 3;
  const float *leftRows[pointers];
  HWY_UNROLL(4)
  for (int g = 0; g < pointers; ++g)
    leftRows[g] = left == Left::inPlace ? a + 3 * g * lda : a;

  auto step = [&](int64_t u) HWY_ATTR {
    FloatVector right[vectors];
    HWY_UNROLL(8)
    for (int j = 0; j < vectors; ++j)
      right[j] = hn::LoadU(d, b + j * kLanes);
    HWY_UNROLL(16)
    for (int i = 0; i < rows; ++i) {
      FloatVector x = hn::Set(d, left == Left::packed    ? a[u * rows + i]
                                 : left == Left::inPlace ? leftRows[i / 3][i % 3 * lda]
                                                         : a[u * lda + i]);
      HWY_UNROLL(8)
      for (int j = 0; j < vectors; ++j)
        sums[i][j] = hn::MulAdd(x, right[j], sums[i][j]);
    }
    b += ldb;
    if constexpr (left == Left::transposed)
      __builtin_prefetch(a + (u + kTransposedAhead) * lda);
    if constexpr (left == Left::inPlace) {
      HWY_UNROLL(4)
      for (int g = 0; g < pointers; ++g) {
        ++leftRows[g];
        // Hides that the next step reads the neighbour; knowing it, LLVM loads the rows of
        // several steps together and spills.
        asm("" : "+r"(leftRows[g]));
      }
    }
  };
  int64_t p = 0;
  for (; p + kTileUnroll <= k; p += kTileUnroll) {
    HWY_UNROLL(4)
    for (int64_t u = 0; u < kTileUnroll; ++u)
      step(u);
    a += kTileUnroll * (left == Left::packed ? rows : lda);
    __builtin_prefetch(next, 0, 2);
    next += nextStride;
  }
  for (; p < k; ++p) {
    step(0);
    a += left == Left::packed ? rows : lda;
  }
}

/// C[rows, vectors * kLanes] = A B, or += with `accumulate`. A caller with nothing to prefetch
/// passes b for `next`, and 0 for its stride.
template <int rows, int vectors, Left left>
HWY_NOINLINE void tile(int64_t k, const float *HWY_RESTRICT a, int64_t lda,
                       const float *HWY_RESTRICT b, int64_t ldb, float *HWY_RESTRICT c, int64_t ldc,
                       bool accumulate, const float *next, int64_t nextStride) {
  const FloatTag d;
  FloatVector sums[rows][vectors];
  // C is far away when it is added to, and nothing else hides that: the products do not depend on
  // it, but the next tile's do not start before it has come.
  if (accumulate) {
    HWY_UNROLL(16)
    for (int i = 0; i < rows; ++i)
      HWY_UNROLL(8)
    for (int j = 0; j < vectors * kLanes; j += kLineFloats)
      hwy::Prefetch(c + i * ldc + j);
  }
  tileSums<rows, vectors, left>(k, a, lda, b, ldb, next, nextStride, sums);
  HWY_UNROLL(16)
  for (int i = 0; i < rows; ++i)
    HWY_UNROLL(8)
  for (int j = 0; j < vectors; ++j) {
    float *to = c + i * ldc + j * kLanes;
    hn::StoreU(accumulate ? hn::Add(sums[i][j], hn::LoadU(d, to)) : sums[i][j], d, to);
  }
}

using TileFunction = void (*)(int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb,
                              float *c, int64_t ldc, bool accumulate, const float *next,
                              int64_t nextStride);

template <int vectors, Left left> TileFunction tileOfRows(int64_t rows) {
  static_assert(kTileRows == 6);
  constexpr TileFunction table[kTileRows] = {tile<1, vectors, left>, tile<2, vectors, left>,
                                             tile<3, vectors, left>, tile<4, vectors, left>,
                                             tile<5, vectors, left>, tile<6, vectors, left>};
  return table[rows - 1];
}

/// The tile for 1..kTileRows rows and 1..kTileVectors vectors.
template <Left left> TileFunction selectTile(int64_t rows, int64_t vectors) {
  if constexpr (kTileVectors > 2) {
    if (vectors == 4)
      return tileOfRows<4, left>(rows);
    if (vectors == 3)
      return tileOfRows<3, left>(rows);
  }
  return vectors == 2 ? tileOfRows<2, left>(rows) : tileOfRows<1, left>(rows);
}

#if HWY_MAX_BYTES >= 32

/// Rows of 8 floats, `count` of them at `stride`; the others are zero.
struct Block8 {
  using Tag = hn::CappedTag<float, 8>;
  hn::Vec<Tag> row[8];
};

HWY_INLINE Block8 loadBlock8(const float *from, int64_t stride, int64_t count) {
  const Block8::Tag d;
  Block8 block;
  HWY_UNROLL(8)
  for (int i = 0; i < 8; ++i)
    block.row[i] = i < count ? hn::LoadU(d, from + i * stride) : hn::Zero(d);
  return block;
}

HWY_INLINE Block8 transpose8(const Block8 &in) {
  const Block8::Tag d;
  const hn::Repartition<double, Block8::Tag> d64;
  hn::Vec<Block8::Tag> pairs[8], quads[8];
  HWY_UNROLL(4)
  for (int i = 0; i < 4; ++i) {
    pairs[2 * i] = hn::InterleaveLower(d, in.row[2 * i], in.row[2 * i + 1]);
    pairs[2 * i + 1] = hn::InterleaveUpper(d, in.row[2 * i], in.row[2 * i + 1]);
  }
  HWY_UNROLL(2)
  for (int i = 0; i < 2; ++i)
    HWY_UNROLL(2)
  for (int half = 0; half < 2; ++half) {
    auto low = hn::BitCast(d64, pairs[4 * i + half]);
    auto high = hn::BitCast(d64, pairs[4 * i + 2 + half]);
    quads[4 * i + 2 * half] = hn::BitCast(d, hn::InterleaveLower(d64, low, high));
    quads[4 * i + 2 * half + 1] = hn::BitCast(d, hn::InterleaveUpper(d64, low, high));
  }
  Block8 out;
  HWY_UNROLL(4)
  for (int i = 0; i < 4; ++i) {
    out.row[i] = hn::ConcatLowerLower(d, quads[4 + i], quads[i]);
    out.row[4 + i] = hn::ConcatUpperUpper(d, quads[4 + i], quads[i]);
  }
  return out;
}

#endif

/// to[j * toStride + i] = scale * from[i * fromStride + j] for i < rows and j < columns, and zero
/// for rows <= i < paddedRows.
inline HWY_NOINLINE void transposeInto(const float *from, int64_t fromStride, int64_t rows,
                                       int64_t columns, float scale, float *to, int64_t toStride,
                                       int64_t paddedRows) {
  int64_t i0 = 0;
#if HWY_MAX_BYTES >= 32
  const Block8::Tag d;
  const auto factor = hn::Set(d, scale);
  auto transposeBlock = [&](int64_t i, int64_t j) HWY_ATTR {
    int64_t count = HWY_MIN(HWY_MAX(rows - i, int64_t(0)), int64_t(8));
    Block8 block = transpose8(loadBlock8(from + i * fromStride + j, fromStride, count));
    HWY_UNROLL(8)
    for (int u = 0; u < 8; ++u)
      hn::StoreU(hn::Mul(factor, block.row[u]), d, to + (j + u) * toStride + i);
  };
  // Whole lines are read and written at a time, while the lines of the next rows come.
  for (; i0 + kLineFloats <= paddedRows; i0 += kLineFloats) {
    int64_t j = 0;
    for (; j + kLineFloats <= columns; j += kLineFloats) {
      for (int64_t i = i0; i < i0 + kLineFloats; ++i)
        __builtin_prefetch(from + (i + kLineFloats) * fromStride + j, 0, 2);
      for (int64_t i = i0; i < i0 + kLineFloats; i += 8) {
        transposeBlock(i, j);
        transposeBlock(i, j + 8);
      }
    }
    for (; j + 8 <= columns; j += 8) {
      transposeBlock(i0, j);
      transposeBlock(i0 + 8, j);
    }
    for (; j < columns; ++j)
      for (int64_t i = i0; i < i0 + kLineFloats; ++i)
        to[j * toStride + i] = i < rows ? scale * from[i * fromStride + j] : 0.0f;
  }
  for (; i0 + 8 <= paddedRows; i0 += 8) {
    int64_t j = 0;
    for (; j + 8 <= columns; j += 8)
      transposeBlock(i0, j);
    for (; j < columns; ++j)
      for (int64_t i = i0; i < i0 + 8; ++i)
        to[j * toStride + i] = i < rows ? scale * from[i * fromStride + j] : 0.0f;
  }
#endif
  for (; i0 < paddedRows; ++i0)
    for (int64_t j = 0; j < columns; ++j)
      to[j * toStride + i0] = i0 < rows ? scale * from[i0 * fromStride + j] : 0.0f;
}

/// Panels of kTileRows rows (the last may have fewer), each packed as [columns][rows of the panel]
/// for Left::packed; panel p begins at to + p * panelStride. Writes up to 7 floats beyond a panel,
/// so panelStride is at least kTileRows * columns + 7, and so is the room of the last.
inline HWY_NOINLINE void packRowPanels(const float *from, int64_t stride, int64_t rows,
                                       int64_t columns, float *to, int64_t panelStride) {
  for (int64_t row = 0; row < rows; row += kTileRows, to += panelStride) {
    const float *source = from + row * stride;
    int64_t count = HWY_MIN(int64_t(kTileRows), rows - row);
    int64_t j = 0;
#if HWY_MAX_BYTES >= 32
    const Block8::Tag d;
    for (; j + 8 <= columns; j += 8) {
      Block8 block = transpose8(loadBlock8(source + j, stride, count));
      // Each store's last lanes are overwritten by the next.
      HWY_UNROLL(8)
      for (int u = 0; u < 8; ++u)
        if (count == kTileRows)
          hn::StoreU(block.row[u], d, to + (j + u) * kTileRows);
        else
          hn::StoreU(block.row[u], d, to + (j + u) * count);
    }
#endif
    for (; j < columns; ++j)
      for (int64_t i = 0; i < count; ++i)
        to[j * count + i] = source[i * stride + j];
  }
}

/// The same from a transposed source, [columns][rows] of stride `stride`.
inline HWY_NOINLINE void packColumnPanels(const float *from, int64_t stride, int64_t rows,
                                          int64_t columns, float *to, int64_t panelStride) {
  // A few panels at a time: every line of the source is read once, and the lines being written
  // stay in the first-level cache.
  constexpr int64_t group = 20;
  constexpr int64_t ahead = 6; // rows; the hardware does not see a stream in so long a stride
  int64_t row = 0;
  for (; row + kTileRows <= rows; row += group * kTileRows) {
    int64_t panels = HWY_MIN(group, (rows - row) / kTileRows);
    float *panel = to + row / kTileRows * panelStride;
    for (int64_t j = 0; j < columns; ++j) {
      for (int64_t p = 0; p < panels * kTileRows; p += kLineFloats)
        hwy::Prefetch(from + (j + ahead) * stride + row + p);
      for (int64_t p = 0; p < panels; ++p)
        std::memcpy(panel + p * panelStride + j * kTileRows,
                    from + j * stride + row + p * kTileRows, kTileRows * sizeof(float));
    }
  }
  int64_t count = rows % kTileRows;
  float *panel = to + rows / kTileRows * panelStride;
  for (int64_t j = 0; j < columns && count > 0; ++j)
    for (int64_t i = 0; i < count; ++i)
      panel[j * count + i] = from[j * stride + rows - count + i];
}

} // namespace titan::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
