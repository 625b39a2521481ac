// Attention in float32 arithmetic, without tensor cores: for every head dimension up to 256,
// positions, and both element types. No matrix of scores exists; sums go in a fixed order.
//
// A warp has some rows of the result: queries (forward, dQ) or keys (dK, dV), kept in shared
// memory. A block walks over the other side 32 rows at a time, which its warps share: first each
// lane has one of these and its products with all of the warp's rows; then they turn over, and each
// lane has the columns lane, lane + 32, ... of the sums. So a row of global memory is read once for
// 32 rows of the result with heads of up to 64 elements, 16 with up to 128, and 4 with up to 256.
#include "runtime/device/cuda/kernels/Gpu.h"
#include "runtime/device/cuda/kernels/Parameters.h"

using namespace titan::gpu;

namespace {

constexpr int kWarps = kAttentionWarps;

using Shared = __attribute__((address_space(3))) float;
struct alignas(16) Four {
  float at[4];
};
using SharedFour = __attribute__((address_space(3))) Four;

TITAN_DEVICE int laneInWarp() { return threadInBlock() % kWarp; }
TITAN_DEVICE int warpInBlock() { return threadInBlock() / kWarp; }

template <typename T>
TITAN_DEVICE T *at(T *data, const AttentionStrides &strides, int64_t batch, int64_t place,
                   int64_t head) {
  return data + batch * strides.batch + place * strides.sequence + head * strides.head;
}

/// Heads of up to `Dim` elements.
template <int Dim> struct Tiles {
  static constexpr int kRows = attentionRows(Dim); ///< of a warp
  static constexpr int kColumns = Dim / kWarp;
  static constexpr int kStride = Dim + 1; ///< of a tile: lanes read different banks
  using Sums = float[kRows][kColumns];

  /// The rows of a block's warps.
  struct Own {
    int64_t batch, head;
    int64_t first; ///< of the warp
    int64_t last;  ///< one behind the block's

    TITAN_DEVICE Own of(int64_t heads) {
      const int64_t block = blockX() * kWarps * kRows;
      return {blockY() / heads, blockY() % heads, block + warpInBlock() * kRows,
              block + kWarps * kRows};
    }
  };

  /// Fills a warp's rows of shared memory; columns behind `dim` and rows from `end` on are zeros.
  template <typename T>
  TITAN_DEVICE void keep(Shared *to, const T *from, const AttentionStrides &strides, int64_t first,
                         int64_t end, int64_t dim) {
    for (int row = 0; row < kRows; ++row)
      for (int i = laneInWarp(); i < Dim; i += kWarp)
        to[row * Dim + i] =
            first + row < end && i < dim ? load(from + (first + row) * strides.sequence + i) : 0.0f;
    __nvvm_bar_warp_sync(0xffffffff);
  }

  /// Likewise the block's tile of 32 rows, once all have done with the one before.
  template <typename T>
  TITAN_DEVICE void share(Shared *tile, const T *from, const AttentionStrides &strides,
                          int64_t first, int64_t end, int64_t dim) {
    barrier();
    for (int row = warpInBlock(); row < kWarp; row += kWarps)
      for (int i = laneInWarp(); i < Dim; i += kWarp)
        tile[row * kStride + i] =
            first + row < end && i < dim ? load(from + (first + row) * strides.sequence + i) : 0.0f;
    barrier();
  }

  /// The products of the lane's row of the tile with the warp's rows.
  TITAN_DEVICE void multiply(float (&products)[kRows], const Shared *rows, const Shared *tile,
                             int64_t dim) {
    for (float &product : products)
      product = 0;
    const Shared *own = tile + laneInWarp() * kStride;
    for (int i = 0; i < dim; i += 4) {
      const float values[] = {own[i], own[i + 1], own[i + 2], own[i + 3]};
#pragma unroll
      for (int row = 0; row < kRows; ++row) {
        const auto *four = reinterpret_cast<const SharedFour *>(rows + row * Dim + i);
#pragma unroll
        for (int j = 0; j < 4; ++j)
          products[row] += four->at[j] * values[j];
      }
    }
  }

  /// Adds the tile's rows to the sums, times the factors that their lanes have; `exchanged` is room
  /// for these. `count` rows exist.
  TITAN_DEVICE void add(Sums &sums, const float (&factors)[kRows], Shared *exchanged,
                        const Shared *tile, int64_t count) {
#pragma unroll
    for (int row = 0; row < kRows; ++row)
      exchanged[laneInWarp() * kRows + row] = factors[row];
    __nvvm_bar_warp_sync(0xffffffff);
    for (int j = 0; j < kWarp && j < count; ++j) {
      float values[kColumns];
#pragma unroll
      for (int c = 0; c < kColumns; ++c)
        values[c] = tile[j * kStride + laneInWarp() + c * kWarp];
#pragma unroll
      for (int row = 0; row < kRows; ++row) {
        const float factor = exchanged[j * kRows + row];
#pragma unroll
        for (int c = 0; c < kColumns; ++c)
          sums[row][c] += factor * values[c];
      }
    }
    __nvvm_bar_warp_sync(0xffffffff);
  }

  /// Writes a warp's rows of a result, `from` its head.
  template <typename T>
  TITAN_DEVICE void write(T *to, const AttentionStrides &strides, const Sums &sums, int64_t first,
                          int64_t end, int64_t dim) {
#pragma unroll
    for (int row = 0; row < kRows; ++row)
#pragma unroll
      for (int c = 0; c < kColumns; ++c)
        if (first + row < end && laneInWarp() + c * kWarp < dim)
          store(to + (first + row) * strides.sequence + laneInWarp() + c * kWarp, sums[row][c]);
  }
};

/// Whether a query sees a key.
struct Mask {
  const int32_t *queryPositions, *keyPositions; ///< of one batch; null: the places
  int64_t queries, keys;
  int causal;

  TITAN_DEVICE Mask of(const AttentionShape &shape, const int32_t *queries, const int32_t *keys,
                       int64_t batch) {
    return {queries ? queries + batch * shape.queries : nullptr,
            keys ? keys + batch * shape.keys : nullptr, shape.queries, shape.keys, shape.causal};
  }
  __attribute__((always_inline)) bool sees(int64_t query, int64_t key) const {
    if (query >= queries || key >= keys)
      return false;
    if (!causal)
      return true;
    const int64_t at = queryPositions ? queryPositions[query] : query;
    return (keyPositions ? keyPositions[key] : key) <= at;
  }
  /// One behind the last key that a query before `last` may see, and the first query that may see a
  /// key from `key` on.
  __attribute__((always_inline)) int64_t endOfKeys(int64_t last) const {
    return causal && !keyPositions && last < keys ? last : keys;
  }
  __attribute__((always_inline)) int64_t firstQuery(int64_t key) const {
    return causal && !queryPositions ? key / kWarp * kWarp : 0;
  }
};

template <int Dim, typename T>
TITAN_DEVICE void forward(const AttentionShape &shape, const T *q, const T *k, const T *v,
                          const int32_t *queryPositions, const int32_t *keyPositions, T *out,
                          float *lse) {
  using Tile = Tiles<Dim>;
  constexpr int kRows = Tile::kRows;
  TITAN_SHARED float rowData[kWarps * kRows * Dim] __attribute__((aligned(16)));
  TITAN_SHARED float exchangedData[kWarps * kWarp * kRows];
  TITAN_SHARED float tile[kWarp * Tile::kStride];
  const auto own = Tile::Own::of(shape.heads);
  const Mask mask = Mask::of(shape, queryPositions, keyPositions, own.batch);
  const int64_t kvHead = own.head / (shape.heads / shape.kvHeads);
  Shared *rows = rowData + warpInBlock() * kRows * Dim;
  Shared *exchanged = exchangedData + warpInBlock() * kWarp * kRows;
  Tile::keep(rows, at(q, shape.q, own.batch, 0, own.head), shape.q, own.first, shape.queries,
             shape.dim);
  typename Tile::Sums sums = {};
  float best[kRows], total[kRows];
  for (int row = 0; row < kRows; ++row)
    best[row] = -kInfinity, total[row] = 0;
  const int64_t end = mask.endOfKeys(own.last);
  for (int64_t first = 0; first < end; first += kWarp) {
    Tile::share(tile, at(k, shape.k, own.batch, 0, kvHead), shape.k, first, end, shape.dim);
    float weights[kRows];
    Tile::multiply(weights, rows, tile, shape.dim);
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      const float score = mask.sees(own.first + row, first + laneInWarp())
                              ? shape.scale * kLog2E * weights[row]
                              : -kInfinity;
      const float highest = maximum(best[row], warpMax(score));
      // A row that sees nothing yet: no difference of infinities.
      const float base = highest == -kInfinity ? 0.0f : highest;
      const float rescale = exp2(best[row] - base);
      weights[row] = exp2(score - base);
      best[row] = highest;
      total[row] = total[row] * rescale + warpSum(weights[row]);
#pragma unroll
      for (float &sum : sums[row])
        sum *= rescale;
    }
    Tile::share(tile, at(v, shape.v, own.batch, 0, kvHead), shape.v, first, end, shape.dim);
    Tile::add(sums, weights, exchanged, tile, end - first);
  }
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
    for (float &sum : sums[row])
      sum = total[row] != 0 ? sum / total[row] : 0.0f;
    const int64_t query = own.first + row;
    if (laneInWarp() == 0 && query < shape.queries)
      lse[(own.batch * shape.heads + own.head) * shape.queries + query] =
          total[row] != 0 ? (best[row] + log2(total[row])) * kLn2 : -kInfinity;
  }
  Tile::write(at(out, shape.out, own.batch, 0, own.head), shape.out, sums, own.first, shape.queries,
              shape.dim);
}

/// sum of out * dout of each query: what the gradient of its softmax subtracts. A warp for each.
template <typename T>
TITAN_DEVICE void prepare(const AttentionShape &shape, const T *out, const T *dout, float *delta) {
  const int64_t place = blockX() * kWarps + warpInBlock();
  const int64_t batch = blockY() / shape.heads, head = blockY() % shape.heads;
  if (place >= shape.queries)
    return;
  const T *a = at(out, shape.out, batch, place, head);
  const T *b = at(dout, shape.dout, batch, place, head);
  float sum = 0;
  for (int64_t i = laneInWarp(); i < shape.dim; i += kWarp)
    sum += load(a + i) * load(b + i);
  sum = warpSum(sum);
  if (laneInWarp() == 0)
    delta[(batch * shape.heads + head) * shape.queries + place] = sum;
}

template <int Dim, typename T>
TITAN_DEVICE void queryGrad(const AttentionShape &shape, const T *q, const T *k, const T *v,
                            const int32_t *queryPositions, const int32_t *keyPositions,
                            const float *lse, const float *delta, const T *dout, T *dq) {
  using Tile = Tiles<Dim>;
  constexpr int kRows = Tile::kRows;
  TITAN_SHARED float rowData[kWarps * kRows * Dim] __attribute__((aligned(16)));
  TITAN_SHARED float gradData[kWarps * kRows * Dim] __attribute__((aligned(16)));
  TITAN_SHARED float exchangedData[kWarps * kWarp * kRows];
  TITAN_SHARED float tile[kWarp * Tile::kStride];
  const auto own = Tile::Own::of(shape.heads);
  const Mask mask = Mask::of(shape, queryPositions, keyPositions, own.batch);
  const int64_t kvHead = own.head / (shape.heads / shape.kvHeads);
  Shared *rows = rowData + warpInBlock() * kRows * Dim;
  Shared *grads = gradData + warpInBlock() * kRows * Dim;
  Shared *exchanged = exchangedData + warpInBlock() * kWarp * kRows;
  Tile::keep(rows, at(q, shape.q, own.batch, 0, own.head), shape.q, own.first, shape.queries,
             shape.dim);
  Tile::keep(grads, at(dout, shape.dout, own.batch, 0, own.head), shape.dout, own.first,
             shape.queries, shape.dim);
  float logSums[kRows], offsets[kRows];
  for (int row = 0; row < kRows; ++row) {
    const int64_t query = own.first + row;
    const int64_t number = (own.batch * shape.heads + own.head) * shape.queries + query;
    logSums[row] = query < shape.queries ? lse[number] * kLog2E : 0;
    offsets[row] = query < shape.queries ? delta[number] : 0;
  }
  const T *keys = at(k, shape.k, own.batch, 0, kvHead);
  typename Tile::Sums sums = {};
  const int64_t end = mask.endOfKeys(own.last);
  for (int64_t first = 0; first < end; first += kWarp) {
    float weights[kRows], changes[kRows];
    Tile::share(tile, at(v, shape.v, own.batch, 0, kvHead), shape.v, first, end, shape.dim);
    Tile::multiply(changes, grads, tile, shape.dim);
    Tile::share(tile, keys, shape.k, first, end, shape.dim);
    Tile::multiply(weights, rows, tile, shape.dim);
#pragma unroll
    for (int row = 0; row < kRows; ++row)
      changes[row] = mask.sees(own.first + row, first + laneInWarp())
                         ? exp2(shape.scale * kLog2E * weights[row] - logSums[row]) * shape.scale *
                               (changes[row] - offsets[row])
                         : 0.0f;
    Tile::add(sums, changes, exchanged, tile, end - first);
  }
  Tile::write(at(dq, shape.dq, own.batch, 0, own.head), shape.dq, sums, own.first, shape.queries,
              shape.dim);
}

/// A key's row of dK and dV: over all heads that share it, and all queries.
template <int Dim, typename T>
TITAN_DEVICE void keyGrad(const AttentionShape &shape, const T *q, const T *k, const T *v,
                          const int32_t *queryPositions, const int32_t *keyPositions,
                          const float *lse, const float *delta, const T *dout, T *dk, T *dv) {
  using Tile = Tiles<Dim>;
  constexpr int kRows = Tile::kRows;
  TITAN_SHARED float keyData[kWarps * kRows * Dim] __attribute__((aligned(16)));
  TITAN_SHARED float valueData[kWarps * kRows * Dim] __attribute__((aligned(16)));
  TITAN_SHARED float exchangedData[kWarps * kWarp * kRows];
  TITAN_SHARED float tile[kWarp * Tile::kStride];
  const auto own = Tile::Own::of(shape.kvHeads);
  const Mask mask = Mask::of(shape, queryPositions, keyPositions, own.batch);
  const int64_t group = shape.heads / shape.kvHeads;
  Shared *keys = keyData + warpInBlock() * kRows * Dim;
  Shared *values = valueData + warpInBlock() * kRows * Dim;
  Shared *exchanged = exchangedData + warpInBlock() * kWarp * kRows;
  Tile::keep(keys, at(k, shape.k, own.batch, 0, own.head), shape.k, own.first, shape.keys,
             shape.dim);
  Tile::keep(values, at(v, shape.v, own.batch, 0, own.head), shape.v, own.first, shape.keys,
             shape.dim);
  typename Tile::Sums keySums = {}, valueSums = {};
  for (int64_t head = own.head * group; head < (own.head + 1) * group; ++head) {
    const int64_t numbers = (own.batch * shape.heads + head) * shape.queries;
    const T *queries = at(q, shape.q, own.batch, 0, head);
    const int64_t begin = mask.firstQuery(own.last - kWarps * kRows);
    for (int64_t first = begin; first < shape.queries; first += kWarp) {
      const int64_t query = first + laneInWarp(), count = shape.queries - first;
      const bool exists = query < shape.queries;
      const float logSum = exists ? lse[numbers + query] * kLog2E : 0;
      const float offset = exists ? delta[numbers + query] : 0;
      float weights[kRows], changes[kRows];
      Tile::share(tile, queries, shape.q, first, shape.queries, shape.dim);
      Tile::multiply(weights, keys, tile, shape.dim);
      Tile::share(tile, at(dout, shape.dout, own.batch, 0, head), shape.dout, first, shape.queries,
                  shape.dim);
      Tile::multiply(changes, values, tile, shape.dim);
#pragma unroll
      for (int row = 0; row < kRows; ++row) {
        const bool isSeen = mask.sees(query, own.first + row);
        weights[row] = isSeen ? exp2(shape.scale * kLog2E * weights[row] - logSum) : 0.0f;
        changes[row] = isSeen ? weights[row] * shape.scale * (changes[row] - offset) : 0.0f;
      }
      Tile::add(valueSums, weights, exchanged, tile, count);
      Tile::share(tile, queries, shape.q, first, shape.queries, shape.dim);
      Tile::add(keySums, changes, exchanged, tile, count);
    }
  }
  Tile::write(at(dk, shape.dk, own.batch, 0, own.head), shape.dk, keySums, own.first, shape.keys,
              shape.dim);
  Tile::write(at(dv, shape.dv, own.batch, 0, own.head), shape.dv, valueSums, own.first, shape.keys,
              shape.dim);
}

} // namespace

#define TITAN_ATTENTION(dim, suffix, T)                                                            \
  TITAN_KERNEL void titan_attention_##dim##_##suffix(                                              \
      AttentionShape shape, const T *q, const T *k, const T *v, const int32_t *queryPositions,     \
      const int32_t *keyPositions, T *out, float *lse) {                                           \
    forward<dim>(shape, q, k, v, queryPositions, keyPositions, out, lse);                          \
  }                                                                                                \
  TITAN_KERNEL void titan_attention_query_grad_##dim##_##suffix(                                   \
      AttentionShape shape, const T *q, const T *k, const T *v, const int32_t *queryPositions,     \
      const int32_t *keyPositions, const float *lse, const float *delta, const T *dout, T *dq) {   \
    queryGrad<dim>(shape, q, k, v, queryPositions, keyPositions, lse, delta, dout, dq);            \
  }                                                                                                \
  TITAN_KERNEL void titan_attention_key_grad_##dim##_##suffix(                                     \
      AttentionShape shape, const T *q, const T *k, const T *v, const int32_t *queryPositions,     \
      const int32_t *keyPositions, const float *lse, const float *delta, const T *dout, T *dk,     \
      T *dv) {                                                                                     \
    keyGrad<dim>(shape, q, k, v, queryPositions, keyPositions, lse, delta, dout, dk, dv);          \
  }

#define TITAN_ATTENTION_OF(suffix, T)                                                              \
  TITAN_ATTENTION(64, suffix, T)                                                                   \
  TITAN_ATTENTION(128, suffix, T)                                                                  \
  TITAN_ATTENTION(256, suffix, T)                                                                  \
  TITAN_KERNEL void titan_attention_prepare_##suffix(AttentionShape shape, const T *out,           \
                                                     const T *dout, float *delta) {                \
    prepare(shape, out, dout, delta);                                                              \
  }

TITAN_ATTENTION_OF(f32, float)
TITAN_ATTENTION_OF(bf16, BFloat16)
