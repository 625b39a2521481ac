// Evaluation, cost and sharding of the embedding.
#include "dialects/titan/TitanDialect.h"
#include "dialects/titan/ops/HostLoops.h"

using namespace mlir;

namespace titan {

/// Stands for the row of a token in another rank's part of the table.
constexpr int64_t kElsewhere = -1;

/// The table row of a token, `kElsewhere` if the table is a part (`first` is not null) that lacks
/// it; fails with an error at `op` when a whole table has no such row.
static FailureOr<int64_t> getTableRow(Operation *op, double token, int64_t numRows,
                                      const HostTensor *first) {
  const auto row = static_cast<int64_t>(token - (first ? first->values[0] : 0));
  const bool exists = row >= 0 && row < numRows;
  if (first && !exists)
    return kElsewhere;
  if (!exists)
    return op->emitOpError() << "found token " << row << ", expects 0 to " << numRows - 1;
  return row;
}

LogicalResult EmbeddingOp::evaluate(ReferenceContext &, ArrayRef<const HostTensor *> operands,
                                    MutableArrayRef<HostTensor> results) {
  const HostTensor &tokens = *operands[0], &table = *operands[1];
  const Rows rows(table.shape());
  const HostTensor *first = getFirstRow() ? operands.back() : nullptr;
  for (int64_t i = 0; i < tokens.size(); ++i) {
    FailureOr<int64_t> row = getTableRow(*this, tokens.values[i], rows.count, first);
    if (failed(row))
      return failure();
    if (*row == kElsewhere)
      continue;
    std::copy_n(table.values.begin() + *row * rows.width, rows.width,
                results[0].values.begin() + i * rows.width);
  }
  return success();
}

int64_t EmbeddingOp::getFlops() { return 0; }

static TensorFactors addFactors(ShardingRule &rule, ArrayRef<int64_t> shape, FactorKind kind) {
  TensorFactors dimensions;
  for (int64_t extent : shape)
    dimensions.push_back({rule.addFactor(extent, kind)});
  return dimensions;
}

ShardingRule EmbeddingOp::getShardingRule() {
  ShardingRule rule;
  TensorFactors tokens =
      addFactors(rule, tensorType(getTokens()).getShape(), FactorKind::passThrough);
  // With split rows each device contributes the tokens it has and zeros for the others.
  ArrayRef<int64_t> shape = tensorType(getTable()).getShape();
  const unsigned vocabulary = rule.addFactor(shape[0], FactorKind::reduction);
  const unsigned width = rule.addFactor(shape[1]);
  TensorFactors result = tokens;
  result.push_back({width});
  rule.operands = {tokens, {{vocabulary}, {width}}};
  if (getFirstRow())
    rule.operands.emplace_back();
  rule.results = {result};
  return rule;
}

LogicalResult EmbeddingGradOp::evaluate(ReferenceContext &, ArrayRef<const HostTensor *> operands,
                                        MutableArrayRef<HostTensor> results) {
  const HostTensor &dresult = *operands[0], &tokens = *operands[1];
  if (getAcc())
    results[0].values = operands[2]->values;
  const Rows rows(results[0].shape());
  const HostTensor *first = getFirstRow() ? operands.back() : nullptr;
  for (int64_t i = 0; i < tokens.size(); ++i) {
    FailureOr<int64_t> row = getTableRow(*this, tokens.values[i], rows.count, first);
    if (failed(row))
      return failure();
    if (*row == kElsewhere)
      continue;
    for (int64_t j = 0; j < rows.width; ++j)
      results[0].values[*row * rows.width + j] += dresult.values[i * rows.width + j];
  }
  return success();
}

int64_t EmbeddingGradOp::getFlops() { return tensorType(getDresult()).getNumElements(); }

ShardingRule EmbeddingGradOp::getShardingRule() {
  ShardingRule rule;
  // A partial sum cannot be added to an accumulator, which is whole.
  TensorFactors tokens = addFactors(rule, tensorType(getTokens()).getShape(),
                                    getAcc() ? FactorKind::needReplication : FactorKind::reduction);
  TensorFactors table =
      addFactors(rule, tensorType(getDtable()).getShape(), FactorKind::passThrough);
  TensorFactors dresult = tokens;
  dresult.push_back(table[1]);
  rule.operands = {dresult, tokens};
  if (getAcc())
    rule.operands.push_back(table);
  else
    rule.linear = {0};
  if (getFirstRow())
    rule.operands.emplace_back();
  rule.results = {table};
  return rule;
}

} // namespace titan
