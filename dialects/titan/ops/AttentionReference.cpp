// Evaluation, cost and sharding of rotary embedding and attention.
#include "dialects/titan/TitanDialect.h"
#include "dialects/titan/ops/HostLoops.h"

#include <cmath>
#include <limits>

using namespace mlir;

namespace titan {

//===----------------------------------------------------------------------===//
// rope
//===----------------------------------------------------------------------===//

LogicalResult RopeOp::evaluate(ReferenceContext &, ArrayRef<const HostTensor *> operands,
                               MutableArrayRef<HostTensor> results) {
  const HostTensor &input = *operands[0], &cosine = *operands[1], &sine = *operands[2];
  ArrayRef<int64_t> shape = input.shape();
  const int64_t sequence = shape[1], heads = shape[2], pairs = shape[3] / 2;
  const bool perBatch = cosine.shape().size() == 3;
  int64_t at = 0;
  for (int64_t b = 0; b < shape[0]; ++b)
    for (int64_t s = 0; s < sequence; ++s)
      for (int64_t h = 0; h < heads; ++h)
        for (int64_t i = 0; i < pairs; ++i, at += 2) {
          const int64_t angle = ((perBatch ? b * sequence : 0) + s) * pairs + i;
          const double c = cosine.values[angle];
          const double t = getInverse() ? -sine.values[angle] : sine.values[angle];
          const double x = input.values[at], y = input.values[at + 1];
          results[0].values[at] = x * c - y * t;
          results[0].values[at + 1] = x * t + y * c;
        }
  return success();
}

// Six for each pair.
int64_t RopeOp::getFlops() { return 3 * tensorType(getInput()).getNumElements(); }

ShardingRule RopeOp::getShardingRule() {
  ShardingRule rule;
  ArrayRef<int64_t> shape = tensorType(getInput()).getShape();
  const unsigned batch = rule.addFactor(shape[0]), sequence = rule.addFactor(shape[1]);
  const unsigned heads = rule.addFactor(shape[2]), pairs = rule.addFactor(shape[3] / 2);
  const unsigned two = rule.addFactor(2, FactorKind::needReplication);
  const TensorFactors input = {{batch}, {sequence}, {heads}, {pairs, two}};
  TensorFactors table = {{sequence}, {pairs}};
  if (tensorType(getCosine()).getRank() == 3)
    table.insert(table.begin(), DimensionFactors{batch});
  rule.operands = {input, table, table};
  rule.results = {input};
  rule.linear = {0};
  return rule;
}

//===----------------------------------------------------------------------===//
// attention
//===----------------------------------------------------------------------===//

namespace {

/// What attention and its gradient have in common.
struct AttentionShape {
  int64_t batch, queries, keys, heads, kvHeads, dim;

  AttentionShape(ArrayRef<int64_t> query, ArrayRef<int64_t> key)
      : batch(query[0]), queries(query[1]), keys(key[1]), heads(query[2]), kvHeads(key[2]),
        dim(query[3]) {}

  /// Offset of the vector of (b, position, head) in a tensor of [batch, length, heads, dim].
  int64_t queryOffset(int64_t b, int64_t q, int64_t h) const {
    return ((b * queries + q) * heads + h) * dim;
  }
  int64_t keyOffset(int64_t b, int64_t k, int64_t h) const {
    return ((b * keys + k) * kvHeads + h / (heads / kvHeads)) * dim;
  }
  int64_t lseOffset(int64_t b, int64_t q, int64_t h) const { return (b * heads + h) * queries + q; }

  template <typename Function> void forEachQuery(Function function) const {
    for (int64_t b = 0; b < batch; ++b)
      for (int64_t h = 0; h < heads; ++h)
        for (int64_t q = 0; q < queries; ++q)
          function(b, q, h);
  }
};

/// Which keys a query sees.
struct Mask {
  bool causal;
  const HostTensor *queryPositions, *keyPositions; // null: 0, 1, ...

  bool sees(const AttentionShape &shape, int64_t b, int64_t q, int64_t k) const {
    if (!causal)
      return true;
    const double query =
        queryPositions ? queryPositions->values[b * shape.queries + q] : static_cast<double>(q);
    const double key =
        keyPositions ? keyPositions->values[b * shape.keys + k] : static_cast<double>(k);
    return key <= query;
  }
};

double dot(const double *a, const double *b, int64_t size) {
  double sum = 0;
  for (int64_t i = 0; i < size; ++i)
    sum += a[i] * b[i];
  return sum;
}

/// Pairs of a query and a key it sees, for one head of one row. Positions are values, unknown to
/// the compiler: with them all pairs count.
int64_t countPairs(int64_t queries, int64_t keys, bool causal, bool hasPositions) {
  if (!causal || hasPositions)
    return queries * keys;
  int64_t pairs = 0;
  for (int64_t q = 0; q < queries; ++q)
    pairs += std::min(q + 1, keys);
  return pairs;
}

/// Factors of query, key and lse; `group` counts the heads that share a kv head.
struct AttentionFactors {
  TensorFactors query, key, lse, queryPositions, keyPositions;

  AttentionFactors(ShardingRule &rule, const AttentionShape &shape, FactorKind groupKind) {
    const unsigned batch = rule.addFactor(shape.batch), kvHeads = rule.addFactor(shape.kvHeads);
    const unsigned group = rule.addFactor(shape.heads / shape.kvHeads, groupKind);
    const unsigned queries = rule.addFactor(shape.queries, FactorKind::needReplication);
    const unsigned keys = rule.addFactor(shape.keys, FactorKind::needReplication);
    const unsigned dim = rule.addFactor(shape.dim, FactorKind::needReplication);
    query = {{batch}, {queries}, {kvHeads, group}, {dim}};
    key = {{batch}, {keys}, {kvHeads}, {dim}};
    lse = {{batch}, {kvHeads, group}, {queries}};
    queryPositions = {{batch}, {queries}};
    keyPositions = {{batch}, {keys}};
  }
};

} // namespace

LogicalResult AttentionOp::evaluate(ReferenceContext &, ArrayRef<const HostTensor *> operands,
                                    MutableArrayRef<HostTensor> results) {
  const HostTensor &query = *operands[0], &key = *operands[1], &value = *operands[2];
  const AttentionShape shape(query.shape(), key.shape());
  const bool hasPositions = static_cast<bool>(getQueryPositions());
  const Mask mask{getCausal(), hasPositions ? operands[3] : nullptr,
                  hasPositions ? operands[4] : nullptr};
  const double scale = getScale().convertToDouble();
  std::vector<double> scores(static_cast<size_t>(shape.keys));
  shape.forEachQuery([&](int64_t b, int64_t q, int64_t h) {
    const double *queryRow = query.values.data() + shape.queryOffset(b, q, h);
    double largest = -std::numeric_limits<double>::infinity(), sum = 0;
    for (int64_t k = 0; k < shape.keys; ++k) {
      scores[k] = -std::numeric_limits<double>::infinity();
      if (mask.sees(shape, b, q, k))
        scores[k] = scale * dot(queryRow, key.values.data() + shape.keyOffset(b, k, h), shape.dim);
      largest = std::max(largest, scores[k]);
    }
    // A query that sees no key keeps the result 0; the sum of no exponentials has logarithm -inf.
    results[1].values[shape.lseOffset(b, q, h)] = largest;
    if (std::isinf(largest))
      return;
    for (int64_t k = 0; k < shape.keys; ++k)
      sum += std::exp(scores[k] - largest);
    const double lse = largest + std::log(sum);
    results[1].values[shape.lseOffset(b, q, h)] = lse;
    double *result = results[0].values.data() + shape.queryOffset(b, q, h);
    for (int64_t k = 0; k < shape.keys; ++k) {
      const double probability = std::exp(scores[k] - lse);
      const double *valueRow = value.values.data() + shape.keyOffset(b, k, h);
      for (int64_t d = 0; d < shape.dim; ++d)
        result[d] += probability * valueRow[d];
    }
  });
  return success();
}

int64_t AttentionOp::getFlops() {
  const AttentionShape shape(tensorType(getQuery()).getShape(), tensorType(getKey()).getShape());
  const int64_t pairs =
      countPairs(shape.queries, shape.keys, getCausal(), static_cast<bool>(getQueryPositions()));
  return 4 * shape.batch * shape.heads * shape.dim * pairs;
}

ShardingRule AttentionOp::getShardingRule() {
  ShardingRule rule;
  const AttentionShape shape(tensorType(getQuery()).getShape(), tensorType(getKey()).getShape());
  const AttentionFactors factors(rule, shape, FactorKind::passThrough);
  rule.operands = {factors.query, factors.key, factors.key};
  if (getQueryPositions())
    rule.operands.append({factors.queryPositions, factors.keyPositions});
  rule.results = {factors.query, factors.lse};
  return rule;
}

//===----------------------------------------------------------------------===//
// attention_grad
//===----------------------------------------------------------------------===//

LogicalResult AttentionGradOp::evaluate(ReferenceContext &, ArrayRef<const HostTensor *> operands,
                                        MutableArrayRef<HostTensor> results) {
  const HostTensor &query = *operands[0], &key = *operands[1], &value = *operands[2];
  const AttentionShape shape(query.shape(), key.shape());
  const bool hasPositions = static_cast<bool>(getQueryPositions());
  const Mask mask{getCausal(), hasPositions ? operands[3] : nullptr,
                  hasPositions ? operands[4] : nullptr};
  ArrayRef<const HostTensor *> rest = operands.drop_front(hasPositions ? 5 : 3);
  const HostTensor &result = *rest[0], &lse = *rest[1], &dresult = *rest[2];
  const double scale = getScale().convertToDouble();
  shape.forEachQuery([&](int64_t b, int64_t q, int64_t h) {
    const int64_t at = shape.queryOffset(b, q, h);
    const double *dy = dresult.values.data() + at;
    const double mean = dot(dy, result.values.data() + at, shape.dim);
    for (int64_t k = 0; k < shape.keys; ++k) {
      if (!mask.sees(shape, b, q, k))
        continue;
      const int64_t from = shape.keyOffset(b, k, h);
      const double score =
          scale * dot(query.values.data() + at, key.values.data() + from, shape.dim);
      const double probability = std::exp(score - lse.values[shape.lseOffset(b, q, h)]);
      const double dscore =
          scale * probability * (dot(dy, value.values.data() + from, shape.dim) - mean);
      for (int64_t d = 0; d < shape.dim; ++d) {
        results[0].values[at + d] += dscore * key.values[from + d];
        results[1].values[from + d] += dscore * query.values[at + d];
        results[2].values[from + d] += probability * dy[d];
      }
    }
  });
  return success();
}

// Five products of the forward's size: scores again, dvalue, dprobability, dquery and dkey.
int64_t AttentionGradOp::getFlops() {
  const AttentionShape shape(tensorType(getQuery()).getShape(), tensorType(getKey()).getShape());
  const int64_t pairs =
      countPairs(shape.queries, shape.keys, getCausal(), static_cast<bool>(getQueryPositions()));
  return 10 * shape.batch * shape.heads * shape.dim * pairs;
}

ShardingRule AttentionGradOp::getShardingRule() {
  ShardingRule rule;
  const AttentionShape shape(tensorType(getQuery()).getShape(), tensorType(getKey()).getShape());
  // Heads that share a kv head add to the same dkey and dvalue: split, these are partial sums.
  const AttentionFactors factors(rule, shape, FactorKind::reduction);
  rule.operands = {factors.query, factors.key, factors.key};
  if (getQueryPositions())
    rule.operands.append({factors.queryPositions, factors.keyPositions});
  rule.operands.append({factors.query, factors.lse, factors.query});
  rule.results = {factors.query, factors.key, factors.key};
  return rule;
}

} // namespace titan
