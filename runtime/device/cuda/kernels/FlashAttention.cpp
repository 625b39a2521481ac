// Attention on tensor cores: bfloat16, heads of 16, 32, 64, 96 and 128, without positions. After
// FlashAttention-2 (Dao, 2023, arXiv:2307.08691), with three kernels whose blocks share nothing: no
// atomics, so bits do not depend on scheduling.
//
// A warp has 16 rows of the result. Products are mma.m16n8k16: lane 4 g + t holds of a 16 x 8
// accumulator the elements (g, 2 t), (g, 2 t + 1), (g + 8, 2 t) and (g + 8, 2 t + 1), and two
// neighboring accumulators, rounded, are the left operand of the next product. Tiles in shared
// memory have rows that are 8 elements longer than the head, so that neither 32-bit loads of
// operands nor ldmatrix meets a bank twice.
#include "runtime/device/cuda/kernels/Gpu.h"
#include "runtime/device/cuda/kernels/Parameters.h"

using namespace titan::gpu;

namespace {

constexpr int kTileRows = 16; ///< of a warp
constexpr int kPadding = 8;

using SharedHalf = __attribute__((address_space(3))) uint16_t;
using SharedWord = __attribute__((address_space(3))) uint32_t;
struct alignas(16) Vector {
  uint32_t words[4];
};
using SharedVector = __attribute__((address_space(3))) Vector;

/// An accumulator of 16 x 8 elements.
struct Accumulator {
  float at[4];
};
/// A left operand of 16 x 16 elements.
struct Left {
  uint32_t at[4];
};

TITAN_DEVICE int group() { return threadInBlock() % kWarp / 4; }
TITAN_DEVICE int pair() { return 2 * (threadInBlock() % 4); }
TITAN_DEVICE int warp() { return threadInBlock() / kWarp; }

TITAN_DEVICE void multiply(Accumulator &c, const Left &a, uint32_t b0, uint32_t b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, "
               "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(c.at[0]), "+f"(c.at[1]), "+f"(c.at[2]), "+f"(c.at[3])
               : "r"(a.at[0]), "r"(a.at[1]), "r"(a.at[2]), "r"(a.at[3]), "r"(b0), "r"(b1));
}

/// Two floats, rounded, in the order of memory.
TITAN_DEVICE uint32_t pack(float low, float high) {
  uint32_t result;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
  return result;
}

TITAN_DEVICE Left asLeft(const Accumulator &first, const Accumulator &second) {
  return {{pack(first.at[0], first.at[1]), pack(first.at[2], first.at[3]),
           pack(second.at[0], second.at[1]), pack(second.at[2], second.at[3])}};
}

/// A tile of `Rows` rows of the head in shared memory.
template <int Dim> struct Tile {
  static constexpr int kStride = Dim + kPadding;
  SharedHalf *data;

  /// Copies rows [first, first + rows) of a tensor whose rows are `stride` apart; those from `end`
  /// on become zeros.
  TITAN_DEVICE void copy(Tile to, int rows, const BFloat16 *from, int64_t stride, int64_t first,
                         int64_t end) {
    constexpr int perRow = Dim / 8;
    for (int i = threadInBlock(); i < rows * perRow; i += blockSize()) {
      const int row = i / perRow, column = i % perRow * 8;
      Vector value{};
      if (first + row < end)
        value = *reinterpret_cast<const Vector *>(from + (first + row) * stride + column);
      auto *place = reinterpret_cast<SharedVector *>(to.data + row * kStride + column);
#pragma unroll
      for (int word = 0; word < 4; ++word)
        place->words[word] = value.words[word];
    }
  }

  __attribute__((always_inline)) uint32_t word(int row, int column) const {
    return *reinterpret_cast<const SharedWord *>(data + row * kStride + column);
  }
  /// Rows [row, row + 16) and columns [column, column + 16).
  __attribute__((always_inline)) Left left(int row, int column) const {
    return {{word(row + group(), column + pair()), word(row + group() + 8, column + pair()),
             word(row + group(), column + pair() + 8),
             word(row + group() + 8, column + pair() + 8)}};
  }
  /// The right operand (k, n) = element (row + n, column + k): the tile is transposed.
  __attribute__((always_inline)) void multiplyTransposed(Accumulator &c, const Left &a, int row,
                                                         int column) const {
    multiply(c, a, word(row + group(), column + pair()), word(row + group(), column + pair() + 8));
  }
  /// The right operands (k, n) = element (row + k, column + n) of two neighboring products.
  __attribute__((always_inline)) void multiplyPair(Accumulator &c0, Accumulator &c1, const Left &a,
                                                   int row, int column) const {
    const int lane = threadInBlock() % kWarp;
    const SharedHalf *address = data + (row + lane % 16) * kStride + column + (lane / 16) * 8;
    uint32_t b[4];
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3])
                 : "r"(static_cast<uint32_t>(reinterpret_cast<unsigned long>(address)))
                 : "memory");
    multiply(c0, a, b[0], b[1]);
    multiply(c1, a, b[2], b[3]);
  }
};

/// Rows [row, row + 16) of global memory as left operands, zeros from `end` on.
template <int Dim> struct Rows {
  Left parts[Dim / 16];

  TITAN_DEVICE Rows load(const BFloat16 *from, int64_t stride, int64_t row, int64_t end) {
    Rows result;
    auto word = [&](int64_t at, int column) -> uint32_t {
      return at < end ? *reinterpret_cast<const uint32_t *>(from + at * stride + column) : 0;
    };
#pragma unroll
    for (int i = 0; i < Dim / 16; ++i) {
      const int column = 16 * i + pair();
      const int64_t low = row + group(), high = low + 8;
      result.parts[i] = {
          {word(low, column), word(high, column), word(low, column + 8), word(high, column + 8)}};
    }
    return result;
  }
};

TITAN_DEVICE const BFloat16 *head(const BFloat16 *data, const AttentionStrides &strides,
                                  int64_t batch, int64_t number) {
  return data + batch * strides.batch + number * strides.head;
}
TITAN_DEVICE BFloat16 *head(BFloat16 *data, const AttentionStrides &strides, int64_t batch,
                            int64_t number) {
  return data + batch * strides.batch + number * strides.head;
}

/// A warp's rows of a result, times `scale` each.
template <int Dim>
TITAN_DEVICE void storeRows(BFloat16 *to, int64_t stride, int64_t row, int64_t end,
                            const Accumulator (&sums)[Dim / 8], float lowScale, float highScale) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int64_t at = row + group() + 8 * half;
    if (at >= end)
      continue;
    const float scale = half ? highScale : lowScale;
#pragma unroll
    for (int i = 0; i < Dim / 8; ++i)
      *reinterpret_cast<uint32_t *>(to + at * stride + 8 * i + pair()) =
          pack(sums[i].at[2 * half] * scale, sums[i].at[2 * half + 1] * scale);
  }
}

// The four lanes that share a row.
TITAN_DEVICE float rowMax(float value) {
  value = maximum(value, flipLane(value, 1));
  return maximum(value, flipLane(value, 2));
}
TITAN_DEVICE float rowSum(float value) {
  value += flipLane(value, 1);
  return value + flipLane(value, 2);
}

constexpr int kQueryWarps = 4; ///< of a block that has queries

/// The queries of a warp. Blocks take the long rows of a causal mask first.
struct QueryRows {
  int64_t batch, head, kvHead;
  int64_t row;      ///< the first of kTileRows
  int64_t keysSeen; ///< of the block: the others are masked for all of its queries

  TITAN_DEVICE QueryRows of(const AttentionShape &shape) {
    const int64_t batch = blockY() / shape.heads, head = blockY() % shape.heads;
    const int64_t first = (blocksX() - 1 - blockX()) * kQueryWarps * kTileRows;
    const int64_t end = first + kQueryWarps * kTileRows;
    return {batch, head, head / (shape.heads / shape.kvHeads), first + warp() * kTileRows,
            shape.causal && end < shape.keys ? end : shape.keys};
  }
};

/// Whether a query that a lane has in an accumulator sees a key: element `i` of the accumulator
/// whose first column is key `column`, in the rows from `row` on.
TITAN_DEVICE bool isSeen(const AttentionShape &shape, int64_t row, int64_t column, int i) {
  const int64_t key = column + pair() + i % 2;
  return key < shape.keys && (!shape.causal || key <= row + group() + 8 * (i / 2));
}

template <int Dim>
TITAN_DEVICE void forward(const AttentionShape &shape, const BFloat16 *q, const BFloat16 *k,
                          const BFloat16 *v, BFloat16 *out, float *lse) {
  constexpr int kKeys = 64;
  TITAN_SHARED uint16_t keyData[kKeys * Tile<Dim>::kStride] __attribute__((aligned(16)));
  TITAN_SHARED uint16_t valueData[kKeys * Tile<Dim>::kStride] __attribute__((aligned(16)));
  const Tile<Dim> keys{keyData}, values{valueData};
  const QueryRows own = QueryRows::of(shape);
  const int64_t batch = own.batch, number = own.head, kvHead = own.kvHead, row = own.row;
  const auto query =
      Rows<Dim>::load(head(q, shape.q, batch, number), shape.q.sequence, row, shape.queries);
  Accumulator sums[Dim / 8] = {};
  float best[2] = {-kInfinity, -kInfinity}, total[2] = {};
  for (int64_t first = 0; first < own.keysSeen; first += kKeys) {
    barrier();
    Tile<Dim>::copy(keys, kKeys, head(k, shape.k, batch, kvHead), shape.k.sequence, first,
                    shape.keys);
    Tile<Dim>::copy(values, kKeys, head(v, shape.v, batch, kvHead), shape.v.sequence, first,
                    shape.keys);
    barrier();
    Accumulator scores[kKeys / 8] = {};
#pragma unroll
    for (int i = 0; i < Dim / 16; ++i)
#pragma unroll
      for (int j = 0; j < kKeys / 8; ++j)
        keys.multiplyTransposed(scores[j], query.parts[i], 8 * j, 16 * i);
    float highest[2] = {best[0], best[1]};
#pragma unroll
    for (int j = 0; j < kKeys / 8; ++j)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        float &score = scores[j].at[i];
        score = isSeen(shape, row, first + 8 * j, i) ? score * (shape.scale * kLog2E) : -kInfinity;
        highest[i / 2] = maximum(highest[i / 2], score);
      }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      highest[half] = rowMax(highest[half]);
      // A row that sees nothing yet: no difference of infinities.
      const float base = highest[half] == -kInfinity ? 0.0f : highest[half];
      const float rescale = exp2(best[half] - base);
      best[half] = highest[half];
      total[half] *= rescale;
#pragma unroll
      for (Accumulator &sum : sums) {
        sum.at[2 * half] *= rescale;
        sum.at[2 * half + 1] *= rescale;
      }
#pragma unroll
      for (Accumulator &score : scores)
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; ++i) {
          score.at[i] = exp2(score.at[i] - base);
          total[half] += score.at[i];
        }
    }
#pragma unroll
    for (int j = 0; j < kKeys / 16; ++j) {
      const Left weights = asLeft(scores[2 * j], scores[2 * j + 1]);
#pragma unroll
      for (int i = 0; i < Dim / 16; ++i)
        values.multiplyPair(sums[2 * i], sums[2 * i + 1], weights, 16 * j, 16 * i);
    }
  }
#pragma unroll
  for (float &it : total)
    it = rowSum(it);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int64_t at = row + group() + 8 * half;
    if (pair() == 0 && at < shape.queries)
      lse[(batch * shape.heads + number) * shape.queries + at] =
          total[half] != 0 ? (best[half] + log2(total[half])) * kLn2 : -kInfinity;
  }
  storeRows<Dim>(head(out, shape.out, batch, number), shape.out.sequence, row, shape.queries, sums,
                 total[0] != 0 ? 1 / total[0] : 0, total[1] != 0 ? 1 / total[1] : 0);
}

template <int Dim>
TITAN_DEVICE void queryGrad(const AttentionShape &shape, const BFloat16 *q, const BFloat16 *k,
                            const BFloat16 *v, const float *lse, const float *delta,
                            const BFloat16 *dout, BFloat16 *dq) {
  constexpr int kKeys = 32;
  TITAN_SHARED uint16_t keyData[kKeys * Tile<Dim>::kStride] __attribute__((aligned(16)));
  TITAN_SHARED uint16_t valueData[kKeys * Tile<Dim>::kStride] __attribute__((aligned(16)));
  const Tile<Dim> keys{keyData}, values{valueData};
  const QueryRows own = QueryRows::of(shape);
  const int64_t batch = own.batch, number = own.head, kvHead = own.kvHead, row = own.row;
  const auto query =
      Rows<Dim>::load(head(q, shape.q, batch, number), shape.q.sequence, row, shape.queries);
  const auto grad = Rows<Dim>::load(head(dout, shape.dout, batch, number), shape.dout.sequence, row,
                                    shape.queries);
  float logSum[2] = {}, offset[2] = {};
#pragma unroll
  for (int half = 0; half < 2; ++half)
    if (const int64_t at = row + group() + 8 * half; at < shape.queries) {
      const int64_t place = (batch * shape.heads + number) * shape.queries + at;
      logSum[half] = lse[place] * kLog2E;
      offset[half] = delta[place];
    }
  Accumulator sums[Dim / 8] = {};
  for (int64_t first = 0; first < own.keysSeen; first += kKeys) {
    barrier();
    Tile<Dim>::copy(keys, kKeys, head(k, shape.k, batch, kvHead), shape.k.sequence, first,
                    shape.keys);
    Tile<Dim>::copy(values, kKeys, head(v, shape.v, batch, kvHead), shape.v.sequence, first,
                    shape.keys);
    barrier();
    Accumulator scores[kKeys / 8] = {}, changes[kKeys / 8] = {};
#pragma unroll
    for (int i = 0; i < Dim / 16; ++i)
#pragma unroll
      for (int j = 0; j < kKeys / 8; ++j) {
        keys.multiplyTransposed(scores[j], query.parts[i], 8 * j, 16 * i);
        values.multiplyTransposed(changes[j], grad.parts[i], 8 * j, 16 * i);
      }
#pragma unroll
    for (int j = 0; j < kKeys / 8; ++j)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float weight = exp2(scores[j].at[i] * (shape.scale * kLog2E) - logSum[i / 2]);
        changes[j].at[i] = isSeen(shape, row, first + 8 * j, i)
                               ? weight * shape.scale * (changes[j].at[i] - offset[i / 2])
                               : 0.0f;
      }
#pragma unroll
    for (int j = 0; j < kKeys / 16; ++j) {
      const Left left = asLeft(changes[2 * j], changes[2 * j + 1]);
#pragma unroll
      for (int i = 0; i < Dim / 16; ++i)
        keys.multiplyPair(sums[2 * i], sums[2 * i + 1], left, 16 * j, 16 * i);
    }
  }
  storeRows<Dim>(head(dq, shape.dq, batch, number), shape.dq.sequence, row, shape.queries, sums, 1,
                 1);
}

/// Of a block's keys, over all heads that share them and all queries: scores are transposed, a row
/// is a key.
template <int Dim>
TITAN_DEVICE void keyGrad(const AttentionShape &shape, const BFloat16 *q, const BFloat16 *k,
                          const BFloat16 *v, const float *lse, const float *delta,
                          const BFloat16 *dout, BFloat16 *dk, BFloat16 *dv) {
  // Two warps; of wide heads fewer queries at once, for want of registers.
  constexpr int kKeys = 2 * kTileRows, kQueries = Dim > 64 ? 16 : 32;
  TITAN_SHARED uint16_t keyData[kKeys * Tile<Dim>::kStride] __attribute__((aligned(16)));
  TITAN_SHARED uint16_t valueData[kKeys * Tile<Dim>::kStride] __attribute__((aligned(16)));
  TITAN_SHARED uint16_t queryData[kQueries * Tile<Dim>::kStride] __attribute__((aligned(16)));
  TITAN_SHARED uint16_t gradData[kQueries * Tile<Dim>::kStride] __attribute__((aligned(16)));
  const Tile<Dim> keys{keyData}, values{valueData}, queries{queryData}, grads{gradData};
  const int64_t batch = blockY() / shape.kvHeads, kvHead = blockY() % shape.kvHeads;
  const int64_t perKey = shape.heads / shape.kvHeads;
  const int64_t blockRow = blockX() * kKeys;
  const int own = warp() * kTileRows;
  Tile<Dim>::copy(keys, kKeys, head(k, shape.k, batch, kvHead), shape.k.sequence, blockRow,
                  shape.keys);
  Tile<Dim>::copy(values, kKeys, head(v, shape.v, batch, kvHead), shape.v.sequence, blockRow,
                  shape.keys);
  Accumulator keySums[Dim / 8] = {}, valueSums[Dim / 8] = {};
  for (int64_t number = kvHead * perKey; number < (kvHead + 1) * perKey; ++number) {
    const int64_t rows = (batch * shape.heads + number) * shape.queries;
    for (int64_t first = shape.causal ? blockRow : 0; first < shape.queries; first += kQueries) {
      barrier();
      Tile<Dim>::copy(queries, kQueries, head(q, shape.q, batch, number), shape.q.sequence, first,
                      shape.queries);
      Tile<Dim>::copy(grads, kQueries, head(dout, shape.dout, batch, number), shape.dout.sequence,
                      first, shape.queries);
      barrier();
      Accumulator weights[kQueries / 8] = {}, changes[kQueries / 8] = {};
#pragma unroll
      for (int i = 0; i < Dim / 16; ++i) {
        const Left key = keys.left(own, 16 * i), value = values.left(own, 16 * i);
#pragma unroll
        for (int j = 0; j < kQueries / 8; ++j) {
          queries.multiplyTransposed(weights[j], key, 8 * j, 16 * i);
          grads.multiplyTransposed(changes[j], value, 8 * j, 16 * i);
        }
      }
#pragma unroll
      for (int j = 0; j < kQueries / 8; ++j)
#pragma unroll
        for (int column = 0; column < 2; ++column) {
          const int64_t query = first + 8 * j + pair() + column;
          const bool exists = query < shape.queries;
          const float logSum = exists ? lse[rows + query] * kLog2E : 0;
          const float offset = exists ? delta[rows + query] : 0;
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            const int64_t key = blockRow + own + group() + 8 * half;
            float &weight = weights[j].at[2 * half + column];
            float &change = changes[j].at[2 * half + column];
            const bool isSeen = exists && (!shape.causal || key <= query);
            weight = isSeen ? exp2(weight * (shape.scale * kLog2E) - logSum) : 0.0f;
            change = isSeen ? weight * shape.scale * (change - offset) : 0.0f;
          }
        }
#pragma unroll
      for (int j = 0; j < kQueries / 16; ++j) {
        const Left weight = asLeft(weights[2 * j], weights[2 * j + 1]);
        const Left change = asLeft(changes[2 * j], changes[2 * j + 1]);
#pragma unroll
        for (int i = 0; i < Dim / 16; ++i) {
          grads.multiplyPair(valueSums[2 * i], valueSums[2 * i + 1], weight, 16 * j, 16 * i);
          queries.multiplyPair(keySums[2 * i], keySums[2 * i + 1], change, 16 * j, 16 * i);
        }
      }
    }
  }
  const int64_t row = blockRow + own;
  storeRows<Dim>(head(dk, shape.dk, batch, kvHead), shape.dk.sequence, row, shape.keys, keySums, 1,
                 1);
  storeRows<Dim>(head(dv, shape.dv, batch, kvHead), shape.dv.sequence, row, shape.keys, valueSums,
                 1, 1);
}

} // namespace

// The parameters of the kernels without tensor cores; positions are null.
#define TITAN_FLASH(dim)                                                                           \
  TITAN_KERNEL void titan_flash_##dim(AttentionShape shape, const BFloat16 *q, const BFloat16 *k,  \
                                      const BFloat16 *v, const int32_t *, const int32_t *,         \
                                      BFloat16 *out, float *lse) {                                 \
    forward<dim>(shape, q, k, v, out, lse);                                                        \
  }                                                                                                \
  TITAN_KERNEL void titan_flash_query_grad_##dim(                                                  \
      AttentionShape shape, const BFloat16 *q, const BFloat16 *k, const BFloat16 *v,               \
      const int32_t *, const int32_t *, const float *lse, const float *delta,                      \
      const BFloat16 *dout, BFloat16 *dq) {                                                        \
    queryGrad<dim>(shape, q, k, v, lse, delta, dout, dq);                                          \
  }                                                                                                \
  TITAN_KERNEL void titan_flash_key_grad_##dim(                                                    \
      AttentionShape shape, const BFloat16 *q, const BFloat16 *k, const BFloat16 *v,               \
      const int32_t *, const int32_t *, const float *lse, const float *delta,                      \
      const BFloat16 *dout, BFloat16 *dk, BFloat16 *dv) {                                          \
    keyGrad<dim>(shape, q, k, v, lse, delta, dout, dk, dv);                                        \
  }

TITAN_FLASH(16)
TITAN_FLASH(32)
TITAN_FLASH(64)
TITAN_FLASH(96)
TITAN_FLASH(128)
