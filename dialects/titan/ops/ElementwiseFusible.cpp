// The scalar bodies of the elementwise ops.
#include "dialects/titan/TitanDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace titan {

static Value floatConstant(OpBuilder &builder, Location loc, Type type, double value) {
  return arith::ConstantOp::create(builder, loc, builder.getFloatAttr(type, value));
}

/// 1 / (1 + exp(-x)). Right at the ends: exp overflows to infinity, whose reciprocal is 0.
static Value sigmoid(OpBuilder &builder, Location loc, Value x) {
  Value one = floatConstant(builder, loc, x.getType(), 1.0);
  Value exponential = math::ExpOp::create(builder, loc, arith::NegFOp::create(builder, loc, x));
  Value denominator = arith::AddFOp::create(builder, loc, one, exponential);
  return arith::DivFOp::create(builder, loc, one, denominator);
}

// Each op below touches one element of every operand and result.
#define TITAN_POINTWISE(Op)                                                                        \
  IterationSpace Op::getIterationSpace() { return getPointwiseSpace(*this); }                      \
  SmallVector<Value> Op::emitScalarBody(OpBuilder &builder, ValueRange inputs, ValueRange indices)

TITAN_POINTWISE(AddOp) { return {arith::AddFOp::create(builder, getLoc(), inputs[0], inputs[1])}; }

TITAN_POINTWISE(SubOp) { return {arith::SubFOp::create(builder, getLoc(), inputs[0], inputs[1])}; }

TITAN_POINTWISE(MulOp) { return {arith::MulFOp::create(builder, getLoc(), inputs[0], inputs[1])}; }

TITAN_POINTWISE(DivOp) { return {arith::DivFOp::create(builder, getLoc(), inputs[0], inputs[1])}; }

TITAN_POINTWISE(MinimumOp) {
  return {arith::MinimumFOp::create(builder, getLoc(), inputs[0], inputs[1])};
}

TITAN_POINTWISE(NegOp) { return {arith::NegFOp::create(builder, getLoc(), inputs[0])}; }

TITAN_POINTWISE(ExpOp) { return {math::ExpOp::create(builder, getLoc(), inputs[0])}; }

TITAN_POINTWISE(LogOp) { return {math::LogOp::create(builder, getLoc(), inputs[0])}; }

TITAN_POINTWISE(SqrtOp) { return {math::SqrtOp::create(builder, getLoc(), inputs[0])}; }

TITAN_POINTWISE(RsqrtOp) {
  // Not math.rsqrt, whose expansion is an estimate.
  Value one = floatConstant(builder, getLoc(), inputs[0].getType(), 1.0);
  Value root = math::SqrtOp::create(builder, getLoc(), inputs[0]);
  return {arith::DivFOp::create(builder, getLoc(), one, root)};
}

TITAN_POINTWISE(SiluOp) {
  Value factor = sigmoid(builder, getLoc(), inputs[0]);
  return {arith::MulFOp::create(builder, getLoc(), inputs[0], factor)};
}

TITAN_POINTWISE(SiluGradOp) {
  Location loc = getLoc();
  Value x = inputs[0];
  Value one = floatConstant(builder, loc, x.getType(), 1.0);
  Value factor = sigmoid(builder, loc, x);
  Value rest = arith::SubFOp::create(builder, loc, one, factor);
  Value inner = arith::MulFOp::create(builder, loc, x, rest);
  inner = arith::AddFOp::create(builder, loc, one, inner);
  Value outer = arith::MulFOp::create(builder, loc, inputs[1], factor);
  return {arith::MulFOp::create(builder, loc, outer, inner)};
}

TITAN_POINTWISE(IsFiniteOp) {
  Location loc = getLoc();
  Type type = inputs[0].getType();
  const auto &semantics = cast<FloatType>(type).getFloatSemantics();
  Value infinity = arith::ConstantOp::create(
      builder, loc, builder.getFloatAttr(type, llvm::APFloat::getInf(semantics)));
  Value magnitude = math::AbsFOp::create(builder, loc, inputs[0]);
  // Ordered: false for a NaN.
  Value finite =
      arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OLT, magnitude, infinity);
  return {arith::SelectOp::create(builder, loc, finite, floatConstant(builder, loc, type, 1.0),
                                  floatConstant(builder, loc, type, 0.0))};
}

TITAN_POINTWISE(CastOp) {
  Type from = inputs[0].getType();
  Type to = getComputeType(tensorType(getResult()).getElementType());
  if (from == to)
    return {inputs[0]}; // the emitter rounds it to the result's type
  if (from.getIntOrFloatBitWidth() < to.getIntOrFloatBitWidth())
    return {arith::ExtFOp::create(builder, getLoc(), to, inputs[0])};
  return {arith::TruncFOp::create(builder, getLoc(), to, inputs[0])};
}

TITAN_POINTWISE(FullOp) {
  Type type = getComputeType(tensorType(getResult()).getElementType());
  return {floatConstant(builder, getLoc(), type, getValue().convertToDouble())};
}

#undef TITAN_POINTWISE

} // namespace titan
