// Evaluation, cost and sharding of the contraction.
#include "dialects/titan/TitanDialect.h"
#include "dialects/titan/ops/HostLoops.h"

using namespace mlir;

namespace titan {
namespace {

/// The letters of an equation by what they do, each with its extent. Example: "bsd,nd->bsn" has
/// M "bs", N "n", K "d" and no batch letters.
struct Contraction {
  StringRef lhs, rhs, result;
  std::string batch, m, n, k;
  llvm::SmallDenseMap<char, int64_t> extents;

  explicit Contraction(EinsumOp op) {
    auto [operands, output] = op.getEquation().split("->");
    std::tie(lhs, rhs) = operands.split(',');
    result = output;
    for (auto [letter, extent] : llvm::zip(lhs, tensorType(op.getLhs()).getShape()))
      extents[letter] = extent;
    for (auto [letter, extent] : llvm::zip(rhs, tensorType(op.getRhs()).getShape()))
      extents[letter] = extent;
    for (char letter : lhs)
      (!rhs.contains(letter) ? m : result.contains(letter) ? batch : k) += letter;
    for (char letter : rhs)
      if (!lhs.contains(letter))
        n += letter;
  }

  int64_t count(StringRef letters) const {
    int64_t product = 1;
    for (char letter : letters)
      product *= extents.lookup(letter);
    return product;
  }

  /// The elements of `tensor`, whose dimensions are `from`, in the order of the letters `to`.
  std::vector<double> permute(ArrayRef<double> tensor, StringRef from, StringRef to) const {
    SmallVector<int64_t> shape, permutedShape, permutedStrides;
    for (char letter : from)
      shape.push_back(extents.lookup(letter));
    SmallVector<int64_t> strides = getRowMajorStrides(shape);
    for (char letter : to) {
      permutedShape.push_back(extents.lookup(letter));
      permutedStrides.push_back(strides[from.find(letter)]);
    }
    return gather(tensor, permutedShape, permutedStrides);
  }
};

} // namespace

LogicalResult EinsumOp::evaluate(ReferenceContext &context, ArrayRef<const HostTensor *> operands,
                                 MutableArrayRef<HostTensor> results) {
  const Contraction contraction(*this);
  const std::string order = contraction.batch + contraction.m + contraction.n;
  const std::vector<double> lhs =
      contraction.permute(operands[0]->values, contraction.lhs,
                          contraction.batch + contraction.m + contraction.k);
  const std::vector<double> rhs =
      contraction.permute(operands[1]->values, contraction.rhs,
                          contraction.batch + contraction.k + contraction.n);
  std::vector<double> sum(results[0].values.size(), 0.0);
  if (getAcc())
    sum = contraction.permute(operands[2]->values, contraction.result, order);
  const int64_t m = contraction.count(contraction.m), n = contraction.count(contraction.n);
  const int64_t k = contraction.count(contraction.k);
  for (int64_t b = 0; b < contraction.count(contraction.batch); ++b)
    context.multiplyAdd(m, n, k, lhs.data() + b * m * k, rhs.data() + b * k * n,
                        sum.data() + b * m * n);
  results[0].values = contraction.permute(sum, order, contraction.result);
  return success();
}

int64_t EinsumOp::getFlops() {
  const Contraction contraction(*this);
  return 2 * contraction.count(contraction.batch) * contraction.count(contraction.m) *
         contraction.count(contraction.n) * contraction.count(contraction.k);
}

ShardingRule EinsumOp::getShardingRule() {
  const Contraction contraction(*this);
  ShardingRule rule;
  llvm::SmallDenseMap<char, unsigned> factors;
  auto addFactors = [&](StringRef letters, FactorKind kind) {
    for (char letter : letters)
      factors[letter] = rule.addFactor(contraction.extents.lookup(letter), kind);
  };
  addFactors(contraction.result, FactorKind::passThrough);
  addFactors(contraction.k, FactorKind::reduction);
  auto toDimensions = [&](StringRef letters) {
    TensorFactors dimensions;
    for (char letter : letters)
      dimensions.push_back({factors.lookup(letter)});
    return dimensions;
  };
  rule.operands = {toDimensions(contraction.lhs), toDimensions(contraction.rhs)};
  if (getAcc())
    rule.operands.push_back(toDimensions(contraction.result));
  rule.results = {toDimensions(contraction.result)};
  return rule;
}

} // namespace titan
