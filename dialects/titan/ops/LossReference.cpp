// Evaluation, cost and sharding of cross entropy, alone and with the output projection.
#include "dialects/titan/TitanDialect.h"
#include "dialects/titan/ops/HostLoops.h"

#include <cmath>

using namespace mlir;

namespace titan {
namespace {

struct LossSum {
  double loss = 0;
  double valid = 0;
};

/// Sums the cross entropies of rows of logits, of which the columns beyond `numClasses` are
/// padding; unless `dlogits` is null it receives (softmax - one hot) * dloss.
FailureOr<LossSum> sumCrossEntropy(Operation *op, Rows rows, std::optional<int64_t> numClasses,
                                   const double *logits, ArrayRef<double> labels, double *dlogits,
                                   double dloss) {
  const int64_t classes = numClasses.value_or(rows.width);
  LossSum sum;
  for (int64_t row = 0; row < rows.count; ++row) {
    const auto label = static_cast<int64_t>(labels[row]);
    if (label >= classes)
      return op->emitOpError() << "found label " << label << ", expects at most " << classes - 1;
    if (label < 0)
      continue;
    const double *x = logits + row * rows.width;
    const double largest = *std::max_element(x, x + classes);
    double exponentials = 0;
    for (int64_t i = 0; i < classes; ++i)
      exponentials += std::exp(x[i] - largest);
    const double lse = largest + std::log(exponentials);
    sum.loss += lse - x[label];
    sum.valid += 1;
    for (int64_t i = 0; dlogits && i < classes; ++i)
      dlogits[row * rows.width + i] = (std::exp(x[i] - lse) - (i == label ? 1 : 0)) * dloss;
  }
  return sum;
}

std::vector<double> transpose(ArrayRef<double> matrix, int64_t rows, int64_t columns) {
  return gather(matrix, {columns, rows}, {1, columns});
}

/// logits [tokens, classes] = input [tokens, dim] times weight [classes, dim] transposed.
std::vector<double> projectToLogits(ReferenceContext &context, const HostTensor &input,
                                    const HostTensor &weight) {
  const Rows tokens(input.shape()), classes(weight.shape());
  std::vector<double> logits(static_cast<size_t>(tokens.count * classes.count), 0.0);
  const std::vector<double> transposed = transpose(weight.values, classes.count, classes.width);
  context.multiplyAdd(tokens.count, classes.count, tokens.width, input.values.data(),
                      transposed.data(), logits.data());
  return logits;
}

/// Flops of the projection and, an element of the logits each, of `perLogit` more.
int64_t countHeadFlops(Value input, Value weight, int64_t products, int64_t perLogit) {
  const Rows tokens(tensorType(input).getShape());
  const int64_t classes = tensorType(weight).getShape()[0];
  return tokens.count * classes * (2 * products * tokens.width + perLogit);
}

// Per logit: the row's maximum, difference, exponential, sum; the gradient adds difference,
// exponential and product.
constexpr int64_t kForwardFlops = 4;
constexpr int64_t kGradientFlops = 7;

/// Factors of a loss over tokens. Split tokens give partial sums of the loss. A split of the
/// classes is for the ops' own partitioning: maxima and sums of exponentials are exchanged, the
/// losses are no plain partial sums.
struct LossFactors {
  TensorFactors tokens;
  DimensionFactors classes;

  LossFactors(ShardingRule &rule, ArrayRef<int64_t> tokenShape, int64_t numClasses) {
    for (int64_t extent : tokenShape)
      tokens.push_back({rule.addFactor(extent, FactorKind::reduction)});
    classes = {rule.addFactor(numClasses, FactorKind::reduction)};
  }

  /// The loss, result 0, and the number of valid rows, result 1, are whole when the classes are
  /// split: the op sums over the classes itself, and rows are counted without them.
  SmallVector<std::pair<unsigned, unsigned>, 2> completeSums() const {
    return {{0, classes[0]}, {1, classes[0]}};
  }

  TensorFactors tokensAnd(const DimensionFactors &last) const {
    TensorFactors dimensions = tokens;
    dimensions.push_back(last);
    return dimensions;
  }
};

} // namespace

//===----------------------------------------------------------------------===//
// cross_entropy
//===----------------------------------------------------------------------===//

LogicalResult CrossEntropyOp::evaluate(ReferenceContext &, ArrayRef<const HostTensor *> operands,
                                       MutableArrayRef<HostTensor> results) {
  const HostTensor &logits = *operands[0];
  FailureOr<LossSum> sum = sumCrossEntropy(*this, Rows(logits.shape()), getNumClasses(),
                                           logits.values.data(), operands[1]->values, nullptr, 0);
  if (failed(sum))
    return failure();
  results[0].values[0] = sum->loss;
  results[1].values[0] = sum->valid;
  return success();
}

int64_t CrossEntropyOp::getFlops() {
  return kForwardFlops * tensorType(getLogits()).getNumElements();
}

ShardingRule CrossEntropyOp::getShardingRule() {
  ShardingRule rule;
  const LossFactors factors(rule, tensorType(getLabels()).getShape(),
                            tensorType(getLogits()).getShape().back());
  rule.operands = {factors.tokensAnd(factors.classes), factors.tokens};
  rule.results = {{}, {}};
  rule.complete = factors.completeSums();
  return rule;
}

LogicalResult CrossEntropyGradOp::evaluate(ReferenceContext &,
                                           ArrayRef<const HostTensor *> operands,
                                           MutableArrayRef<HostTensor> results) {
  const HostTensor &logits = *operands[0];
  FailureOr<LossSum> sum =
      sumCrossEntropy(*this, Rows(logits.shape()), getNumClasses(), logits.values.data(),
                      operands[1]->values, results[2].values.data(), operands[2]->values[0]);
  if (failed(sum))
    return failure();
  results[0].values[0] = sum->loss;
  results[1].values[0] = sum->valid;
  return success();
}

int64_t CrossEntropyGradOp::getFlops() {
  return kGradientFlops * tensorType(getLogits()).getNumElements();
}

ShardingRule CrossEntropyGradOp::getShardingRule() {
  ShardingRule rule;
  const LossFactors factors(rule, tensorType(getLabels()).getShape(),
                            tensorType(getLogits()).getShape().back());
  rule.operands = {factors.tokensAnd(factors.classes), factors.tokens, {}};
  rule.results = {{}, {}, factors.tokensAnd(factors.classes)};
  rule.complete = factors.completeSums();
  return rule;
}

//===----------------------------------------------------------------------===//
// head_loss
//===----------------------------------------------------------------------===//

/// Split classes: ranks exchange sums within the op.
static LogicalResult refuseParts(Operation *op) {
  return op->emitOpError("has a part of the classes, which is evaluated after titan-chunk-loss");
}

LogicalResult HeadLossOp::evaluate(ReferenceContext &context, ArrayRef<const HostTensor *> operands,
                                   MutableArrayRef<HostTensor> results) {
  if (getClassAxes())
    return refuseParts(*this);
  const HostTensor &weight = *operands[1], &labels = *operands[2];
  const std::vector<double> logits = projectToLogits(context, *operands[0], weight);
  const Rows rows(labels.size(), weight.shape()[0]);
  FailureOr<LossSum> sum =
      sumCrossEntropy(*this, rows, getNumClasses(), logits.data(), labels.values, nullptr, 0);
  if (failed(sum))
    return failure();
  results[0].values[0] = sum->loss;
  results[1].values[0] = sum->valid;
  return success();
}

int64_t HeadLossOp::getFlops() { return countHeadFlops(getInput(), getWeight(), 1, kForwardFlops); }

ShardingRule HeadLossOp::getShardingRule() {
  ShardingRule rule;
  ArrayRef<int64_t> weight = tensorType(getWeight()).getShape();
  const LossFactors factors(rule, tensorType(getLabels()).getShape(), weight[0]);
  const DimensionFactors dim = {rule.addFactor(weight[1], FactorKind::needReplication)};
  rule.operands = {factors.tokensAnd(dim), {factors.classes, dim}, factors.tokens};
  if (getFirstClass())
    rule.operands.emplace_back();
  rule.results = {{}, {}};
  rule.complete = factors.completeSums();
  return rule;
}

LogicalResult HeadLossGradOp::evaluate(ReferenceContext &context,
                                       ArrayRef<const HostTensor *> operands,
                                       MutableArrayRef<HostTensor> results) {
  if (getClassAxes())
    return refuseParts(*this);
  const HostTensor &input = *operands[0], &weight = *operands[1], &labels = *operands[2];
  const std::vector<double> logits = projectToLogits(context, input, weight);
  std::vector<double> dlogits(logits.size(), 0.0);
  const int64_t tokens = labels.size(), classes = weight.shape()[0], dim = weight.shape()[1];
  FailureOr<LossSum> sum =
      sumCrossEntropy(*this, Rows(tokens, classes), getNumClasses(), logits.data(), labels.values,
                      dlogits.data(), operands[3]->values[0]);
  if (failed(sum))
    return failure();
  results[0].values[0] = sum->loss;
  results[1].values[0] = sum->valid;
  context.multiplyAdd(tokens, dim, classes, dlogits.data(), weight.values.data(),
                      results[2].values.data());
  context.multiplyAdd(classes, dim, tokens, transpose(dlogits, tokens, classes).data(),
                      input.values.data(), results[3].values.data());
  return success();
}

int64_t HeadLossGradOp::getFlops() {
  return countHeadFlops(getInput(), getWeight(), 3, kGradientFlops);
}

ShardingRule HeadLossGradOp::getShardingRule() {
  // Split tokens give a partial sum of dweight, split classes one of dinput.
  ShardingRule rule;
  ArrayRef<int64_t> weight = tensorType(getWeight()).getShape();
  const LossFactors factors(rule, tensorType(getLabels()).getShape(), weight[0]);
  const DimensionFactors dim = {rule.addFactor(weight[1], FactorKind::needReplication)};
  rule.operands = {factors.tokensAnd(dim), {factors.classes, dim}, factors.tokens, {}};
  if (getFirstClass())
    rule.operands.emplace_back();
  rule.results = {{}, {}, factors.tokensAnd(dim), {factors.classes, dim}};
  rule.complete = factors.completeSums();
  return rule;
}

} // namespace titan
