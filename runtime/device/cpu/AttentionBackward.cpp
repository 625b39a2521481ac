// The gradient of attention. A task owns a chunk of the keys of one key head: it recomputes the
// weights block by block, keys outside, queries inside, and sums the gradients of its keys and
// values over all queries and heads in order. The queries' gradient is summed in a buffer of the
// task, and over the chunks, where there are several, by a second pass. How much is a chunk depends
// on the shape alone, and so do the results' bits.

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/device/cpu/AttentionBackward.cpp"
#define HWY_DISABLED_TARGETS (~(HWY_AVX2 | HWY_AVX3 | HWY_EMU128 | HWY_SCALAR))
#include <hwy/foreach_target.h>

#include "runtime/device/cpu/AttentionTile-inl.h"
#include "runtime/device/cpu/ThreadPool.h"

#include <limits>

HWY_BEFORE_NAMESPACE();
namespace titan::cpu::HWY_NAMESPACE {

namespace {

/// Queries and keys of a block: the weights and their gradient, and the rows of q, k, v and dout
/// that belong to them, share the second-level cache.
constexpr int64_t kQueryTile = HWY_TARGET == HWY_AVX3 ? 128 : 64;
constexpr int64_t kGroups = kQueryTile / kGroup;
static_assert(kQueryTile % kGroup == 0);
constexpr int64_t kKeyBlock = 16 * kPanel;
/// Distance between rows of the weights; no power of two, whose rows would share cache sets.
constexpr int64_t kWeightStride = kQueryTile + 16;
/// Tasks that a call has at least, where there are that many blocks of keys.
constexpr int64_t kLeastTasks = 16;

/// How the work is cut; a function of the shape alone.
struct Cut {
  int64_t queries;   ///< queryLength in whole tiles
  int64_t paddedDim; ///< headDim in whole vectors
  int64_t chunks;
  int64_t chunkKeys; ///< in whole blocks

  explicit Cut(const AttentionShape &shape)
      : queries(roundUp(shape.queryLength, kQueryTile)), paddedDim(roundUp(shape.headDim, kLanes)) {
    int64_t blocks = std::max<int64_t>(ceilDiv(shape.keyLength, kKeyBlock), 1);
    int64_t heads = std::max<int64_t>(shape.batch * shape.kvHeads, 1);
    int64_t wanted = std::min(ceilDiv(kLeastTasks, heads), blocks);
    chunkKeys = ceilDiv(blocks, wanted) * kKeyBlock;
    chunks = std::max<int64_t>(ceilDiv(shape.keyLength, chunkKeys), 1);
  }
};

/// Where a worker keeps one chunk of keys and one head of queries.
struct Scratch {
  float *keyPanels, *valuePanels; ///< [panel][dim][kPanel]: left operands of the scores
  float *keyRows;                 ///< [block][dim panel][key][rows]: left operand of dq
  float *kGrad, *vGrad;           ///< [key][paddedDim]
  float *queries, *outGrads;      ///< [group][dim][kGroup]: right operands of the scores
  float *queryRows,
      *outGradRows;            ///< [tile][column panel][query][columns]: right operands of dk, dv
  float *qGrad;                ///< [group][dim][kGroup]
  float *logSum, *delta;       ///< [query]; logSum to base 2
  float *weights, *scoreGrads; ///< [key][kWeightStride]
  Positions queryPositions, keyPositions;

  Scratch(Workspace &space, const AttentionShape &shape, const Cut &cut) {
    int64_t dim = shape.headDim, panels = cut.chunkKeys / kPanel;
    keyPanels = space.take<float>(panels * keyPanelStride(dim));
    valuePanels = space.take<float>(panels * keyPanelStride(dim));
    keyRows = space.take<float>(cut.chunkKeys * dim);
    kGrad = space.take<float>(cut.chunkKeys * cut.paddedDim);
    vGrad = space.take<float>(cut.chunkKeys * cut.paddedDim);
    queries = space.take<float>(cut.queries * dim);
    outGrads = space.take<float>(cut.queries * dim);
    queryRows = space.take<float>(cut.queries * cut.paddedDim);
    outGradRows = space.take<float>(cut.queries * cut.paddedDim);
    qGrad = space.take<float>(cut.chunks == 1 ? cut.queries * dim : 0);
    logSum = space.take<float>(cut.queries);
    delta = space.take<float>(cut.queries);
    weights = space.take<float>(kKeyBlock * kWeightStride);
    scoreGrads = space.take<float>(kKeyBlock * kWeightStride);
    queryPositions.values = space.take<int32_t>(cut.queries);
    queryPositions.ranges = space.take<PositionRange>(cut.queries / kGroup);
    keyPositions.values = space.take<int32_t>(cut.chunkKeys);
    keyPositions.ranges = space.take<PositionRange>(panels);
  }
};

/// One call.
struct Backward {
  const AttentionGradShape &gradShape;
  const AttentionShape &shape;
  const AttentionGradInputs &inputs;
  float *qGrad, *kGrad, *vGrad;
  Cut cut;
  float *qGradParts; ///< [batch][head][chunk][group][dim][kGroup], if there are several chunks
  int64_t scratchBytes;
  Workspace scratch; ///< scratchBytes per worker

  Backward(Workspace &space, const AttentionGradShape &gradShape, const AttentionGradInputs &inputs,
           float *qGrad, float *kGrad, float *vGrad, int threads)
      : gradShape(gradShape), shape(gradShape.forward), inputs(inputs), qGrad(qGrad), kGrad(kGrad),
        vGrad(vGrad), cut(shape) {
    qGradParts = space.take<float>(
        cut.chunks == 1 ? 0 : shape.batch * shape.heads * cut.chunks * cut.queries * shape.headDim);
    Workspace measured;
    Scratch measuredScratch(measured, shape, cut);
    scratchBytes = measured.usedBytes();
    scratch = space.takePart(scratchBytes * threads);
  }

  Scratch scratchOf(int worker) const {
    Workspace all = scratch;
    all.take<std::byte>(worker * scratchBytes);
    return Scratch(all, shape, cut);
  }
  float *qGradPart(int64_t batch, int64_t head, int64_t chunk) const {
    return qGradParts +
           ((batch * shape.heads + head) * cut.chunks + chunk) * cut.queries * shape.headDim;
  }
};

/// The keys [firstKey, firstKey + keys) of one key head.
struct Task {
  const Backward &call;
  int64_t batch, kvHead, chunk, firstKey, keys;
  Scratch scratch;
};

void packKeys(const Task &task) {
  const AttentionShape &shape = task.call.shape;
  const AttentionInputs &inputs = task.call.inputs.forward;
  const Scratch &scratch = task.scratch;
  int64_t dim = shape.headDim;
  auto keys = headRows(inputs.k, shape.k, task.batch, task.kvHead);
  auto values = headRows(inputs.v, shape.v, task.batch, task.kvHead);
  // Both forms of a block's rows are packed while it is in the cache.
  for (int64_t key = 0; key < task.keys; key += kKeyBlock) {
    int64_t row = task.firstKey + key, count = std::min(kKeyBlock, task.keys - key);
    int64_t panels = key / kPanel * keyPanelStride(dim);
    for (const auto &rows : {keys, values})
      prefetchRows(rows[row], rows.stride, count, dim);
    packRowPanels(keys[row], keys.stride, count, dim, scratch.keyPanels + panels,
                  keyPanelStride(dim));
    packColumnPanels(keys[row], keys.stride, dim, count, scratch.keyRows + key * dim,
                     kTileRows * count);
    packRowPanels(values[row], values.stride, count, dim, scratch.valuePanels + panels,
                  keyPanelStride(dim));
  }
  const int32_t *positions =
      inputs.keyPositions ? inputs.keyPositions + task.batch * shape.keyLength : nullptr;
  for (int64_t key = 0; key < task.keys; ++key)
    scratch.keyPositions.values[key] = !shape.causal ? INT32_MIN
                                       : positions   ? positions[task.firstKey + key]
                                                     : int32_t(task.firstKey + key);
  scratch.keyPositions.summarize(task.keys, kPanel);
  std::fill_n(scratch.kGrad, task.keys * task.call.cut.paddedDim, 0.0f);
  std::fill_n(scratch.vGrad, task.keys * task.call.cut.paddedDim, 0.0f);
}

/// Queries that are packed at a time.
constexpr int64_t kPackedQueries = 8;
static_assert(kGroup % kPackedQueries == 0);

/// kPackedQueries rows of a tile, from row `first` of it, as [column panel][query][columns]; zero
/// beyond dim and beyond `rows`.
void packTileRows(const float *from, int64_t stride, int64_t first, int64_t rows, int64_t dim,
                  int64_t paddedDim, float *tile) {
  const FloatTag d;
  for (int64_t column = 0; column < paddedDim; column += kTileColumns) {
    int64_t width = std::min<int64_t>(kTileColumns, paddedDim - column);
    float *to = tile + column * kQueryTile + first * width;
    for (int64_t row = 0; row < kPackedQueries; ++row, to += width) {
      const float *source = from + row * stride + column;
      int64_t filled = row < rows ? std::min(width, dim - column) : 0, j = 0;
      for (; j + kLanes <= filled; j += kLanes)
        hn::StoreU(hn::LoadU(d, source + j), d, to + j);
      for (; j < width; ++j)
        to[j] = j < filled ? source[j] : 0.0f;
    }
  }
}

HWY_NOINLINE float dot(const float *a, const float *b, int64_t n) {
  const FloatTag d;
  FloatVector sum = hn::Zero(d);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    sum = hn::MulAdd(hn::LoadU(d, a + i), hn::LoadU(d, b + i), sum);
  float result = hn::GetLane(hn::SumOfLanes(d, sum));
  for (; i < n; ++i)
    result += a[i] * b[i];
  return result;
}

void packQueries(const Task &task, int64_t head) {
  const AttentionShape &shape = task.call.shape;
  const AttentionGradInputs &inputs = task.call.inputs;
  const Cut &cut = task.call.cut;
  const Scratch &scratch = task.scratch;
  int64_t dim = shape.headDim;
  auto queries = headRows(inputs.forward.q, shape.q, task.batch, head);
  auto out = headRows(inputs.out, shape.out, task.batch, head);
  auto outGrad = headRows(inputs.outGrad, task.call.gradShape.outGrad, task.batch, head);
  // All forms of a few rows are packed while they are in the cache, and the rows after them
  // fetched.
  constexpr int64_t ahead = 4 * kPackedQueries;
  for (int64_t query = 0; query < cut.queries; query += kPackedQueries) {
    int64_t count = std::clamp<int64_t>(shape.queryLength - query, 0, kPackedQueries);
    int64_t from = count > 0 ? query : 0, tile = query / kQueryTile * kQueryTile;
    int64_t transposed = query / kGroup * kGroup * dim + query % kGroup;
    int64_t coming = std::clamp<int64_t>(shape.queryLength - query - ahead, 0, kPackedQueries);
    prefetchRows(queries[query + ahead], queries.stride, coming, dim);
    prefetchRows(outGrad[query + ahead], outGrad.stride, coming, dim);
    prefetchRows(out[query + ahead], out.stride, coming, dim);
    transposeInto(queries[from], queries.stride, count, dim, shape.scale * kLog2E,
                  scratch.queries + transposed, kGroup, kPackedQueries);
    transposeInto(outGrad[from], outGrad.stride, count, dim, 1.0f, scratch.outGrads + transposed,
                  kGroup, kPackedQueries);
    packTileRows(queries[from], queries.stride, query - tile, count, dim, cut.paddedDim,
                 scratch.queryRows + tile * cut.paddedDim);
    packTileRows(outGrad[from], outGrad.stride, query - tile, count, dim, cut.paddedDim,
                 scratch.outGradRows + tile * cut.paddedDim);
    for (int64_t i = 0; i < kPackedQueries; ++i)
      scratch.delta[query + i] = i < count ? dot(outGrad[query + i], out[query + i], dim) : 0.0f;
  }
  const float *lse = inputs.lse + (task.batch * shape.heads + head) * shape.queryLength;
  const int32_t *positions = inputs.forward.queryPositions;
  for (int64_t query = 0; query < cut.queries; ++query) {
    // Padding repeats the last position, for the ranges' sake; its weights are 0.
    int64_t row = std::min(query, shape.queryLength - 1);
    bool padding = query >= shape.queryLength;
    bool seesNone = lse[row] == -std::numeric_limits<float>::infinity();
    scratch.logSum[query] = padding ? -kMaskedScore : seesNone ? 0.0f : lse[row] * kLog2E;
    scratch.queryPositions.values[query] = !shape.causal ? INT32_MAX
                                           : positions
                                               ? positions[task.batch * shape.queryLength + row]
                                               : int32_t(row);
  }
  scratch.queryPositions.summarize(cut.queries, kGroup);
}

/// Weights of a panel, and the gradients of its scores (without the scale).
template <int rows>
HWY_NOINLINE void gradientTile(const PanelOperands &operands, const float *values,
                               const float *outGrads, const float *logSum, const float *delta,
                               float *weights, float *scoreGrads) {
  const FloatTag d;
  FloatVector tile[rows][kTileVectors];
  panelScores(operands, tile);
  HWY_UNROLL(8)
  for (int j = 0; j < kTileVectors; ++j) {
    FloatVector sum = hn::LoadU(d, logSum + j * kLanes);
    HWY_UNROLL(16)
    for (int i = 0; i < rows; ++i)
      hn::StoreU(exp2(hn::Sub(tile[i][j], sum)), d, weights + i * kWeightStride + j * kLanes);
  }
  tileSums<rows, kTileVectors, Left::packed>(operands.dim, values, 0, outGrads, kGroup, outGrads, 0,
                                             tile);
  HWY_UNROLL(8)
  for (int j = 0; j < kTileVectors; ++j) {
    FloatVector mean = hn::LoadU(d, delta + j * kLanes);
    HWY_UNROLL(16)
    for (int i = 0; i < rows; ++i) {
      int64_t at = i * kWeightStride + j * kLanes;
      FloatVector weight = hn::LoadU(d, weights + at);
      hn::StoreU(hn::Mul(weight, hn::Sub(tile[i][j], mean)), d, scoreGrads + at);
    }
  }
}

constexpr decltype(&gradientTile<1>) gradientTiles[kPanel] = {gradientTile<1>, gradientTile<2>,
                                                              gradientTile<3>, gradientTile<4>,
                                                              gradientTile<5>, gradientTile<6>};

void clearRows(float *rows, int64_t count) {
  for (int64_t i = 0; i < count; ++i)
    std::fill_n(rows + i * kWeightStride, kGroup, 0.0f);
}

/// Weights and score gradients of one group of queries with the block of keys at `key`, zero where
/// nothing is seen, and the group's part of dq.
void computeGroup(const Task &task, int64_t key, int64_t keys, int64_t query, float *qGrad) {
  const Scratch &scratch = task.scratch;
  int64_t dim = task.call.shape.headDim, stride = keyPanelStride(dim);
  int64_t column = query % kQueryTile;
  float *weights = scratch.weights + column, *scoreGrads = scratch.scoreGrads + column;
  const PositionRange &range = scratch.queryPositions.ranges[query / kGroup];
  PanelSpan span = visiblePanels(range, scratch.keyPositions.ranges,
                                 {key / kPanel, ceilDiv(key + keys, kPanel)});
  int64_t begin = span.empty() ? keys : span.begin * kPanel - key;
  int64_t end = span.empty() ? keys : std::min(span.end * kPanel - key, keys);
  for (float *rows : {weights, scoreGrads}) {
    clearRows(rows, begin);
    clearRows(rows + end * kWeightStride, keys - end);
  }
  if (span.empty())
    return;
  for (int64_t panel = span.begin; panel < span.end; ++panel) {
    int64_t row = panel * kPanel - key, count = std::min(kPanel, keys - row);
    bool seesAll = visibility(range, scratch.keyPositions.ranges[panel]) == Visibility::all;
    PanelOperands operands{dim, scratch.keyPanels + panel * stride, scratch.queries + query * dim,
                           scratch.queryPositions.values + query,
                           seesAll ? nullptr : scratch.keyPositions.values + panel * kPanel};
    gradientTiles[count - 1](operands, scratch.valuePanels + panel * stride,
                             scratch.outGrads + query * dim, scratch.logSum + query,
                             scratch.delta + query, weights + row * kWeightStride,
                             scoreGrads + row * kWeightStride);
  }
  addWeightedRows(dim, scratch.keyRows + key * dim, keys, begin, end - begin,
                  scoreGrads + begin * kWeightStride, kWeightStride, qGrad + query * dim, true);
}

/// The range of `count` ranges.
PositionRange rangeOf(const PositionRange *ranges, int64_t count) {
  PositionRange all;
  for (int64_t i = 0; i < count; ++i)
    all.add(ranges[i]);
  return all;
}

/// A tile one vector wide needs more rows, or every multiplication waits for the one before.
constexpr int kNarrowRows = 2 * kTileRows;

/// dv += W dout and dk += G q of a block of keys and a tile of queries.
void addKeyGradients(const Task &task, int64_t key, int64_t keys, int64_t query) {
  const Scratch &scratch = task.scratch;
  int64_t paddedDim = task.call.cut.paddedDim;
  const PositionRange *groups = scratch.queryPositions.ranges + query / kGroup;
  bool isNarrow = paddedDim == kLanes;
  for (int64_t row = 0, count; row < keys; row += count) {
    count = isNarrow && keys - row >= kNarrowRows ? kNarrowRows : std::min(kPanel, keys - row);
    const PositionRange panel =
        rangeOf(scratch.keyPositions.ranges + (key + row) / kPanel, ceilDiv(count, kPanel));
    int64_t first = 0, last = kGroups;
    while (first < last && visibility(groups[first], panel) == Visibility::none)
      ++first;
    while (first < last && visibility(groups[last - 1], panel) == Visibility::none)
      --last;
    if (first == last)
      continue;
    int64_t depth = (last - first) * kGroup;
    int64_t weightsAt = row * kWeightStride + first * kGroup;
    for (int64_t column = 0; column < paddedDim; column += kTileColumns) {
      int64_t width = std::min<int64_t>(kTileColumns, paddedDim - column);
      int64_t from = query * paddedDim + column * kQueryTile + first * kGroup * width;
      int64_t to = (key + row) * paddedDim + column;
      TileFunction function = count == kNarrowRows
                                  ? tile<kNarrowRows, 1, Left::inPlace>
                                  : selectTile<Left::inPlace>(count, width / kLanes);
      function(depth, scratch.weights + weightsAt, kWeightStride, scratch.outGradRows + from, width,
               scratch.vGrad + to, paddedDim, true, scratch.outGradRows + from, 0);
      function(depth, scratch.scoreGrads + weightsAt, kWeightStride, scratch.queryRows + from,
               width, scratch.kGrad + to, paddedDim, true, scratch.queryRows + from, 0);
    }
  }
}

/// Writes rows of dq from [group][dim][kGroup].
void writeQueryGradients(const Backward &call, int64_t batch, int64_t head, int64_t query,
                         const float *from) {
  const AttentionShape &shape = call.shape;
  auto to = headRows(call.qGrad, call.gradShape.qGrad, batch, head);
  transposeInto(from, kGroup, shape.headDim, std::min(kGroup, shape.queryLength - query),
                shape.scale, to[query], to.stride, shape.headDim);
}

void computeHead(const Task &task, int64_t head) {
  const Backward &call = task.call;
  const Scratch &scratch = task.scratch;
  int64_t dim = call.shape.headDim;
  packQueries(task, head);
  bool direct = call.cut.chunks == 1;
  float *qGrad = direct ? scratch.qGrad : call.qGradPart(task.batch, head, task.chunk);
  std::fill_n(qGrad, call.cut.queries * dim, 0.0f);
  for (int64_t key = 0; key < task.keys; key += kKeyBlock) {
    int64_t keys = std::min(kKeyBlock, task.keys - key);
    PositionRange keyRange =
        rangeOf(scratch.keyPositions.ranges + key / kPanel, ceilDiv(keys, kPanel));
    for (int64_t query = 0; query < call.cut.queries; query += kQueryTile) {
      PositionRange range = rangeOf(scratch.queryPositions.ranges + query / kGroup, kGroups);
      if (visibility(range, keyRange) == Visibility::none)
        continue;
      for (int64_t group = 0; group < kGroups; ++group)
        computeGroup(task, key, keys, query + group * kGroup, qGrad);
      addKeyGradients(task, key, keys, query);
    }
  }
  for (int64_t query = 0; direct && query < call.shape.queryLength; query += kGroup)
    writeQueryGradients(call, task.batch, head, query, qGrad + query * dim);
}

void computeTask(const Backward &call, int64_t batch, int64_t kvHead, int64_t chunk, int worker) {
  const AttentionShape &shape = call.shape;
  int64_t firstKey = chunk * call.cut.chunkKeys;
  Task task{call,
            batch,
            kvHead,
            chunk,
            firstKey,
            std::min(call.cut.chunkKeys, shape.keyLength - firstKey),
            call.scratchOf(worker)};
  packKeys(task);
  int64_t group = shape.heads / shape.kvHeads;
  if (shape.queryLength > 0)
    for (int64_t head = kvHead * group; head < (kvHead + 1) * group; ++head)
      computeHead(task, head);
  auto kGrad = headRows(call.kGrad, call.gradShape.kGrad, batch, kvHead);
  auto vGrad = headRows(call.vGrad, call.gradShape.vGrad, batch, kvHead);
  for (int64_t key = 0; key < task.keys; ++key) {
    const float *from = task.scratch.kGrad + key * call.cut.paddedDim;
    float *to = kGrad[firstKey + key];
    for (int64_t i = 0; i < shape.headDim; ++i)
      to[i] = shape.scale * from[i];
    std::copy_n(task.scratch.vGrad + key * call.cut.paddedDim, shape.headDim,
                vGrad[firstKey + key]);
  }
}

/// Adds the chunks' parts of dq in order and writes the sum.
void sumQueryGradients(ThreadPool &pool, const Backward &call) {
  const AttentionShape &shape = call.shape;
  int64_t groups = ceilDiv(shape.queryLength, kGroup), size = kGroup * shape.headDim;
  pool.parallelFor(shape.batch * shape.heads * groups, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      int64_t batch = i / groups / shape.heads, head = i / groups % shape.heads;
      int64_t offset = i % groups * size;
      float *sum = call.qGradPart(batch, head, 0) + offset;
      for (int64_t chunk = 1; chunk < call.cut.chunks; ++chunk) {
        const float *part = call.qGradPart(batch, head, chunk) + offset;
        for (int64_t j = 0; j < size; ++j)
          sum[j] += part[j];
      }
      writeQueryGradients(call, batch, head, i % groups * kGroup, sum);
    }
  });
}

} // namespace

int64_t attentionBackwardBytes(const AttentionGradShape &shape, int threads) {
  Workspace measured;
  Backward call(measured, shape, {}, nullptr, nullptr, nullptr, threads);
  return measured.usedBytes();
}

void attentionBackwardRun(ThreadPool &pool, const AttentionGradShape &gradShape,
                          const AttentionGradInputs &inputs, float *qGrad, float *kGrad,
                          float *vGrad, Workspace space) {
  Backward call(space, gradShape, inputs, qGrad, kGrad, vGrad, pool.size());
  // Chunks of early keys are the longest tasks of a causal mask: they come first.
  int64_t heads = call.shape.batch * call.shape.kvHeads;
  pool.parallelFor(
      heads * call.cut.chunks,
      [&](int64_t begin, int64_t end, int worker) {
        for (int64_t i = begin; i < end; ++i)
          computeTask(call, i % heads / call.shape.kvHeads, i % heads % call.shape.kvHeads,
                      i / heads, worker);
      },
      /*maxRange=*/1);
  if (call.cut.chunks > 1)
    sumQueryGradients(pool, call);
}

} // namespace titan::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace titan::cpu {

const AttentionBackward &attentionBackward(Isa isa) {
#if HWY_TARGETS & HWY_AVX3
  static constexpr AttentionBackward avx512{N_AVX3::attentionBackwardBytes,
                                            N_AVX3::attentionBackwardRun};
  if (isa == Isa::avx512)
    return avx512;
#endif
#if HWY_TARGETS & HWY_AVX2
  static constexpr AttentionBackward avx2{N_AVX2::attentionBackwardBytes,
                                          N_AVX2::attentionBackwardRun};
  if (isa >= Isa::avx2)
    return avx2;
#endif
  static constexpr AttentionBackward portable{HWY_STATIC_DISPATCH(attentionBackwardBytes),
                                              HWY_STATIC_DISPATCH(attentionBackwardRun)};
  return portable;
}

} // namespace titan::cpu

#endif // HWY_ONCE
