// Our own GEMM, one version per instruction set: B is packed once by all threads into panels as
// wide as the register tile, where its rows are used often enough; then chunks of rows of C are
// handed out, each packing its rows of A. The scheme is that of K. Goto and R. van de Geijn,
// "Anatomy of High-Performance Matrix Multiplication", 2008.

// AVX2 and AVX-512 have a tile; oneDNN serves the rest. (Highway wants a baseline besides.)
#define HWY_DISABLED_TARGETS (~(HWY_AVX2 | HWY_AVX3 | HWY_EMU128 | HWY_SCALAR))
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/device/cpu/GemmTiled.cpp"
#include <hwy/foreach_target.h>

#include "runtime/device/cpu/GemmInternal.h"
#include "runtime/device/cpu/ThreadPool.h"
#include "runtime/device/cpu/Tile-inl.h"
#include "runtime/device/cpu/Workspace.h"

#include <algorithm>

#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3

HWY_BEFORE_NAMESPACE();
namespace titan::cpu::HWY_NAMESPACE {

namespace {

/// The depth of a packed block: long enough that loading and storing C is small beside it. A panel
/// of B of this depth fills the first-level cache of most CPUs, yet measured better than half of
/// it.
constexpr int64_t kDepth = 512;
/// Depth and width of what is packed of B at a time; both bound the workspace, nothing else.
constexpr int64_t kPackedDepth = 2048;
constexpr int64_t kPackedWidth = 3072;
/// Rows of C that are handed out at least.
constexpr int64_t kLeastRows = 4 * kTileRows;
/// Rows of A that one thread packs at a time: with kDepth a good part of the second-level cache.
constexpr int64_t kChunkRows = 22 * kTileRows;
/// Up to this many columns a row of A is used too rarely to pay for packing it.
constexpr int64_t kInPlaceColumns = 768;
/// The same of a transposed A, whose lines in place hold more than a tile's rows and are fetched in
/// time only where the hardware sees a stream in their stride.
constexpr int64_t kTransposedColumns = 4 * kTileColumns;
constexpr int64_t kStreamedStride = 512;
/// AVX-512 CPUs have second-level caches in which a chunk's rows in place stay as well as packed
/// ones, unless their stride, a multiple of this many floats, puts them all into a few sets.
constexpr int64_t kCompetingStride = 2048;
/// Up to this many rows of C a panel of B is used too rarely to pay for packing it, unless its
/// stride, a multiple of this many floats, puts its rows into a few cache sets.
constexpr int64_t kInPlaceRows = 768;
constexpr int64_t kCompetingPanelStride = 512;
/// Panels of B that are packed together where their columns are adjacent.
constexpr int kPanelsTogether = 4;
/// Keeps panels of A from competing for the same cache sets.
constexpr int64_t kPanelPadding = 16;

int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// How the depth of a product is cut; it depends on nothing but k, and so do the results' bits.
struct DepthBlocks {
  int64_t count, depth;
  explicit DepthBlocks(int64_t k)
      : count(std::max<int64_t>(ceilDiv(k, kDepth), 1)), depth(ceilDiv(ceilDiv(k, count), 8) * 8) {}
};

int64_t packedRowBlockFloats() {
  return (kChunkRows / kTileRows) * (kTileRows * kDepth + kPanelPadding);
}

/// One multiplication with at most kPackedDepth by kPackedWidth of B.
struct Block {
  const GemmShape &shape;
  int64_t n, k;
  const float *a, *b;
  float *c;
  bool accumulate;
  float *packedB;
  float *packedA;        ///< a buffer per worker
  bool hasRowsInPlace;   ///< A
  bool hasPanelsInPlace; ///< B
  DepthBlocks depths;

  int64_t panels() const { return ceilDiv(n, kTileColumns); }
  int64_t panelWidth(int64_t panel) const {
    return std::min<int64_t>(kTileColumns, n - panel * kTileColumns);
  }
  /// Vectors that the tile of a panel has; only the last panel may have fewer than kTileVectors.
  int64_t panelVectors(int64_t panel) const { return ceilDiv(panelWidth(panel), kLanes); }
  int64_t depthOf(int64_t depthBlock) const {
    return std::min(depths.depth, k - depthBlock * depths.depth);
  }
  float *packedPanel(int64_t depthBlock, int64_t panel) const {
    return packedB + depthBlock * depths.depth * panels() * kTileColumns +
           panel * kTileColumns * depthOf(depthBlock);
  }
};

/// A panel of B of one depth block, packed or in place.
struct Panel {
  const float *data;
  int64_t stride;

  Panel(const Block &block, int64_t depthBlock, int64_t panel)
      : data(block.packedPanel(depthBlock, panel)), stride(block.panelVectors(panel) * kLanes) {
    if (!block.hasPanelsInPlace)
      return;
    stride = block.shape.ldb;
    data = block.b + depthBlock * block.depths.depth * stride + panel * kTileColumns;
  }

  /// Where what the n-th tile before this panel prefetches of it begins; null when others have all.
  /// Packed, it is a run of lines; in place, a line of each of some rows.
  const float *prefetched(const Block &block, int64_t depth, int64_t tile) const {
    if (block.hasPanelsInPlace) {
      const int64_t column = tile / kTileUnroll * kLineFloats;
      return column < kTileColumns
                 ? data + tile % kTileUnroll * (depth / kTileUnroll) * stride + column
                 : nullptr;
    }
    const int64_t offset = tile * tilePrefetchFloats(depth);
    return offset < depth * kTileColumns ? data + offset : nullptr;
  }
};

void packTransposedPanel(const Block &block, int64_t depthBlock, int64_t panel) {
  int64_t ldb = block.shape.ldb, padded = block.panelVectors(panel) * kLanes;
  const float *from = block.b + panel * kTileColumns * ldb + depthBlock * block.depths.depth;
  transposeInto(from, ldb, block.panelWidth(panel), block.depthOf(depthBlock), 1.0f,
                block.packedPanel(depthBlock, panel), padded, padded);
}

/// Packs a few neighbouring panels of B as it is: a row at a time, whose columns are adjacent.
void packPanels(const Block &block, int64_t depthBlock, int64_t firstPanel, int64_t lastPanel) {
  constexpr int64_t ahead = 6; // rows; the hardware does not see a stream in so long a stride
  int64_t depth = block.depthOf(depthBlock), ldb = block.shape.ldb;
  const float *row = block.b + depthBlock * block.depths.depth * ldb;
  for (int64_t p = 0; p < depth; ++p, row += ldb)
    for (int64_t panel = firstPanel; panel < lastPanel; ++panel) {
      const float *from = row + panel * kTileColumns;
      int64_t width = block.panelWidth(panel), padded = block.panelVectors(panel) * kLanes;
      float *to = block.packedPanel(depthBlock, panel) + p * padded;
      if (width == kTileColumns) {
        for (int64_t j = 0; j < kTileColumns; j += kLineFloats)
          hwy::Prefetch(from + ahead * ldb + j);
        std::memcpy(to, from, kTileColumns * sizeof(float));
        continue;
      }
      std::memcpy(to, from, width * sizeof(float));
      std::fill(to + width, to + padded, 0.0f);
    }
}

void packB(ThreadPool &pool, const Block &block) {
  int64_t panels = block.panels();
  int64_t together = block.shape.transB ? 1 : kPanelsTogether;
  int64_t groups = ceilDiv(panels, together);
  pool.parallelFor(block.depths.count * groups, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      int64_t depthBlock = i / groups, panel = i % groups * together;
      if (block.shape.transB)
        packTransposedPanel(block, depthBlock, panel);
      else
        packPanels(block, depthBlock, panel, std::min(panel + together, panels));
    }
  });
}

/// The left operand of a chunk's tiles in one depth block.
struct LeftRows {
  Left left;
  const float *data;
  int64_t tileStride; ///< from a tile's rows to the next tile's

  /// Packs the rows, unless they are read in place.
  LeftRows(const Block &block, int64_t row, int64_t rows, int64_t depthBlock, float *packed) {
    const GemmShape &shape = block.shape;
    int64_t k0 = depthBlock * block.depths.depth, depth = block.depthOf(depthBlock);
    const float *from = block.a + (shape.transA ? k0 * shape.lda + row : row * shape.lda + k0);
    if (block.hasRowsInPlace) {
      left = shape.transA ? Left::transposed : Left::inPlace;
      data = from;
      tileStride = kTileRows * (shape.transA ? 1 : shape.lda);
      return;
    }
    left = Left::packed;
    data = packed;
    tileStride = kTileRows * depth + kPanelPadding;
    (shape.transA ? packColumnPanels : packRowPanels)(from, shape.lda, rows, depth, packed,
                                                      tileStride);
  }

  TileFunction tile(int64_t rows, int64_t vectors) const {
    return left == Left::packed    ? selectTile<Left::packed>(rows, vectors)
           : left == Left::inPlace ? selectTile<Left::inPlace>(rows, vectors)
                                   : selectTile<Left::transposed>(rows, vectors);
  }
};

/// A tile at the right edge of C: computed beside it, because it is wider than what is left.
void edgeTile(TileFunction function, int64_t rows, int64_t width, int64_t k, const float *a,
              int64_t lda, const float *b, int64_t ldb, float *c, int64_t ldc, bool accumulate) {
  alignas(64) float result[kTileRows * kTileColumns];
  function(k, a, lda, b, ldb, result, kTileColumns, false, b, 0);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < width; ++j)
      c[i * ldc + j] = result[i * kTileColumns + j] + (accumulate ? c[i * ldc + j] : 0.0f);
}

/// Rows [row, row + rows) of C, at most kChunkRows, and panels [firstPanel, lastPanel).
void computeChunk(const Block &block, int64_t row, int64_t rows, int64_t firstPanel,
                  int64_t lastPanel, float *packedA) {
  const GemmShape &shape = block.shape;
  for (int64_t depthBlock = 0; depthBlock < block.depths.count; ++depthBlock) {
    const int64_t depth = block.depthOf(depthBlock);
    const LeftRows left(block, row, rows, depthBlock, packedA);
    bool accumulate = block.accumulate || depthBlock > 0;
    for (int64_t panel = firstPanel; panel < lastPanel; ++panel) {
      int64_t vectors = block.panelVectors(panel), width = block.panelWidth(panel);
      const Panel b(block, depthBlock, panel);
      const Panel coming = panel + 1 < lastPanel
                               ? Panel(block, depthBlock, panel + 1)
                               : Panel(block, (depthBlock + 1) % block.depths.count, firstPanel);
      const int64_t comingStride = block.hasPanelsInPlace ? coming.stride : kLineFloats;
      float *c = block.c + row * shape.ldc + panel * kTileColumns;
      for (int64_t i = 0; i < rows; i += kTileRows, c += kTileRows * shape.ldc) {
        int64_t tileRows = std::min<int64_t>(kTileRows, rows - i);
        const float *a = left.data + i / kTileRows * left.tileStride;
        TileFunction function = left.tile(tileRows, vectors);
        const float *next = coming.prefetched(block, depth, i / kTileRows);
        if (width == vectors * kLanes)
          function(depth, a, shape.lda, b.data, b.stride, c, shape.ldc, accumulate,
                   next ? next : b.data, next ? comingStride : 0);
        else
          edgeTile(function, tileRows, width, depth, a, shape.lda, b.data, b.stride, c, shape.ldc,
                   accumulate);
      }
    }
  }
}

/// Rows that are handed out at a time: few enough to level the workers' speeds, or chunks as large
/// as may be, where each worker gets one or there is only one worker.
int64_t unitRows(int64_t rows, int workers) {
  if (workers > 1 && rows > workers * kChunkRows)
    return kLeastRows;
  int64_t chunks = workers * ceilDiv(rows, workers * kChunkRows);
  return std::max(ceilDiv(ceilDiv(rows, chunks), kTileRows) * kTileRows, kLeastRows);
}

void computeBlock(ThreadPool &pool, const Block &block) {
  if (!block.hasPanelsInPlace)
    packB(pool, block);
  const int64_t unit = unitRows(block.shape.m, pool.size());
  // Few rows for many threads: columns are divided too.
  int64_t units = ceilDiv(block.shape.m, unit);
  int64_t wanted = units % pool.size() == 0 ? 1 : ceilDiv(4 * pool.size(), units);
  int64_t groups = std::clamp<int64_t>(wanted, 1, block.panels());
  int64_t groupPanels = ceilDiv(block.panels(), groups);
  groups = ceilDiv(block.panels(), groupPanels);
  pool.parallelFor(
      groups * units,
      [&](int64_t begin, int64_t end, int worker) {
        float *packedA = block.packedA + worker * packedRowBlockFloats();
        while (begin < end) {
          int64_t group = begin / units, first = begin % units;
          int64_t taken = std::min(end - begin, units - first), row = first * unit;
          computeChunk(block, row, std::min(taken * unit, block.shape.m - row), group * groupPanels,
                       std::min((group + 1) * groupPanels, block.panels()), packedA);
          begin += taken;
        }
      },
      /*maxRange=*/std::max<int64_t>(kChunkRows / unit, 1));
}

bool usesRowsInPlace(const GemmShape &shape) {
  if (shape.transA)
    return shape.n <= kTransposedColumns && shape.lda <= kStreamedStride;
  bool compete = shape.lda % kCompetingStride == 0;
  return shape.n <= kInPlaceColumns || (HWY_TARGET == HWY_AVX3 && !compete);
}

bool usesPanelsInPlace(const GemmShape &shape) {
  return !shape.transB && shape.m <= kInPlaceRows && shape.n % kLanes == 0 &&
         shape.ldb % kCompetingPanelStride != 0;
}

struct Buffers {
  float *packedB, *packedA;
  Buffers(Workspace &space, const GemmShape &shape, int threads) {
    int64_t n = ceilDiv(std::min(shape.n, kPackedWidth), kTileColumns) * kTileColumns;
    // Panels in place need none, but a larger product asks for the room of its parts once.
    packedB = space.take<float>(std::min(shape.k, kPackedDepth) * n);
    packedA = space.take<float>(threads * packedRowBlockFloats());
  }
};

} // namespace

int64_t tiledWorkspaceBytes(const GemmShape &shape, int threads) {
  Workspace measured;
  Buffers buffers(measured, shape, threads);
  return measured.usedBytes();
}

void gemmTiled(ThreadPool &pool, const GemmShape &shape, const float *a, const float *b, float *c,
               Workspace space) {
  Buffers buffers(space, shape, pool.size());
  bool rowsInPlace = usesRowsInPlace(shape);
  bool panelsInPlace = usesPanelsInPlace(shape);
  for (int64_t matrix = 0; matrix < shape.batch; ++matrix) {
    const float *matrixA = a + matrix * shape.strideA, *matrixB = b + matrix * shape.strideB;
    float *matrixC = c + matrix * shape.strideC;
    for (int64_t n0 = 0; n0 < shape.n; n0 += kPackedWidth)
      for (int64_t k0 = 0; k0 < shape.k; k0 += kPackedDepth) {
        int64_t depth = std::min(kPackedDepth, shape.k - k0);
        Block block{shape,
                    std::min(kPackedWidth, shape.n - n0),
                    depth,
                    matrixA + (shape.transA ? k0 * shape.lda : k0),
                    matrixB + (shape.transB ? n0 * shape.ldb + k0 : k0 * shape.ldb + n0),
                    matrixC + n0,
                    shape.accumulate || k0 > 0,
                    buffers.packedB,
                    buffers.packedA,
                    rowsInPlace,
                    panelsInPlace,
                    DepthBlocks(depth)};
        computeBlock(pool, block);
      }
  }
}

} // namespace titan::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif // HWY_TARGET

#if HWY_ONCE

namespace titan::cpu {

const GemmTiled *tiledGemm(Isa isa) {
#if HWY_TARGETS & HWY_AVX3
  static constexpr GemmTiled avx512{N_AVX3::tiledWorkspaceBytes, N_AVX3::gemmTiled};
  if (isa == Isa::avx512)
    return &avx512;
#endif
#if HWY_TARGETS & HWY_AVX2
  static constexpr GemmTiled avx2{N_AVX2::tiledWorkspaceBytes, N_AVX2::gemmTiled};
  if (isa == Isa::avx2)
    return &avx2;
#endif
  return nullptr;
}

} // namespace titan::cpu

#endif // HWY_ONCE
