#include "dialects/titan/TitanDialect.h"

using namespace mlir;

namespace titan {

LogicalResult ReduceOp::verify() {
  auto input = tensorType(getInput());
  SmallVector<int64_t> kept(input.getShape());
  int64_t last = -1;
  for (auto [i, dimension] : llvm::enumerate(getDimensions())) {
    if (dimension <= last || dimension >= input.getRank())
      return emitOpError() << "expects ascending dimensions from 0 to " << input.getRank() - 1
                           << ", found " << dimension;
    last = dimension;
    kept.erase(kept.begin() + dimension - i);
  }
  if (tensorType(getResult()).getShape() != ArrayRef(kept))
    return emitOpError() << "the result " << getResult().getType()
                         << " does not have the input's shape without the reduced dimensions, "
                         << RankedTensorType::get(kept, input.getElementType());
  return success();
}

LogicalResult ReduceOp::buildVjp(OpBuilder &builder, ArrayRef<Value> cotangents,
                                 const llvm::BitVector &, Vjp &result) {
  if (getReduction() != Reduction::sum)
    return emitOpError() << "is differentiable for sum only, found "
                         << stringifyReduction(getReduction());
  auto input = tensorType(getInput());
  SmallVector<int64_t> kept;
  for (int64_t i = 0; i < input.getRank(); ++i)
    if (!llvm::is_contained(getDimensions(), i))
      kept.push_back(i);
  auto wide = RankedTensorType::get(input.getShape(), tensorType(getResult()).getElementType());
  Value gradient = BroadcastOp::create(builder, getLoc(), wide, cotangents[0], kept);
  if (wide != input)
    gradient = CastOp::create(builder, getLoc(), input, gradient);
  result.operands = {gradient};
  return success();
}

PrecisionRule SumOfSquaresOp::getPrecisionRule() {
  PrecisionRule rule = PrecisionRule::all(*this);
  rule.results.reset();
  return rule;
}

LogicalResult SumOfSquaresOp::verify() {
  if (getInputs().empty())
    return emitOpError("expects at least one operand");
  return success();
}

} // namespace titan
