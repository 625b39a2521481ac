// Evaluation, cost and sharding of the elementwise ops.
#include "dialects/titan/TitanDialect.h"

#include <cmath>

using namespace mlir;

namespace titan {

using Operands = ArrayRef<const HostTensor *>;
using Results = MutableArrayRef<HostTensor>;

template <typename Function>
static LogicalResult mapUnary(Operands operands, Results results, Function function) {
  for (auto [to, from] : llvm::zip_equal(results[0].values, operands[0]->values))
    to = function(from);
  return success();
}

template <typename Function>
static LogicalResult mapBinary(Operands operands, Results results, Function function) {
  for (auto [to, lhs, rhs] :
       llvm::zip_equal(results[0].values, operands[0]->values, operands[1]->values))
    to = function(lhs, rhs);
  return success();
}

static int64_t countElements(Operation *op) {
  return cast<RankedTensorType>(op->getResult(0).getType()).getNumElements();
}

static double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

LogicalResult AddOp::evaluate(ReferenceContext &, Operands operands, Results results) {
  return mapBinary(operands, results, [](double a, double b) { return a + b; });
}
int64_t AddOp::getFlops() { return countElements(*this); }
ShardingRule AddOp::getShardingRule() {
  return getLinearPointwiseRule(*this, ShardingRule::Linearity::together);
}

LogicalResult SubOp::evaluate(ReferenceContext &, Operands operands, Results results) {
  return mapBinary(operands, results, [](double a, double b) { return a - b; });
}
int64_t SubOp::getFlops() { return countElements(*this); }
ShardingRule SubOp::getShardingRule() {
  return getLinearPointwiseRule(*this, ShardingRule::Linearity::together);
}

LogicalResult MulOp::evaluate(ReferenceContext &, Operands operands, Results results) {
  return mapBinary(operands, results, [](double a, double b) { return a * b; });
}
int64_t MulOp::getFlops() { return countElements(*this); }
ShardingRule MulOp::getShardingRule() { return getPointwiseRule(*this); }

LogicalResult DivOp::evaluate(ReferenceContext &, Operands operands, Results results) {
  return mapBinary(operands, results, [](double a, double b) { return a / b; });
}
int64_t DivOp::getFlops() { return countElements(*this); }
ShardingRule DivOp::getShardingRule() { return getPointwiseRule(*this); }

LogicalResult MinimumOp::evaluate(ReferenceContext &, Operands operands, Results results) {
  // No number wins over every number, so that a broken gradient cannot hide behind a bound.
  return mapBinary(operands, results,
                   [](double a, double b) { return std::isnan(a) || a < b ? a : b; });
}
int64_t MinimumOp::getFlops() { return countElements(*this); }
ShardingRule MinimumOp::getShardingRule() { return getPointwiseRule(*this); }

LogicalResult NegOp::evaluate(ReferenceContext &, Operands operands, Results results) {
  return mapUnary(operands, results, [](double x) { return -x; });
}
int64_t NegOp::getFlops() { return countElements(*this); }
ShardingRule NegOp::getShardingRule() {
  return getLinearPointwiseRule(*this, ShardingRule::Linearity::each);
}

LogicalResult ExpOp::evaluate(ReferenceContext &, Operands operands, Results results) {
  return mapUnary(operands, results, [](double x) { return std::exp(x); });
}
int64_t ExpOp::getFlops() { return countElements(*this); }
ShardingRule ExpOp::getShardingRule() { return getPointwiseRule(*this); }

LogicalResult LogOp::evaluate(ReferenceContext &, Operands operands, Results results) {
  return mapUnary(operands, results, [](double x) { return std::log(x); });
}
int64_t LogOp::getFlops() { return countElements(*this); }
ShardingRule LogOp::getShardingRule() { return getPointwiseRule(*this); }

LogicalResult SqrtOp::evaluate(ReferenceContext &, Operands operands, Results results) {
  return mapUnary(operands, results, [](double x) { return std::sqrt(x); });
}
int64_t SqrtOp::getFlops() { return countElements(*this); }
ShardingRule SqrtOp::getShardingRule() { return getPointwiseRule(*this); }

LogicalResult RsqrtOp::evaluate(ReferenceContext &, Operands operands, Results results) {
  return mapUnary(operands, results, [](double x) { return 1.0 / std::sqrt(x); });
}
int64_t RsqrtOp::getFlops() { return countElements(*this); }
ShardingRule RsqrtOp::getShardingRule() { return getPointwiseRule(*this); }

LogicalResult SiluOp::evaluate(ReferenceContext &, Operands operands, Results results) {
  return mapUnary(operands, results, [](double x) { return x * sigmoid(x); });
}
// Negation, exponential, sum, quotient.
int64_t SiluOp::getFlops() { return 4 * countElements(*this); }
ShardingRule SiluOp::getShardingRule() { return getPointwiseRule(*this); }

LogicalResult SiluGradOp::evaluate(ReferenceContext &, Operands operands, Results results) {
  return mapBinary(operands, results, [](double x, double dy) {
    const double s = sigmoid(x);
    return dy * s * (1.0 + x * (1.0 - s));
  });
}
int64_t SiluGradOp::getFlops() { return 9 * countElements(*this); }
ShardingRule SiluGradOp::getShardingRule() { return getPointwiseRule(*this); }

LogicalResult IsFiniteOp::evaluate(ReferenceContext &, Operands operands, Results results) {
  return mapUnary(operands, results, [](double x) { return std::isfinite(x) ? 1.0 : 0.0; });
}
int64_t IsFiniteOp::getFlops() { return countElements(*this); }
ShardingRule IsFiniteOp::getShardingRule() { return getPointwiseRule(*this); }

LogicalResult CastOp::evaluate(ReferenceContext &, Operands operands, Results results) {
  results[0].values = operands[0]->values;
  return success();
}
int64_t CastOp::getFlops() { return 0; }
ShardingRule CastOp::getShardingRule() {
  // Parts of a sum are not rounded before they are added.
  const bool widens = tensorType(getResult()).getElementTypeBitWidth() >=
                      tensorType(getInput()).getElementTypeBitWidth();
  return widens ? getLinearPointwiseRule(*this, ShardingRule::Linearity::each)
                : getPointwiseRule(*this);
}

LogicalResult FullOp::evaluate(ReferenceContext &, Operands, Results results) {
  llvm::fill(results[0].values, getValue().convertToDouble());
  return success();
}
int64_t FullOp::getFlops() { return 0; }
ShardingRule FullOp::getShardingRule() {
  ShardingRule rule = getPointwiseRule(*this);
  rule.isZero = getValue().isZero();
  return rule;
}

} // namespace titan
