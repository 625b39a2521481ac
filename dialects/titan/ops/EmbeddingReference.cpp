// Evaluation, cost and sharding of the embedding.
#include "dialects/titan/TitanDialect.h"
#include "dialects/titan/ops/HostLoops.h"

using namespace mlir;

namespace titan {

/// The table row of a token; fails with an error at `op` when there is none.
static FailureOr<int64_t> getTableRow(Operation *op, double token, int64_t numRows) {
  const auto row = static_cast<int64_t>(token);
  if (row < 0 || row >= numRows)
    return op->emitOpError() << "found token " << row << ", expects 0 to " << numRows - 1;
  return row;
}

LogicalResult EmbeddingOp::evaluate(ReferenceContext &, ArrayRef<const HostTensor *> operands,
                                    MutableArrayRef<HostTensor> results) {
  const HostTensor &tokens = *operands[0], &table = *operands[1];
  const Rows rows(table.shape());
  for (int64_t i = 0; i < tokens.size(); ++i) {
    FailureOr<int64_t> row = getTableRow(*this, tokens.values[i], rows.count);
    if (failed(row))
      return failure();
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
  rule.results = {result};
  return rule;
}

LogicalResult EmbeddingGradOp::evaluate(ReferenceContext &, ArrayRef<const HostTensor *> operands,
                                        MutableArrayRef<HostTensor> results) {
  const HostTensor &dresult = *operands[0], &tokens = *operands[1];
  if (getAcc())
    results[0].values = operands[2]->values;
  const Rows rows(results[0].shape());
  for (int64_t i = 0; i < tokens.size(); ++i) {
    FailureOr<int64_t> row = getTableRow(*this, tokens.values[i], rows.count);
    if (failed(row))
      return failure();
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
  rule.results = {table};
  return rule;
}

} // namespace titan
