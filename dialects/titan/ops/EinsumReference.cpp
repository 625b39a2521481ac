// Evaluation, cost and sharding of the contraction.
#include "dialects/titan/ops/Einsum.h"
#include "dialects/titan/ops/HostLoops.h"

using namespace mlir;

namespace titan {

/// The groups of a verified op.
static EinsumSpec getSpec(EinsumOp op) {
  std::string error;
  std::optional<EinsumSpec> spec = parseEinsum(op.getEquation(), error);
  assert(spec && "the verifier accepts only equations that parse");
  return *spec;
}

static EinsumSizes getSizes(EinsumOp op) {
  return getEinsumSizes(getSpec(op), tensorType(op.getLhs()), tensorType(op.getRhs()));
}

/// `tensor` as [batch, rows, columns]; when `transposed` it is stored [batch, columns, rows].
static std::vector<double> toMatrices(ArrayRef<double> tensor, int64_t batch, int64_t rows,
                                      int64_t columns, bool transposed) {
  const int64_t size = rows * columns;
  if (!transposed)
    return tensor.vec();
  return gather(tensor, {batch, rows, columns}, {size, 1, rows});
}

LogicalResult EinsumOp::evaluate(ReferenceContext &context, ArrayRef<const HostTensor *> operands,
                                 MutableArrayRef<HostTensor> results) {
  const EinsumSpec spec = getSpec(*this);
  const auto [batch, m, n, k] = getSizes(*this);
  const std::vector<double> lhs = toMatrices(operands[0]->values, batch, m, k, spec.transposeLhs);
  const std::vector<double> rhs = toMatrices(operands[1]->values, batch, k, n, spec.transposeRhs);
  if (getAcc())
    results[0].values = operands[2]->values;
  for (int64_t b = 0; b < batch; ++b)
    context.multiplyAdd(m, n, k, lhs.data() + b * m * k, rhs.data() + b * k * n,
                        results[0].values.data() + b * m * n);
  return success();
}

int64_t EinsumOp::getFlops() {
  const auto [batch, m, n, k] = getSizes(*this);
  return 2 * batch * m * n * k;
}

ShardingRule EinsumOp::getShardingRule() {
  const EinsumSpec spec = getSpec(*this);
  ShardingRule rule;
  llvm::SmallDenseMap<char, unsigned> factors;
  // A partial sum cannot be added to an accumulator, which is whole.
  const FactorKind contracted = getAcc() ? FactorKind::needReplication : FactorKind::reduction;
  auto toDimensions = [&](StringRef letters, RankedTensorType type) {
    TensorFactors dimensions;
    for (auto [letter, size] : llvm::zip_equal(letters, type.getShape())) {
      auto [known, isNew] = factors.try_emplace(letter, 0);
      if (isNew)
        known->second = rule.addFactor(
            size, StringRef(spec.k).contains(letter) ? contracted : FactorKind::passThrough);
      dimensions.push_back({known->second});
    }
    return dimensions;
  };
  rule.operands = {toDimensions(spec.lhs, tensorType(getLhs())),
                   toDimensions(spec.rhs, tensorType(getRhs()))};
  rule.results = {toDimensions(spec.out, tensorType(getResult()))};
  if (getAcc())
    rule.operands.push_back(rule.results.front());
  else
    rule.linear = {0, 1};
  return rule;
}

} // namespace titan
