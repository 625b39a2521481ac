// Evaluation, cost and sharding of reductions.
#include "dialects/titan/TitanDialect.h"
#include "dialects/titan/ops/HostLoops.h"

#include <cmath>
#include <limits>
#include <numeric>

using namespace mlir;

namespace titan {

static double reduceRow(Reduction reduction, ArrayRef<double> row) {
  if (reduction == Reduction::sum)
    return std::accumulate(row.begin(), row.end(), 0.0);
  // No number wins over every number.
  double largest = -std::numeric_limits<double>::infinity();
  for (double x : row)
    largest = std::isnan(largest) || x <= largest ? largest : x;
  return largest;
}

LogicalResult ReduceOp::evaluate(ReferenceContext &, ArrayRef<const HostTensor *> operands,
                                 MutableArrayRef<HostTensor> results) {
  // Kept dimensions outermost: then each result is a row.
  const HostTensor &input = *operands[0];
  const SmallVector<int64_t> inputStrides = getRowMajorStrides(input.shape());
  SmallVector<int64_t> shape, strides;
  int64_t width = 1;
  for (bool reduced : {false, true})
    for (auto [dimension, extent] : llvm::enumerate(input.shape())) {
      if (llvm::is_contained(getDimensions(), static_cast<int64_t>(dimension)) != reduced)
        continue;
      shape.push_back(extent);
      strides.push_back(inputStrides[dimension]);
      width *= reduced ? extent : 1;
    }
  const std::vector<double> rows = gather(input.values, shape, strides);
  for (auto [index, result] : llvm::enumerate(results[0].values))
    result = reduceRow(getReduction(), ArrayRef(rows).slice(index * width, width));
  return success();
}

int64_t ReduceOp::getFlops() { return tensorType(getInput()).getNumElements(); }

ShardingRule ReduceOp::getShardingRule() {
  // Only a sum over a split dimension is a partial sum.
  const FactorKind kind =
      getReduction() == Reduction::sum ? FactorKind::reduction : FactorKind::needReplication;
  ShardingRule rule;
  TensorFactors input, result;
  for (auto [dimension, extent] : llvm::enumerate(tensorType(getInput()).getShape())) {
    const bool reduced = llvm::is_contained(getDimensions(), static_cast<int64_t>(dimension));
    input.push_back({rule.addFactor(extent, reduced ? kind : FactorKind::passThrough)});
    if (!reduced)
      result.push_back(input.back());
  }
  rule.operands = {input};
  rule.results = {result};
  if (getReduction() == Reduction::sum)
    rule.linear = {0};
  return rule;
}

LogicalResult SumOfSquaresOp::evaluate(ReferenceContext &, ArrayRef<const HostTensor *> operands,
                                       MutableArrayRef<HostTensor> results) {
  for (const HostTensor *operand : operands)
    for (double x : operand->values)
      results[0].values[0] += x * x;
  return success();
}

int64_t SumOfSquaresOp::getFlops() {
  int64_t elements = 0;
  for (Value input : getInputs())
    elements += tensorType(input).getNumElements();
  return 2 * elements;
}

ShardingRule SumOfSquaresOp::getShardingRule() {
  ShardingRule rule;
  for (Value input : getInputs()) {
    TensorFactors &dimensions = rule.operands.emplace_back();
    for (int64_t extent : tensorType(input).getShape())
      dimensions.push_back({rule.addFactor(extent, FactorKind::reduction)});
  }
  rule.results = {{}};
  // The result is a sum of terms: split, each of them is a partial sum.
  rule.linearity = ShardingRule::Linearity::together;
  return rule;
}

} // namespace titan
