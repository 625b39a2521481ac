// Evaluation, cost and sharding of ops that move elements or compare indices.
#include "dialects/titan/TitanDialect.h"
#include "dialects/titan/ops/HostLoops.h"

#include <numeric>

using namespace mlir;

namespace titan {

//===----------------------------------------------------------------------===//
// reshape
//===----------------------------------------------------------------------===//

LogicalResult ReshapeOp::evaluate(ReferenceContext &, ArrayRef<const HostTensor *> operands,
                                  MutableArrayRef<HostTensor> results) {
  results[0].values = operands[0]->values;
  return success();
}

int64_t ReshapeOp::getFlops() { return 0; }

namespace {

/// Splits the dimensions of two shapes of equally many elements into common factors, outermost
/// first. Example: [6, 8] to [2, 24] has the factors 2, 3, 8: {{2, 3}, {8}} and {{2}, {3, 8}}.
class ReshapeFactors {
public:
  ReshapeFactors(ShardingRule &rule, ArrayRef<int64_t> from, ArrayRef<int64_t> to)
      : rule(rule), input{from, {}}, output{to, {}} {
    if (llvm::is_contained(from, 0)) {
      input.takeRest(rule);
      output.takeRest(rule);
    }
    while (!input.done() && !output.done())
      matchNext();
    // What is left has the extent 1 on either side.
    input.takeRest(rule);
    output.takeRest(rule);
  }

  TensorFactors getInput() const { return input.factors; }
  TensorFactors getOutput() const { return output.factors; }

private:
  struct Side {
    ArrayRef<int64_t> shape;
    TensorFactors factors;
    int64_t rest = 0; // of the dimension factors.size() - 1 that no factor covers yet

    Side(ArrayRef<int64_t> shape, TensorFactors factors) : shape(shape), factors(factors) {
      next();
    }
    bool done() const { return factors.size() > shape.size(); }
    /// Goes on to the next dimension; beyond the last one stands an empty entry until the end.
    void next() {
      rest = factors.size() < shape.size() ? shape[factors.size()] : 1;
      factors.emplace_back();
    }
    void take(unsigned factor, int64_t size) {
      factors.back().push_back(factor);
      rest /= size;
    }
    void takeWhole(ShardingRule &rule) {
      if (rest != 1)
        take(rule.addFactor(rest, FactorKind::needReplication), rest);
      rest = 1;
    }
    void takeRest(ShardingRule &rule) {
      for (; !done(); next())
        takeWhole(rule);
      factors.resize(shape.size());
    }
  };

  void matchNext() {
    if (input.rest == 1)
      return input.next();
    if (output.rest == 1)
      return output.next();
    const int64_t common = std::gcd(input.rest, output.rest);
    if (common == 1)
      return skipBlock();
    const unsigned factor = rule.addFactor(common);
    input.take(factor, common);
    output.take(factor, common);
  }

  /// The outermost parts have no common factor, such as [2, 3] to [3, 2]: no split of the one is a
  /// split of the other until the products agree again.
  void skipBlock() {
    int64_t inputProduct = input.rest, outputProduct = output.rest;
    input.takeWhole(rule);
    output.takeWhole(rule);
    while (inputProduct != outputProduct) {
      Side &side = inputProduct < outputProduct ? input : output;
      side.next();
      (inputProduct < outputProduct ? inputProduct : outputProduct) *= side.rest;
      side.takeWhole(rule);
    }
  }

  ShardingRule &rule;
  Side input, output;
};

} // namespace

ShardingRule ReshapeOp::getShardingRule() {
  ShardingRule rule;
  const ReshapeFactors factors(rule, tensorType(getInput()).getShape(),
                               tensorType(getResult()).getShape());
  rule.operands = {factors.getInput()};
  rule.results = {factors.getOutput()};
  rule.linear = {0};
  return rule;
}

//===----------------------------------------------------------------------===//
// slice and concat
//===----------------------------------------------------------------------===//

static int64_t getRowSize(const HostTensor &tensor) {
  return tensor.shape()[0] == 0 ? 0 : tensor.size() / tensor.shape()[0];
}

LogicalResult SliceOp::evaluate(ReferenceContext &, ArrayRef<const HostTensor *> operands,
                                MutableArrayRef<HostTensor> results) {
  const auto first = static_cast<int64_t>(getOffset()) * getRowSize(*operands[0]);
  std::copy_n(operands[0]->values.begin() + first, results[0].size(), results[0].values.begin());
  return success();
}

int64_t SliceOp::getFlops() { return 0; }

/// Factors of tensors that differ in their first dimension only; `permutation` for that one, since
/// a split of the one tensor is another split of the other.
static TensorFactors addPartFactors(ShardingRule &rule, Value value, const TensorFactors &others) {
  TensorFactors dimensions = others;
  dimensions.front() = {rule.addFactor(tensorType(value).getShape()[0], FactorKind::permutation)};
  return dimensions;
}

static TensorFactors addInnerFactors(ShardingRule &rule, Value value) {
  TensorFactors dimensions(1);
  for (int64_t extent : tensorType(value).getShape().drop_front())
    dimensions.push_back({rule.addFactor(extent)});
  return dimensions;
}

ShardingRule SliceOp::getShardingRule() {
  ShardingRule rule;
  const TensorFactors inner = addInnerFactors(rule, getInput());
  rule.operands = {addPartFactors(rule, getInput(), inner)};
  rule.results = {addPartFactors(rule, getResult(), inner)};
  rule.linear = {0};
  return rule;
}

LogicalResult ConcatOp::evaluate(ReferenceContext &, ArrayRef<const HostTensor *> operands,
                                 MutableArrayRef<HostTensor> results) {
  auto to = results[0].values.begin();
  for (const HostTensor *operand : operands)
    to = std::copy(operand->values.begin(), operand->values.end(), to);
  return success();
}

int64_t ConcatOp::getFlops() { return 0; }

ShardingRule ConcatOp::getShardingRule() {
  ShardingRule rule;
  const TensorFactors inner = addInnerFactors(rule, getResult());
  for (Value input : getInputs())
    rule.operands.push_back(addPartFactors(rule, input, inner));
  rule.results = {addPartFactors(rule, getResult(), inner)};
  rule.linearity = ShardingRule::Linearity::together;
  for (unsigned operand = 0; operand < getNumOperands(); ++operand)
    rule.linear.push_back(operand);
  return rule;
}

//===----------------------------------------------------------------------===//
// broadcast and transpose
//===----------------------------------------------------------------------===//

LogicalResult BroadcastOp::evaluate(ReferenceContext &, ArrayRef<const HostTensor *> operands,
                                    MutableArrayRef<HostTensor> results) {
  SmallVector<int64_t> strides(results[0].shape().size(), 0);
  for (auto [dimension, stride] :
       llvm::zip_equal(getDimensions(), getRowMajorStrides(operands[0]->shape())))
    strides[dimension] = stride;
  results[0].values = gather(operands[0]->values, results[0].shape(), strides);
  return success();
}

int64_t BroadcastOp::getFlops() { return 0; }

ShardingRule BroadcastOp::getShardingRule() {
  ShardingRule rule;
  TensorFactors result, input;
  for (int64_t extent : tensorType(getResult()).getShape())
    result.push_back({rule.addFactor(extent)});
  for (int64_t dimension : getDimensions())
    input.push_back(result[dimension]);
  rule.operands = {input};
  rule.results = {result};
  rule.linear = {0};
  return rule;
}

LogicalResult TransposeOp::evaluate(ReferenceContext &, ArrayRef<const HostTensor *> operands,
                                    MutableArrayRef<HostTensor> results) {
  const SmallVector<int64_t> inputStrides = getRowMajorStrides(operands[0]->shape());
  SmallVector<int64_t> strides;
  for (int64_t dimension : getPermutation())
    strides.push_back(inputStrides[dimension]);
  results[0].values = gather(operands[0]->values, results[0].shape(), strides);
  return success();
}

int64_t TransposeOp::getFlops() { return 0; }

ShardingRule TransposeOp::getShardingRule() {
  ShardingRule rule;
  TensorFactors input, result;
  for (int64_t extent : tensorType(getInput()).getShape())
    input.push_back({rule.addFactor(extent)});
  for (int64_t dimension : getPermutation())
    result.push_back(input[dimension]);
  rule.operands = {input};
  rule.results = {result};
  rule.linear = {0};
  return rule;
}

//===----------------------------------------------------------------------===//
// one_hot and is_valid
//===----------------------------------------------------------------------===//

LogicalResult OneHotOp::evaluate(ReferenceContext &, ArrayRef<const HostTensor *> operands,
                                 MutableArrayRef<HostTensor> results) {
  const Rows rows(results[0].shape());
  for (int64_t row = 0; row < rows.count; ++row) {
    const double first = getFirst() ? operands[1]->values[0] : 0;
    const auto label = static_cast<int64_t>(operands[0]->values[row] - first);
    if (label >= 0 && label < rows.width)
      results[0].values[row * rows.width + label] = 1;
  }
  return success();
}

int64_t OneHotOp::getFlops() { return 0; }

ShardingRule OneHotOp::getShardingRule() {
  ShardingRule rule;
  TensorFactors labels;
  for (int64_t extent : tensorType(getLabels()).getShape())
    labels.push_back({rule.addFactor(extent)});
  // An element knows its class from its index, which a part of the tensor does not have.
  TensorFactors result = labels;
  result.push_back(
      {rule.addFactor(tensorType(getResult()).getShape().back(), FactorKind::needReplication)});
  rule.operands = {labels};
  if (getFirst())
    rule.operands.emplace_back();
  rule.results = {result};
  return rule;
}

LogicalResult MaskColumnsOp::evaluate(ReferenceContext &, ArrayRef<const HostTensor *> operands,
                                      MutableArrayRef<HostTensor> results) {
  const Rows rows(results[0].shape());
  const double first = getFirst() ? operands[1]->values[0] : 0;
  const double end = static_cast<double>(getEnd()) - first, value = getValue().convertToDouble();
  for (int64_t i = 0; i < results[0].size(); ++i)
    results[0].values[i] =
        static_cast<double>(i % rows.width) < end ? operands[0]->values[i] : value;
  return success();
}

int64_t MaskColumnsOp::getFlops() { return 0; }

ShardingRule MaskColumnsOp::getShardingRule() {
  ShardingRule rule;
  TensorFactors factors;
  ArrayRef<int64_t> shape = tensorType(getInput()).getShape();
  for (int64_t extent : shape.drop_back())
    factors.push_back({rule.addFactor(extent)});
  factors.push_back({rule.addFactor(shape.back(), FactorKind::needReplication)});
  rule.operands = {factors};
  if (getFirst())
    rule.operands.emplace_back();
  rule.results = {factors};
  return rule;
}

LogicalResult IsValidOp::evaluate(ReferenceContext &, ArrayRef<const HostTensor *> operands,
                                  MutableArrayRef<HostTensor> results) {
  for (auto [to, label] : llvm::zip_equal(results[0].values, operands[0]->values))
    to = label >= 0 ? 1 : 0;
  return success();
}

int64_t IsValidOp::getFlops() { return 0; }
ShardingRule IsValidOp::getShardingRule() { return getPointwiseRule(*this); }

} // namespace titan
