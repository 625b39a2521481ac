// The loop form of rotary position embedding: one iteration turns one pair.
#include "dialects/titan/TitanDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;

namespace titan {

IterationSpace RopeOp::getIterationSpace() {
  IterationSpace space;
  llvm::ArrayRef<int64_t> shape = tensorType(getInput()).getShape();
  space.bounds = {shape[0], shape[1], shape[2], shape[3] / 2};
  space.isReduction.assign(4, false);
  AffineExpr batch, position, head, pair;
  bindDims(getContext(), batch, position, head, pair);
  auto at = [&](llvm::ArrayRef<AffineExpr> place) {
    return AffineMap::get(4, 0, place, getContext());
  };
  AffineMap first = at({batch, position, head, pair * 2});
  AffineMap second = at({batch, position, head, pair * 2 + 1});
  AffineMap angle =
      tensorType(getCosine()).getRank() == 3 ? at({batch, position, pair}) : at({position, pair});
  space.inputs = {{0, first}, {0, second}, {1, angle}, {2, angle}};
  space.outputs = {{0, first}, {0, second}};
  return space;
}

SmallVector<Value> RopeOp::emitScalarBody(OpBuilder &builder, ValueRange inputs,
                                          ValueRange indices) {
  Location loc = getLoc();
  Value x = inputs[0], y = inputs[1], cosine = inputs[2], sine = inputs[3];
  if (getInverse())
    sine = arith::NegFOp::create(builder, loc, sine);
  auto mul = [&](Value a, Value b) { return arith::MulFOp::create(builder, loc, a, b); };
  Value first = arith::SubFOp::create(builder, loc, mul(x, cosine), mul(y, sine));
  Value second = arith::AddFOp::create(builder, loc, mul(y, cosine), mul(x, sine));
  return {first, second};
}

} // namespace titan
