#include "dialects/titan/Sharding.h"

using namespace mlir;

namespace titan {

/// A norm's tensors: input [.., dim], weight [dim], rstd [..] float32.
static LogicalResult verifyNorm(Operation *op, RankedTensorType input, RankedTensorType weight,
                                RankedTensorType rstd) {
  if (input.getRank() < 1)
    return op->emitOpError("expects an input of rank 1 or more, found rank 0");
  if (weight.getShape() != input.getShape().take_back())
    return op->emitOpError() << "the weight " << weight << " does not have the input's last "
                             << "dimension, " << input.getShape().back();
  if (rstd.getShape() != input.getShape().drop_back())
    return op->emitOpError() << "rstd " << rstd << " does not have the input's shape "
                             << "without its last dimension, " << input;
  return success();
}

LogicalResult RmsNormOp::verify() {
  if (!isSameTensor(getResult().getType(), getInput().getType()))
    return emitOpError() << "the result " << getResult().getType() << " is not of the input's type "
                         << getInput().getType();
  return verifyNorm(*this, tensorType(getInput()), tensorType(getWeight()), tensorType(getRstd()));
}

LogicalResult RmsNormGradOp::verify() {
  if (!isSameTensor(getDresult().getType(), getInput().getType()) ||
      !isSameTensor(getDinput().getType(), getInput().getType()))
    return emitOpError() << "dresult " << getDresult().getType() << " and dinput "
                         << getDinput().getType() << " are not both of the input's type "
                         << getInput().getType();
  if (tensorType(getDweight()).getShape() != tensorType(getWeight()).getShape())
    return emitOpError() << "dweight " << getDweight().getType()
                         << " does not have the weight's shape " << getWeight().getType();
  return verifyNorm(*this, tensorType(getInput()), tensorType(getWeight()), tensorType(getRstd()));
}

PrecisionRule RmsNormOp::getPrecisionRule() { return PrecisionRule::of(*this, {0, 1}, {0}); }

LogicalResult RmsNormOp::buildVjp(OpBuilder &builder, ArrayRef<Value> cotangents,
                                  const llvm::BitVector &, Vjp &result) {
  if (cotangents[1])
    return emitOpError("is not differentiable through rstd, only through its first result");
  RankedTensorType weight = result.getType(getWeight(), 1);
  Type dweight = RankedTensorType::get(weight.getShape(), tensorType(getRstd()).getElementType());
  auto gradient = RmsNormGradOp::create(builder, getLoc(), getInput().getType(), dweight,
                                        cotangents[0], getInput(), getWeight(), getRstd());
  Value dw = gradient.getDweight();
  if (!isSameTensor(dweight, weight))
    dw = CastOp::create(builder, getLoc(), weight, dw);
  result.operands = {gradient.getDinput(), dw};
  return success();
}

} // namespace titan
