// Strided fill and copy, the search for what is not finite, embeddings.
#include "runtime/device/cuda/kernels/Gpu.h"
#include "runtime/device/cuda/kernels/Parameters.h"

using namespace titan::gpu;

namespace {

/// Where element `index` of a view is.
TITAN_DEVICE int64_t offsetOf(const StridedShape &shape, const long *strides, int64_t index) {
  int64_t offset = 0;
  for (int i = shape.rank - 1; i >= 0; --i) {
    offset += index % shape.shape[i] * strides[i];
    index /= shape.shape[i];
  }
  return offset;
}

template <typename T>
TITAN_DEVICE void fill(const StridedShape &shape, T *to, unsigned long pattern) {
  for (int64_t i = threadInGrid(); i < shape.count; i += threadsInGrid())
    to[offsetOf(shape, shape.to, i)] = static_cast<T>(pattern);
}

template <typename T> TITAN_DEVICE void copy(const StridedShape &shape, const T *from, T *to) {
  for (int64_t i = threadInGrid(); i < shape.count; i += threadsInGrid())
    to[offsetOf(shape, shape.to, i)] = from[offsetOf(shape, shape.from, i)];
}

/// Lowers the flag where an element has all bits of its exponent set. Threads may write it at
/// once: they write the same.
template <typename T>
TITAN_DEVICE void checkFinite(const StridedShape &shape, const T *from, float *flag, T exponent) {
  bool bad = false;
  for (int64_t i = threadInGrid(); i < shape.count; i += threadsInGrid())
    bad |= (from[offsetOf(shape, shape.from, i)] & exponent) == exponent;
  if (bad)
    *flag = 0;
}

template <typename T>
TITAN_DEVICE void embedding(const EmbeddingShape &shape, const int32_t *tokens, const T *table,
                            T *out, const int32_t *firstRow) {
  const int64_t token = blockX();
  const int64_t row = tokens[token] - static_cast<int64_t>(firstRow ? *firstRow : 0);
  const bool isHere = row >= 0 && row < shape.rows;
  for (int64_t i = threadInBlock(); i < shape.width; i += blockSize())
    out[token * shape.rowStride + i] = isHere ? table[row * shape.tableStride + i] : T{};
}

/// A bit per lane of the warp: whether `value` holds there.
TITAN_DEVICE uint32_t lanesWhere(bool value) {
  uint32_t lanes = static_cast<uint32_t>(value) << (threadInBlock() % kWarp);
  for (int mask = kWarp / 2; mask > 0; mask /= 2)
    lanes |= flipLane(lanes, mask);
  return lanes;
}

/// A block of 256 threads per token and 256 columns. The first place of a token gathers those of
/// all later ones, in their order: bits do not depend on how blocks are scheduled, and nobody needs
/// to sort. A token is rarely repeated soon, so the block looks for it in four times its threads'
/// number of places at once.
template <typename T>
TITAN_DEVICE void embeddingGrad(const EmbeddingShape &shape, const T *dout, const int32_t *tokens,
                                float *dtable, const int32_t *firstRow) {
  constexpr int kPlaces = 4, kWarps = 8;
  TITAN_SHARED int isRepeated;
  TITAN_SHARED uint32_t found[2][kPlaces * kWarps]; // a bit per place
  const int64_t own = blockX();
  const int32_t token = tokens[own];
  const int64_t row = token - static_cast<int64_t>(firstRow ? *firstRow : 0);
  if (row < 0 || row >= shape.rows)
    return;
  if (threadInBlock() == 0)
    isRepeated = 0;
  barrier();
  for (int64_t i = threadInBlock(); i < own; i += blockSize())
    if (tokens[i] == token)
      isRepeated = 1;
  barrier();
  if (isRepeated)
    return;
  const int64_t column = blockY() * blockSize() + threadInBlock();
  const bool isColumn = column < shape.width;
  float *sum = dtable + row * shape.tableStride + column;
  float total = isColumn ? *sum : 0;
  int turn = 0; // the other half is read by slower warps while this one is written
  for (int64_t first = own; first < shape.tokens; first += kPlaces * kWarps * kWarp, turn ^= 1) {
    bool isHere[kPlaces];
    for (int place = 0; place < kPlaces; ++place) {
      const int64_t next = first + place * kWarps * kWarp + threadInBlock();
      isHere[place] = next < shape.tokens && tokens[next] == token;
    }
    for (int place = 0; place < kPlaces; ++place) {
      const uint32_t lanes = lanesWhere(isHere[place]);
      if (threadInBlock() % kWarp == 0)
        found[turn][place * kWarps + threadInBlock() / kWarp] = lanes;
    }
    barrier();
    if (isColumn)
      for (int word = 0; word < kPlaces * kWarps; ++word)
        for (uint32_t lanes = found[turn][word], i = 0; i < kWarp && lanes >> i != 0; ++i)
          if (lanes >> i & 1)
            total += load(dout + (first + word * kWarp + i) * shape.rowStride + column);
  }
  if (isColumn)
    *sum = total;
}

/// Numbers between -1 and 1 that look random.
template <typename T> TITAN_DEVICE void fillRandom(T *to, int64_t count) {
  for (int64_t i = threadInGrid(); i < count; i += threadsInGrid()) {
    auto bits = static_cast<uint32_t>(i) * 2654435761u;
    bits = (bits ^ (bits >> 15)) * 2246822519u;
    store(to + i, static_cast<float>(static_cast<int32_t>(bits ^ (bits >> 13))) * 0x1p-31f);
  }
}

} // namespace

TITAN_KERNEL void titan_fill1(StridedShape shape, unsigned char *to, unsigned long pattern) {
  fill(shape, to, pattern);
}
TITAN_KERNEL void titan_fill2(StridedShape shape, uint16_t *to, unsigned long pattern) {
  fill(shape, to, pattern);
}
TITAN_KERNEL void titan_fill4(StridedShape shape, uint32_t *to, unsigned long pattern) {
  fill(shape, to, pattern);
}
TITAN_KERNEL void titan_fill8(StridedShape shape, unsigned long *to, unsigned long pattern) {
  fill(shape, to, pattern);
}

TITAN_KERNEL void titan_copy1(StridedShape shape, const unsigned char *from, unsigned char *to) {
  copy(shape, from, to);
}
TITAN_KERNEL void titan_copy2(StridedShape shape, const uint16_t *from, uint16_t *to) {
  copy(shape, from, to);
}
TITAN_KERNEL void titan_copy4(StridedShape shape, const uint32_t *from, uint32_t *to) {
  copy(shape, from, to);
}
TITAN_KERNEL void titan_copy8(StridedShape shape, const unsigned long *from, unsigned long *to) {
  copy(shape, from, to);
}

TITAN_KERNEL void titan_check_finite_f32(StridedShape shape, const uint32_t *from, float *flag) {
  checkFinite(shape, from, flag, 0x7f800000u);
}
TITAN_KERNEL void titan_check_finite_bf16(StridedShape shape, const uint16_t *from, float *flag) {
  checkFinite(shape, from, flag, static_cast<uint16_t>(0x7f80));
}

TITAN_KERNEL void titan_embedding_f32(EmbeddingShape shape, const int32_t *tokens,
                                      const float *table, float *out, const int32_t *firstRow) {
  embedding(shape, tokens, table, out, firstRow);
}
TITAN_KERNEL void titan_embedding_bf16(EmbeddingShape shape, const int32_t *tokens,
                                       const uint16_t *table, uint16_t *out,
                                       const int32_t *firstRow) {
  embedding(shape, tokens, table, out, firstRow);
}

TITAN_KERNEL void titan_embedding_grad_f32(EmbeddingShape shape, const float *dout,
                                           const int32_t *tokens, float *dtable,
                                           const int32_t *firstRow) {
  embeddingGrad(shape, dout, tokens, dtable, firstRow);
}
TITAN_KERNEL void titan_embedding_grad_bf16(EmbeddingShape shape, const BFloat16 *dout,
                                            const int32_t *tokens, float *dtable,
                                            const int32_t *firstRow) {
  embeddingGrad(shape, dout, tokens, dtable, firstRow);
}

TITAN_KERNEL void titan_random4(float *to, long count) { fillRandom(to, count); }
TITAN_KERNEL void titan_random2(BFloat16 *to, long count) { fillRandom(to, count); }

TITAN_KERNEL void titan_mark(int32_t *place, int32_t number) {
  if (threadInBlock() == 0)
    *place = number;
}
