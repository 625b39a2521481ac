// Evaluation, cost and sharding of the normalizations.
#include "dialects/titan/TitanDialect.h"
#include "dialects/titan/ops/HostLoops.h"

#include <cmath>

using namespace mlir;

namespace titan {

LogicalResult RmsNormOp::evaluate(ReferenceContext &, ArrayRef<const HostTensor *> operands,
                                  MutableArrayRef<HostTensor> results) {
  const HostTensor &input = *operands[0], &weight = *operands[1];
  const double epsilon = getEpsilon().convertToDouble();
  const Rows rows(input.shape());
  for (int64_t row = 0; row < rows.count; ++row) {
    const double *x = input.values.data() + row * rows.width;
    double *y = results[0].values.data() + row * rows.width;
    double squares = 0;
    for (int64_t i = 0; i < rows.width; ++i)
      squares += x[i] * x[i];
    const double rstd = 1.0 / std::sqrt(squares / static_cast<double>(rows.width) + epsilon);
    for (int64_t i = 0; i < rows.width; ++i)
      y[i] = x[i] * rstd * weight.values[i];
    results[1].values[row] = rstd;
  }
  return success();
}

// Two for the mean square, two for the products with rstd and weight.
int64_t RmsNormOp::getFlops() { return 4 * tensorType(getInput()).getNumElements(); }

/// Factors of the rows' dimensions and of the normalized one, which is the last entry.
static TensorFactors addRowFactors(ShardingRule &rule, ArrayRef<int64_t> shape, FactorKind kind) {
  TensorFactors dimensions;
  for (int64_t extent : shape.drop_back())
    dimensions.push_back({rule.addFactor(extent, kind)});
  dimensions.push_back({rule.addFactor(shape.back(), FactorKind::needReplication)});
  return dimensions;
}

ShardingRule RmsNormOp::getShardingRule() {
  ShardingRule rule;
  TensorFactors input =
      addRowFactors(rule, tensorType(getInput()).getShape(), FactorKind::passThrough);
  TensorFactors rows(llvm::drop_end(input));
  rule.operands = {input, {input.back()}};
  rule.results = {input, rows};
  return rule;
}

LogicalResult RmsNormGradOp::evaluate(ReferenceContext &, ArrayRef<const HostTensor *> operands,
                                      MutableArrayRef<HostTensor> results) {
  const HostTensor &dresult = *operands[0], &input = *operands[1], &weight = *operands[2];
  const Rows rows(input.shape());
  for (int64_t row = 0; row < rows.count; ++row) {
    const double *dy = dresult.values.data() + row * rows.width;
    const double *x = input.values.data() + row * rows.width;
    double *dx = results[0].values.data() + row * rows.width;
    const double rstd = operands[3]->values[row];
    double projection = 0;
    for (int64_t i = 0; i < rows.width; ++i) {
      projection += dy[i] * weight.values[i] * x[i];
      results[1].values[i] += dy[i] * x[i] * rstd;
    }
    // d rstd / d x = -rstd^3 x / width.
    const double scale = projection * rstd * rstd / static_cast<double>(rows.width);
    for (int64_t i = 0; i < rows.width; ++i)
      dx[i] = rstd * (dy[i] * weight.values[i] - x[i] * scale);
  }
  return success();
}

// Per element: 3 for the projection, 3 for dweight, 4 for dinput.
int64_t RmsNormGradOp::getFlops() { return 10 * tensorType(getInput()).getNumElements(); }

ShardingRule RmsNormGradOp::getShardingRule() {
  // Split rows give a split dinput and a partial sum of dweight.
  ShardingRule rule;
  TensorFactors input =
      addRowFactors(rule, tensorType(getInput()).getShape(), FactorKind::reduction);
  TensorFactors rows(llvm::drop_end(input));
  rule.operands = {input, input, {input.back()}, rows};
  rule.linear = {0};
  rule.results = {input, {input.back()}};
  return rule;
}

} // namespace titan
