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
  for (const auto &rows : {keys, values})
    prefetchRows(rows[begin], rows.stride, end - begin, dim);
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

PanelOperands operandsOf(const Forward &forward, const Task &task, int64_t group,
                         const PositionRange &queryRange, int64_t panel) {
  int64_t dim = forward.shape.headDim;
  int64_t kvHead = task.head / (forward.shape.heads / forward.shape.kvHeads);
  Positions positions = forward.keyPositionsOf(task.batch);
  bool seesAll = visibility(queryRange, positions.ranges[panel]) == Visibility::all;
  return {dim, forward.keysOf(task.batch, kvHead) + panel * keyPanelStride(dim),
          task.scratch.queries + group * kGroup * dim, task.scratch.positions + group * kGroup,
          seesAll ? nullptr : positions.values + panel * kPanel};
}

/// Stores the scores of a panel, and raises the largest of each query.
template <int rows>
HWY_NOINLINE void scoreTile(const PanelOperands &operands, float *scores, float *largest) {
  const FloatTag d;
  FloatVector tile[rows][kTileVectors];
  panelScores(operands, tile);
  HWY_UNROLL(8)
  for (int j = 0; j < kTileVectors; ++j) {
    FloatVector maximum = hn::LoadU(d, largest + j * kLanes);
    HWY_UNROLL(16)
    for (int i = 0; i < rows; ++i) {
      maximum = hn::Max(maximum, tile[i][j]);
      hn::StoreU(tile[i][j], d, scores + i * kGroup + j * kLanes);
    }
    hn::StoreU(maximum, d, largest + j * kLanes);
  }
}

/// What direct weights are relative to, and what their block adds up to.
struct DirectSums {
  alignas(64) float base[kGroup];
  alignas(64) float sum[kGroup];
  alignas(64) float largest[kGroup]; ///< score less its base
};

/// Stores the weights of a panel, relative to a base that is known before.
template <int rows>
HWY_NOINLINE void weightTile(const PanelOperands &operands, float *weights, DirectSums &sums) {
  const FloatTag d;
  FloatVector tile[rows][kTileVectors];
  panelScores(operands, tile);
  HWY_UNROLL(8)
  for (int j = 0; j < kTileVectors; ++j) {
    FloatVector base = hn::Load(d, sums.base + j * kLanes);
    FloatVector sum = hn::Load(d, sums.sum + j * kLanes);
    FloatVector largest = hn::Load(d, sums.largest + j * kLanes);
    HWY_UNROLL(16)
    for (int i = 0; i < rows; ++i) {
      FloatVector relative = hn::Sub(tile[i][j], base);
      largest = hn::Max(largest, relative);
      FloatVector weight = exp2(relative);
      sum = hn::Add(sum, weight);
      hn::StoreU(weight, d, weights + i * kGroup + j * kLanes);
    }
    hn::Store(sum, d, sums.sum + j * kLanes);
    hn::Store(largest, d, sums.largest + j * kLanes);
  }
}

using ScoreTile = void (*)(const PanelOperands &operands, float *scores, float *largest);
using WeightTile = void (*)(const PanelOperands &operands, float *weights, DirectSums &sums);
constexpr ScoreTile scoreTiles[kPanel] = {scoreTile<1>, scoreTile<2>, scoreTile<3>,
                                          scoreTile<4>, scoreTile<5>, scoreTile<6>};
constexpr WeightTile weightTiles[kPanel] = {weightTile<1>, weightTile<2>, weightTile<3>,
                                            weightTile<4>, weightTile<5>, weightTile<6>};

/// The weights of one group with the panels of a span straight from the registers, relative to the
/// largest scores of earlier blocks or, in the first, to 0. Every base will do that neither
/// overflows nor hides the largest weight: the sum is relative to the same. False, with neither
/// sums nor largest scores changed, where it does not.
bool weighDirectly(const Forward &forward, const Task &task, int64_t group,
                   const PositionRange &queryRange, PanelSpan span, bool first) {
  constexpr float highest = 30.0f, lowest = -60.0f; // to base 2
  const FloatTag d;
  float *largest = task.scratch.largest + group * kGroup;
  DirectSums sums{};
  if (!first)
    std::copy_n(largest, kGroup, sums.base);
  std::fill_n(sums.largest, kGroup, 2 * kMaskedScore);
  for (int64_t panel = span.begin; panel < span.end; ++panel) {
    int64_t count = std::min(kPanel, forward.shape.keyLength - panel * kPanel);
    weightTiles[count - 1](operandsOf(forward, task, group, queryRange, panel),
                           task.scratch.scores + (panel - span.begin) * kPanel * kGroup, sums);
  }
  const FloatVector low = hn::Set(d, first ? lowest : 2 * kMaskedScore);
  for (int64_t j = 0; j < kGroup; j += kLanes) {
    FloatVector value = hn::Load(d, sums.largest + j);
    if (!hn::AllTrue(d, hn::And(hn::Ge(value, low), hn::Le(value, hn::Set(d, highest)))))
      return false;
  }
  float *total = task.scratch.sum + group * kGroup;
  for (int64_t j = 0; j < kGroup; j += kLanes)
    hn::StoreU(hn::Add(hn::LoadU(d, total + j), hn::Load(d, sums.sum + j)), d, total + j);
  std::copy_n(sums.base, kGroup, largest);
  return true;
}

/// Scores of one group with the panels of a span, masked, and the running maximum of each query.
void groupScores(const Forward &forward, const Task &task, int64_t group,
                 const PositionRange &queryRange, PanelSpan span) {
  for (int64_t panel = span.begin; panel < span.end; ++panel) {
    int64_t count = std::min(kPanel, forward.shape.keyLength - panel * kPanel);
    scoreTiles[count - 1](operandsOf(forward, task, group, queryRange, panel),
                          task.scratch.scores + (panel - span.begin) * kPanel * kGroup,
                          task.scratch.largest + group * kGroup);
  }
}

/// Turns scores into weights relative to the new maximum, and rescales what was summed relative to
/// the old one.
HWY_NOINLINE void groupWeights(const Task &task, int64_t group, int64_t dim, int64_t keys,
                               const float *oldLargest, bool first) {
  const FloatTag d;
  for (int64_t j = 0; j < kGroup; j += kLanes) {
    FloatVector maximum = hn::LoadU(d, task.scratch.largest + group * kGroup + j);
    FloatVector oldMaximum = hn::LoadU(d, oldLargest + j);
    FloatVector factor = exp2(hn::Sub(oldMaximum, maximum));
    FloatVector sum = hn::Zero(d);
    float *scores = task.scratch.scores + j;
    for (int64_t key = 0; key < keys; ++key, scores += kGroup) {
      FloatVector weight = exp2(hn::Sub(hn::LoadU(d, scores), maximum));
      hn::StoreU(weight, d, scores);
      sum = hn::Add(sum, weight);
    }
    float *total = task.scratch.sum + group * kGroup + j;
    hn::StoreU(hn::MulAdd(hn::LoadU(d, total), factor, sum), d, total);
    if (first || hn::AllTrue(d, hn::Eq(maximum, oldMaximum)))
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
    int64_t firstKey = span.begin * kPanel, keys = std::min(span.end * kPanel, end) - firstKey;
    if (!weighDirectly(forward, task, group, queryRange, span, first)) {
      alignas(64) float oldLargest[kGroup];
      std::copy_n(task.scratch.largest + group * kGroup, kGroup, oldLargest);
      groupScores(forward, task, group, queryRange, span);
      groupWeights(task, group, dim, keys, oldLargest, first);
    }
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
  auto out = headRows(forward.out, shape.out, batch, head);
  prefetchRows(out[task.query], out.stride, task.queries, dim);
  if (queryBlock > 0) // comes next
    prefetchRows(queries[task.query - kQueryBlock], queries.stride, kQueryBlock, dim);
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
