// The forward of attention: keys and values are packed once, then blocks of queries are handed out.

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/device/cpu/AttentionForward.cpp"
#define HWY_DISABLED_TARGETS (~(HWY_AVX2 | HWY_AVX3 | HWY_EMU128 | HWY_SCALAR))
#include <hwy/foreach_target.h>

#include "runtime/device/cpu/AttentionTile-inl.h"
#include "runtime/device/cpu/ThreadPool.h"

#include <hwy/contrib/math/math-inl.h>

#include <limits>

HWY_BEFORE_NAMESPACE();
namespace titan::cpu::HWY_NAMESPACE {

namespace {

/// Queries that are handed out together, in groups: they share the keys in the second-level cache.
constexpr int64_t kQueryBlock = 64;
static_assert(kQueryBlock % kGroup == 0);
/// Keys between two rescalings.
constexpr int64_t kKeyBlock = 32 * kPanel;

/// Where a worker keeps what it computes.
struct Scratch {
  float *queries;     ///< [group][dim][kGroup], times scale * log2(e)
  float *result;      ///< [group][dim][kGroup]
  float *scores;      ///< [key][kGroup]
  float *largest;     ///< [kQueryBlock]
  float *sum;         ///< [kQueryBlock]
  int32_t *positions; ///< [kQueryBlock]

  Scratch(Workspace &space, int64_t dim)
      : queries(space.take<float>(kQueryBlock * dim)), result(space.take<float>(kQueryBlock * dim)),
        scores(space.take<float>(kKeyBlock * kGroup)), largest(space.take<float>(kQueryBlock)),
        sum(space.take<float>(kQueryBlock)), positions(space.take<int32_t>(kQueryBlock)) {}
};

/// One call: what all tasks read.
struct Forward {
  const AttentionShape &shape;
  const AttentionInputs &inputs;
  float *out, *lse;
  int64_t panels;                   ///< of one head
  int64_t keysPacked, valuesPacked; ///< floats of one head
  float *packedKeys, *packedValues; ///< per batch entry and key head
  Positions keyPositions;           ///< per batch entry
  int64_t scratchBytes;
  Workspace scratch; ///< scratchBytes per worker

  Forward(Workspace &space, const AttentionShape &shape, const AttentionInputs &inputs, float *out,
          float *lse, int threads)
      : shape(shape), inputs(inputs), out(out), lse(lse), panels(ceilDiv(shape.keyLength, kPanel)),
        keysPacked(panels * keyPanelStride(shape.headDim)),
        valuesPacked(roundUp(shape.keyLength * shape.headDim, 16)) {
    int64_t heads = shape.batch * shape.kvHeads;
    packedKeys = space.take<float>(heads * keysPacked);
    packedValues = space.take<float>(heads * valuesPacked);
    keyPositions.values = space.take<int32_t>(shape.batch * panels * kPanel);
    keyPositions.ranges = space.take<PositionRange>(shape.batch * panels);
    Workspace measured;
    Scratch measuredScratch(measured, shape.headDim);
    scratchBytes = measured.usedBytes();
    scratch = space.takePart(scratchBytes * threads);
  }

  Scratch scratchOf(int worker) const {
    Workspace all = scratch;
    all.take<std::byte>(worker * scratchBytes);
    return Scratch(all, shape.headDim);
  }
  const float *keysOf(int64_t batch, int64_t kvHead) const {
    return packedKeys + (batch * shape.kvHeads + kvHead) * keysPacked;
  }
  const float *valuesOf(int64_t batch, int64_t kvHead) const {
    return packedValues + (batch * shape.kvHeads + kvHead) * valuesPacked;
  }
  Positions keyPositionsOf(int64_t batch) const {
    return {keyPositions.values + batch * panels * kPanel, keyPositions.ranges + batch * panels};
  }
};

/// One block of queries of one head.
struct Task {
  int64_t batch, head, query, queries;
  Scratch scratch;
};

void packBlock(const Forward &forward, int64_t batch, int64_t kvHead, int64_t block) {
  const AttentionShape &shape = forward.shape;
  int64_t begin = block * kKeyBlock, end = std::min(begin + kKeyBlock, shape.keyLength);
  int64_t dim = shape.headDim, panelStride = keyPanelStride(dim);
  auto keys = headRows(forward.inputs.k, shape.k, batch, kvHead);
  auto values = headRows(forward.inputs.v, shape.v, batch, kvHead);
  float *packedKeys = const_cast<float *>(forward.keysOf(batch, kvHead));
  float *packedValues = const_cast<float *>(forward.valuesOf(batch, kvHead));
  packRowPanels(keys[begin], keys.stride, end - begin, dim,
                packedKeys + begin / kPanel * panelStride, panelStride);
  packColumnPanels(values[begin], values.stride, dim, end - begin, packedValues + begin * dim,
                   kPanel * (end - begin));
  if (kvHead > 0)
    return;
  Positions positions = forward.keyPositionsOf(batch);
  positions = {positions.values + begin, positions.ranges + begin / kPanel};
  const int32_t *given = forward.inputs.keyPositions;
  for (int64_t key = begin; key < end; ++key)
    positions.values[key - begin] = !shape.causal ? INT32_MIN
                                    : given       ? given[batch * shape.keyLength + key]
                                                  : int32_t(key);
  positions.summarize(end - begin, kPanel);
}

/// Scores of one group with the panels of a span, masked, and the running maximum of each query.
HWY_NOINLINE void groupScores(const Forward &forward, const Task &task, int64_t group,
                              const PositionRange &queryRange, PanelSpan span) {
  const FloatTag d;
  const AttentionShape &shape = forward.shape;
  Positions positions = forward.keyPositionsOf(task.batch);
  int64_t kvHead = task.head / (shape.heads / shape.kvHeads);
  const float *keys = forward.keysOf(task.batch, kvHead);
  float *largest = task.scratch.largest + group * kGroup;
  for (int64_t panel = span.begin; panel < span.end; ++panel) {
    int64_t count = std::min(kPanel, shape.keyLength - panel * kPanel);
    float *scores = task.scratch.scores + (panel - span.begin) * kPanel * kGroup;
    panelScores(shape.headDim, keys + panel * keyPanelStride(shape.headDim), count,
                task.scratch.queries + group * kGroup * shape.headDim, scores, kGroup);
    if (visibility(queryRange, positions.ranges[panel]) != Visibility::all)
      maskScores(task.scratch.positions + group * kGroup, positions.values + panel * kPanel, count,
                 scores, kGroup);
    HWY_UNROLL(4)
    for (int64_t j = 0; j < kGroup; j += kLanes) {
      FloatVector maximum = hn::LoadU(d, largest + j);
      for (int64_t key = 0; key < count; ++key)
        maximum = hn::Max(maximum, hn::LoadU(d, scores + key * kGroup + j));
      hn::StoreU(maximum, d, largest + j);
    }
  }
}

/// Turns scores into weights relative to the new maximum, and rescales what was summed relative to
/// the old one.
HWY_NOINLINE void groupWeights(const Task &task, int64_t group, int64_t dim, int64_t keys,
                               const float *oldLargest, bool first) {
  const FloatTag d;
  for (int64_t j = 0; j < kGroup; j += kLanes) {
    FloatVector maximum = hn::LoadU(d, task.scratch.largest + group * kGroup + j);
    FloatVector factor = exp2(hn::Sub(hn::LoadU(d, oldLargest + j), maximum));
    FloatVector sum = hn::Zero(d);
    float *scores = task.scratch.scores + j;
    for (int64_t key = 0; key < keys; ++key, scores += kGroup) {
      FloatVector weight = exp2(hn::Sub(hn::LoadU(d, scores), maximum));
      hn::StoreU(weight, d, scores);
      sum = hn::Add(sum, weight);
    }
    float *total = task.scratch.sum + group * kGroup + j;
    hn::StoreU(hn::MulAdd(hn::LoadU(d, total), factor, sum), d, total);
    if (first || hn::AllTrue(d, hn::Eq(factor, hn::Set(d, 1.0f))))
      continue;
    float *result = task.scratch.result + group * kGroup * dim + j;
    for (int64_t i = 0; i < dim; ++i, result += kGroup)
      hn::StoreU(hn::Mul(hn::LoadU(d, result), factor), d, result);
  }
}

/// Divides by the sums and writes the group's rows of out and lse.
HWY_NOINLINE void finishGroup(const Forward &forward, const Task &task, int64_t group) {
  const FloatTag d;
  const AttentionShape &shape = forward.shape;
  float *result = task.scratch.result + group * kGroup * shape.headDim;
  float *largest = task.scratch.largest + group * kGroup;
  for (int64_t j = 0; j < kGroup; j += kLanes) {
    FloatVector sum = hn::LoadU(d, task.scratch.sum + group * kGroup + j);
    auto seesNone = hn::Eq(sum, hn::Zero(d));
    FloatVector logSum = hn::MulAdd(hn::LoadU(d, largest + j), hn::Set(d, kLn2), hn::Log(d, sum));
    FloatVector infinity = hn::Set(d, std::numeric_limits<float>::infinity());
    hn::StoreU(hn::IfThenElse(seesNone, hn::Neg(infinity), logSum), d, largest + j);
    FloatVector factor = hn::IfThenZeroElse(seesNone, hn::Div(hn::Set(d, 1.0f), sum));
    for (int64_t i = 0; i < shape.headDim; ++i) {
      float *at = result + i * kGroup + j;
      hn::StoreU(hn::Mul(hn::LoadU(d, at), factor), d, at);
    }
  }
  int64_t query = task.query + group * kGroup;
  int64_t count = std::min(kGroup, task.query + task.queries - query);
  auto out = headRows(forward.out, shape.out, task.batch, task.head);
  transposeInto(result, kGroup, shape.headDim, count, 1.0f, out[query], out.stride, shape.headDim);
  float *lse = forward.lse + (task.batch * shape.heads + task.head) * shape.queryLength + query;
  std::copy_n(largest, count, lse);
}

void computeGroup(const Forward &forward, const Task &task, int64_t group,
                  const PositionRange &queryRange) {
  const AttentionShape &shape = forward.shape;
  int64_t dim = shape.headDim;
  int64_t kvHead = task.head / (shape.heads / shape.kvHeads);
  const float *values = forward.valuesOf(task.batch, kvHead);
  float *result = task.scratch.result + group * kGroup * dim;
  bool first = true;
  for (int64_t begin = 0; begin < shape.keyLength; begin += kKeyBlock) {
    int64_t end = std::min(begin + kKeyBlock, shape.keyLength);
    PanelSpan span = visiblePanels(queryRange, forward.keyPositionsOf(task.batch).ranges,
                                   {begin / kPanel, ceilDiv(end, kPanel)});
    if (span.empty())
      continue;
    alignas(64) float oldLargest[kGroup];
    std::copy_n(task.scratch.largest + group * kGroup, kGroup, oldLargest);
    groupScores(forward, task, group, queryRange, span);
    int64_t firstKey = span.begin * kPanel, keys = std::min(span.end * kPanel, end) - firstKey;
    groupWeights(task, group, dim, keys, oldLargest, first);
    addWeightedRows(dim, values + begin * dim, end - begin, firstKey - begin, keys,
                    task.scratch.scores, kGroup, result, !first);
    first = false;
  }
  if (first)
    std::fill_n(result, kGroup * dim, 0.0f);
  finishGroup(forward, task, group);
}

void computeTask(const Forward &forward, int64_t batch, int64_t head, int64_t queryBlock,
                 int worker) {
  const AttentionShape &shape = forward.shape;
  int64_t dim = shape.headDim;
  int64_t firstQuery = queryBlock * kQueryBlock;
  Task task{batch, head, firstQuery, std::min(kQueryBlock, shape.queryLength - firstQuery),
            forward.scratchOf(worker)};
  std::fill_n(task.scratch.largest, kQueryBlock, kLeastScore);
  std::fill_n(task.scratch.sum, kQueryBlock, 0.0f);
  auto queries = headRows(forward.inputs.q, shape.q, batch, head);
  const int32_t *positions = forward.inputs.queryPositions;
  for (int64_t group = 0; group * kGroup < task.queries; ++group) {
    int64_t query = task.query + group * kGroup;
    int64_t count = std::min(kGroup, task.queries - group * kGroup);
    transposeInto(queries[query], queries.stride, count, dim, shape.scale * kLog2E,
                  task.scratch.queries + group * kGroup * dim, kGroup, kGroup);
    PositionRange range;
    for (int64_t i = 0; i < kGroup; ++i) {
      int64_t row = query + std::min(i, count - 1); // padding repeats the last query
      int32_t position = !shape.causal ? INT32_MAX
                         : positions   ? positions[batch * shape.queryLength + row]
                                       : int32_t(row);
      task.scratch.positions[group * kGroup + i] = position;
      range.add(position);
    }
    computeGroup(forward, task, group, range);
  }
}

} // namespace

int64_t attentionForwardBytes(const AttentionShape &shape, int threads) {
  Workspace measured;
  Forward forward(measured, shape, {}, nullptr, nullptr, threads);
  return measured.usedBytes();
}

void attentionForwardRun(ThreadPool &pool, const AttentionShape &shape,
                         const AttentionInputs &inputs, float *out, float *lse, Workspace space) {
  Forward forward(space, shape, inputs, out, lse, pool.size());
  int64_t kvHeads = shape.batch * shape.kvHeads;
  int64_t keyBlocks = ceilDiv(shape.keyLength, kKeyBlock);
  pool.parallelFor(kvHeads * keyBlocks, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      int64_t head = i / keyBlocks;
      packBlock(forward, head / shape.kvHeads, head % shape.kvHeads, i % keyBlocks);
    }
  });
  // The last queries of a sequence see the most keys: long tasks first.
  int64_t queryBlocks = ceilDiv(shape.queryLength, kQueryBlock);
  pool.parallelFor(
      shape.batch * shape.heads * queryBlocks,
      [&](int64_t begin, int64_t end, int worker) {
        for (int64_t i = begin; i < end; ++i) {
          int64_t head = i / queryBlocks;
          computeTask(forward, head / shape.heads, head % shape.heads,
                      queryBlocks - 1 - i % queryBlocks, worker);
        }
      },
      /*maxRange=*/1);
}

} // namespace titan::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace titan::cpu {

const AttentionForward &attentionForward(Isa isa) {
#if HWY_TARGETS & HWY_AVX3
  static constexpr AttentionForward avx512{N_AVX3::attentionForwardBytes,
                                           N_AVX3::attentionForwardRun};
  if (isa == Isa::avx512)
    return avx512;
#endif
#if HWY_TARGETS & HWY_AVX2
  static constexpr AttentionForward avx2{N_AVX2::attentionForwardBytes,
                                         N_AVX2::attentionForwardRun};
  if (isa >= Isa::avx2)
    return avx2;
#endif
  static constexpr AttentionForward portable{HWY_STATIC_DISPATCH(attentionForwardBytes),
                                             HWY_STATIC_DISPATCH(attentionForwardRun)};
  return portable;
}

} // namespace titan::cpu

#endif // HWY_ONCE
