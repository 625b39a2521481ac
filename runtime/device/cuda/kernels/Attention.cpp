// Attention in float32 arithmetic, for every head dimension up to 256, positions, and both element
// types: correct everywhere, fast nowhere. No matrix of scores exists; sums go in a fixed order.
//
// A warp has one row of the result: a query (forward, dQ) or a key (dK, dV). Its lanes take 32 of
// the other side at a time, each computing a dot product over the head; then they turn over, and
// each has the columns lane, lane + 32, ... of the row.
#include "runtime/device/cuda/kernels/Gpu.h"
#include "runtime/device/cuda/kernels/Parameters.h"

using namespace titan::gpu;

namespace {

constexpr int kWarps = 4; ///< of a block
constexpr int kColumns = kMaxHeadDim / kWarp;

/// Rows of the warps of a block, as float32.
TITAN_SHARED float shared[3 * kWarps * kMaxHeadDim];

/// The row that a warp has, and where: batch, head and place in the sequence.
struct Row {
  int64_t batch, head, place;
  bool exists;
};

/// Blocks along x go over the sequence, those along y over batches and heads.
TITAN_DEVICE Row ownRow(int64_t length, int64_t heads) {
  const int64_t place = blockX() * kWarps + threadInBlock() / kWarp;
  return {blockY() / heads, blockY() % heads, place, place < length};
}

template <typename T>
TITAN_DEVICE T *at(T *data, const AttentionStrides &strides, int64_t batch, int64_t place,
                   int64_t head) {
  return data + batch * strides.batch + place * strides.sequence + head * strides.head;
}

/// Copies a row into shared memory; what lies behind it there counts from `slot`.
template <typename T>
TITAN_DEVICE __attribute__((address_space(3))) float *share(int slot, const T *row, int64_t dim) {
  const int warp = threadInBlock() / kWarp, lane = threadInBlock() % kWarp;
  __attribute__((address_space(3))) float *to = shared + (slot * kWarps + warp) * kMaxHeadDim;
  for (int64_t i = lane; i < dim; i += kWarp)
    to[i] = load(row + i);
  __nvvm_bar_warp_sync(0xffffffff);
  return to;
}

template <typename T>
TITAN_DEVICE float dot(const __attribute__((address_space(3))) float *a, const T *b, int64_t dim) {
  float sum = 0;
  for (int64_t i = 0; i < dim; ++i)
    sum += a[i] * load(b + i);
  return sum;
}

/// Adds `factor` times a row to the lane's columns of a row of the result.
template <typename T>
TITAN_DEVICE void addRow(float (&sums)[kColumns], float factor, const T *row, int64_t dim) {
  const int lane = threadInBlock() % kWarp;
  for (int c = 0; c < kColumns; ++c)
    if (lane + c * kWarp < dim)
      sums[c] += factor * load(row + lane + c * kWarp);
}

template <typename T>
TITAN_DEVICE void storeRow(T *to, const float (&sums)[kColumns], int64_t dim) {
  const int lane = threadInBlock() % kWarp;
  for (int c = 0; c < kColumns; ++c)
    if (lane + c * kWarp < dim)
      store(to + lane + c * kWarp, sums[c]);
}

/// Whether a query sees a key.
struct Mask {
  const int32_t *queryPositions, *keyPositions; ///< of one batch; null: the places
  int causal;

  TITAN_DEVICE Mask of(const AttentionShape &shape, const int32_t *queries, const int32_t *keys,
                       int64_t batch) {
    return {queries ? queries + batch * shape.queries : nullptr,
            keys ? keys + batch * shape.keys : nullptr, shape.causal};
  }
  __attribute__((always_inline)) bool sees(int64_t query, int64_t key) const {
    if (!causal)
      return true;
    const int64_t at = queryPositions ? queryPositions[query] : query;
    return (keyPositions ? keyPositions[key] : key) <= at;
  }
  /// One behind the last key that query `query` may see, and the first query that may see `key`.
  __attribute__((always_inline)) int64_t endOfKeys(int64_t query, int64_t keys) const {
    return causal && !keyPositions && query + 1 < keys ? query + 1 : keys;
  }
  __attribute__((always_inline)) int64_t firstQuery(int64_t key) const {
    return causal && !queryPositions ? key / kWarp * kWarp : 0;
  }
};

template <typename T>
TITAN_DEVICE void forward(const AttentionShape &shape, const T *q, const T *k, const T *v,
                          const int32_t *queryPositions, const int32_t *keyPositions, T *out,
                          float *lse) {
  const Row row = ownRow(shape.queries, shape.heads);
  if (!row.exists)
    return;
  const int lane = threadInBlock() % kWarp;
  const Mask mask = Mask::of(shape, queryPositions, keyPositions, row.batch);
  const int64_t kvHead = row.head / (shape.heads / shape.kvHeads);
  const auto *query = share(0, at(q, shape.q, row.batch, row.place, row.head), shape.dim);
  float sums[kColumns] = {}, best = -kInfinity, total = 0;
  const int64_t end = mask.endOfKeys(row.place, shape.keys);
  for (int64_t first = 0; first < end; first += kWarp) {
    const int64_t key = first + lane;
    float score = -kInfinity;
    if (key < end && mask.sees(row.place, key))
      score = shape.scale * kLog2E * dot(query, at(k, shape.k, row.batch, key, kvHead), shape.dim);
    const float highest = maximum(best, warpMax(score));
    if (highest == -kInfinity)
      continue;
    const float rescale = exp2(best - highest), weight = exp2(score - highest);
    best = highest;
    total = total * rescale + warpSum(weight);
    for (float &sum : sums)
      sum *= rescale;
    for (int j = 0; j < kWarp && first + j < end; ++j)
      addRow(sums, fromLane(weight, j), at(v, shape.v, row.batch, first + j, kvHead), shape.dim);
  }
  for (float &sum : sums)
    sum = total != 0 ? sum / total : 0.0f;
  storeRow(at(out, shape.out, row.batch, row.place, row.head), sums, shape.dim);
  if (lane == 0)
    lse[(row.batch * shape.heads + row.head) * shape.queries + row.place] =
        total != 0 ? (best + log2(total)) * kLn2 : -kInfinity;
}

/// sum of out * dout of each query: what the gradient of its softmax subtracts.
template <typename T>
TITAN_DEVICE void prepare(const AttentionShape &shape, const T *out, const T *dout, float *delta) {
  const Row row = ownRow(shape.queries, shape.heads);
  if (!row.exists)
    return;
  const int lane = threadInBlock() % kWarp;
  const T *a = at(out, shape.out, row.batch, row.place, row.head);
  const T *b = at(dout, shape.dout, row.batch, row.place, row.head);
  float sum = 0;
  for (int64_t i = lane; i < shape.dim; i += kWarp)
    sum += load(a + i) * load(b + i);
  sum = warpSum(sum);
  if (lane == 0)
    delta[(row.batch * shape.heads + row.head) * shape.queries + row.place] = sum;
}

template <typename T>
TITAN_DEVICE void queryGrad(const AttentionShape &shape, const T *q, const T *k, const T *v,
                            const int32_t *queryPositions, const int32_t *keyPositions,
                            const float *lse, const float *delta, const T *dout, T *dq) {
  const Row row = ownRow(shape.queries, shape.heads);
  if (!row.exists)
    return;
  const int lane = threadInBlock() % kWarp;
  const Mask mask = Mask::of(shape, queryPositions, keyPositions, row.batch);
  const int64_t kvHead = row.head / (shape.heads / shape.kvHeads);
  const auto *query = share(0, at(q, shape.q, row.batch, row.place, row.head), shape.dim);
  const auto *grad = share(1, at(dout, shape.dout, row.batch, row.place, row.head), shape.dim);
  const int64_t number = (row.batch * shape.heads + row.head) * shape.queries + row.place;
  const float logSum = lse[number] * kLog2E, offset = delta[number];
  float sums[kColumns] = {};
  const int64_t end = mask.endOfKeys(row.place, shape.keys);
  for (int64_t first = 0; first < end; first += kWarp) {
    const int64_t key = first + lane;
    float change = 0;
    if (key < end && mask.sees(row.place, key)) {
      const float score =
          shape.scale * kLog2E * dot(query, at(k, shape.k, row.batch, key, kvHead), shape.dim);
      change = exp2(score - logSum) * shape.scale *
               (dot(grad, at(v, shape.v, row.batch, key, kvHead), shape.dim) - offset);
    }
    for (int j = 0; j < kWarp && first + j < end; ++j)
      addRow(sums, fromLane(change, j), at(k, shape.k, row.batch, first + j, kvHead), shape.dim);
  }
  storeRow(at(dq, shape.dq, row.batch, row.place, row.head), sums, shape.dim);
}

/// A key's row of dK and dV: over all heads that share it, and all queries.
template <typename T>
TITAN_DEVICE void keyGrad(const AttentionShape &shape, const T *q, const T *k, const T *v,
                          const int32_t *queryPositions, const int32_t *keyPositions,
                          const float *lse, const float *delta, const T *dout, T *dk, T *dv) {
  const Row row = ownRow(shape.keys, shape.kvHeads);
  if (!row.exists)
    return;
  const int lane = threadInBlock() % kWarp;
  const Mask mask = Mask::of(shape, queryPositions, keyPositions, row.batch);
  const int64_t group = shape.heads / shape.kvHeads;
  const auto *key = share(0, at(k, shape.k, row.batch, row.place, row.head), shape.dim);
  const auto *value = share(1, at(v, shape.v, row.batch, row.place, row.head), shape.dim);
  float keySums[kColumns] = {}, valueSums[kColumns] = {};
  for (int64_t head = row.head * group; head < (row.head + 1) * group; ++head) {
    const int64_t rows = (row.batch * shape.heads + head) * shape.queries;
    for (int64_t first = mask.firstQuery(row.place); first < shape.queries; first += kWarp) {
      const int64_t query = first + lane;
      float weight = 0, change = 0;
      if (query < shape.queries && mask.sees(query, row.place)) {
        const float score =
            shape.scale * kLog2E * dot(key, at(q, shape.q, row.batch, query, head), shape.dim);
        weight = exp2(score - lse[rows + query] * kLog2E);
        change = weight * shape.scale *
                 (dot(value, at(dout, shape.dout, row.batch, query, head), shape.dim) -
                  delta[rows + query]);
      }
      for (int j = 0; j < kWarp && first + j < shape.queries; ++j) {
        addRow(keySums, fromLane(change, j), at(q, shape.q, row.batch, first + j, head), shape.dim);
        addRow(valueSums, fromLane(weight, j), at(dout, shape.dout, row.batch, first + j, head),
               shape.dim);
      }
    }
  }
  storeRow(at(dk, shape.dk, row.batch, row.place, row.head), keySums, shape.dim);
  storeRow(at(dv, shape.dv, row.batch, row.place, row.head), valueSums, shape.dim);
}

} // namespace

#define TITAN_ATTENTION(suffix, T)                                                                 \
  TITAN_KERNEL void titan_attention_##suffix(AttentionShape shape, const T *q, const T *k,         \
                                             const T *v, const int32_t *queryPositions,            \
                                             const int32_t *keyPositions, T *out, float *lse) {    \
    forward(shape, q, k, v, queryPositions, keyPositions, out, lse);                               \
  }                                                                                                \
  TITAN_KERNEL void titan_attention_prepare_##suffix(AttentionShape shape, const T *out,           \
                                                     const T *dout, float *delta) {                \
    prepare(shape, out, dout, delta);                                                              \
  }                                                                                                \
  TITAN_KERNEL void titan_attention_query_grad_##suffix(                                           \
      AttentionShape shape, const T *q, const T *k, const T *v, const int32_t *queryPositions,     \
      const int32_t *keyPositions, const float *lse, const float *delta, const T *dout, T *dq) {   \
    queryGrad(shape, q, k, v, queryPositions, keyPositions, lse, delta, dout, dq);                 \
  }                                                                                                \
  TITAN_KERNEL void titan_attention_key_grad_##suffix(                                             \
      AttentionShape shape, const T *q, const T *k, const T *v, const int32_t *queryPositions,     \
      const int32_t *keyPositions, const float *lse, const float *delta, const T *dout, T *dk,     \
      T *dv) {                                                                                     \
    keyGrad(shape, q, k, v, queryPositions, keyPositions, lse, delta, dout, dk, dv);               \
  }

TITAN_ATTENTION(f32, float)
TITAN_ATTENTION(bf16, BFloat16)
