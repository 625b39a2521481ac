#include "dialects/interfaces/Buffering.h"
#include "dialects/interfaces/Chunkable.h"
#include "dialects/interfaces/Collective.h"
#include "dialects/interfaces/Cost.h"
#include "dialects/interfaces/Differentiable.h"
#include "dialects/interfaces/Fusible.h"
#include "dialects/interfaces/Partition.h"
#include "dialects/interfaces/Precision.h"
#include "dialects/interfaces/Reference.h"
#include "dialects/interfaces/ShardingRule.h"

#include "mlir/IR/BuiltinTypes.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;

#include "dialects/interfaces/Buffering.cpp.inc"
#include "dialects/interfaces/Chunkable.cpp.inc"
#include "dialects/interfaces/Collective.cpp.inc"
#include "dialects/interfaces/Cost.cpp.inc"
#include "dialects/interfaces/Differentiable.cpp.inc"
#include "dialects/interfaces/Fusible.cpp.inc"
#include "dialects/interfaces/Partition.cpp.inc"
#include "dialects/interfaces/Precision.cpp.inc"
#include "dialects/interfaces/Reference.cpp.inc"
#include "dialects/interfaces/ShardingRule.cpp.inc"

namespace titan {

int64_t getByteSize(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor || !tensor.hasStaticShape())
    return 0;
  const int64_t bits = tensor.getElementType().getIntOrFloatBitWidth();
  return tensor.getNumElements() * std::max<int64_t>(1, bits / 8);
}

int64_t detail::sumOfBytes(TypeRange types) {
  int64_t bytes = 0;
  for (Type type : types)
    bytes += getByteSize(type);
  return bytes;
}

PrecisionRule PrecisionRule::all(Operation *op) {
  auto floats = [](TypeRange types) {
    llvm::BitVector bits(types.size());
    for (auto [i, type] : llvm::enumerate(types))
      bits[i] = isa<FloatType>(getElementTypeOrSelf(type));
    return bits;
  };
  return {floats(op->getOperandTypes()), floats(op->getResultTypes())};
}

PrecisionRule PrecisionRule::of(Operation *op, ArrayRef<unsigned> operands,
                                ArrayRef<unsigned> results) {
  PrecisionRule rule{llvm::BitVector(op->getNumOperands()), llvm::BitVector(op->getNumResults())};
  for (unsigned operand : operands)
    rule.operands.set(operand);
  for (unsigned result : results)
    rule.results.set(result);
  return rule;
}

ShardingRule getPointwiseRule(Operation *op) {
  ShardingRule rule;
  auto shape = cast<RankedTensorType>(op->getResult(0).getType()).getShape();
  TensorFactors dimensions;
  for (int64_t size : shape)
    dimensions.push_back({rule.addFactor(size)});
  for (Type type : op->getOperandTypes())
    rule.operands.push_back(cast<RankedTensorType>(type).getRank() ? dimensions : TensorFactors());
  rule.results.assign(op->getNumResults(), dimensions);
  return rule;
}

ShardingRule getLinearPointwiseRule(Operation *op, ShardingRule::Linearity linearity) {
  ShardingRule rule = getPointwiseRule(op);
  rule.linearity = linearity;
  for (unsigned operand = 0; operand < op->getNumOperands(); ++operand)
    rule.linear.push_back(operand);
  return rule;
}

IterationSpace getPointwiseSpace(Operation *op) {
  MLIRContext *context = op->getContext();
  IterationSpace space;
  auto shape = cast<RankedTensorType>(op->getResult(0).getType()).getShape();
  const auto rank = static_cast<unsigned>(shape.size());
  const AffineMap identity = AffineMap::getMultiDimIdentityMap(rank, context);
  space.bounds.assign(shape.begin(), shape.end());
  space.isReduction.assign(rank, false);
  for (auto [index, type] : llvm::enumerate(op->getOperandTypes())) {
    const bool isScalar = cast<RankedTensorType>(type).getRank() == 0;
    space.inputs.push_back(
        {static_cast<unsigned>(index), isScalar ? AffineMap::get(rank, 0, context) : identity});
  }
  for (unsigned index = 0; index < op->getNumResults(); ++index)
    space.outputs.push_back({index, identity});
  return space;
}

LogicalResult detail::verifyCollective(Operation *op) {
  if (op->getNumOperands() == 0 || op->getNumOperands() != op->getNumResults())
    return op->emitOpError() << "expects at least one operand and as many results, found "
                             << op->getNumOperands() << " and " << op->getNumResults();
  for (auto [operand, result] : llvm::zip(op->getOperandTypes(), op->getResultTypes())) {
    auto from = cast<RankedTensorType>(operand), to = cast<RankedTensorType>(result);
    if (from.getElementType() != to.getElementType())
      return op->emitOpError() << "the result " << to << " is not of the operand's element type, "
                               << from.getElementType();
    if (from.getEncoding() || to.getEncoding())
      return op->emitOpError() << "exchanges what ranks hold, found the global tensor " << from;
  }
  return success();
}

static std::string verifyTensor(const char *what, unsigned index, Type type,
                                const TensorFactors &dimensions, const ShardingRule &rule) {
  auto shape = cast<RankedTensorType>(type).getShape();
  if (shape.size() != dimensions.size())
    return llvm::formatv("{0} {1} has {2} dimensions, the rule gives {3}", what, index,
                         shape.size(), dimensions.size());
  for (auto [dimension, size] : llvm::enumerate(shape)) {
    int64_t product = 1;
    for (unsigned factor : dimensions[dimension])
      product *= rule.factors[factor].size;
    if (product != size)
      return llvm::formatv("{0} {1}, dimension {2}: the factors multiply to {3}, the size is {4}",
                           what, index, dimension, product, size);
  }
  return {};
}

std::string verifyShardingRule(Operation *op, const ShardingRule &rule) {
  if (rule.operands.size() != op->getNumOperands() || rule.results.size() != op->getNumResults())
    return "the rule has another number of operands or results than the op";
  for (auto [index, value] : llvm::enumerate(op->getOperands()))
    if (std::string error =
            verifyTensor("operand", index, value.getType(), rule.operands[index], rule);
        !error.empty())
      return error;
  for (auto [index, value] : llvm::enumerate(op->getResults()))
    if (std::string error =
            verifyTensor("result", index, value.getType(), rule.results[index], rule);
        !error.empty())
      return error;
  return {};
}

} // namespace titan
