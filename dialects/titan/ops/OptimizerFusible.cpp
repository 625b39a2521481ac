// The loop form of the optimizer's update.
#include "dialects/titan/TitanDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace titan {

IterationSpace AdamUpdateOp::getIterationSpace() { return getPointwiseSpace(*this); }

SmallVector<Value> AdamUpdateOp::emitScalarBody(OpBuilder &builder, ValueRange inputs,
                                                ValueRange indices) {
  Location loc = getLoc();
  Type type = inputs[0].getType();
  auto constant = [&](double value) -> Value {
    return arith::ConstantOp::create(builder, loc, builder.getFloatAttr(type, value));
  };
  auto add = [&](Value a, Value b) -> Value { return arith::AddFOp::create(builder, loc, a, b); };
  auto sub = [&](Value a, Value b) -> Value { return arith::SubFOp::create(builder, loc, a, b); };
  auto mul = [&](Value a, Value b) -> Value { return arith::MulFOp::create(builder, loc, a, b); };
  auto div = [&](Value a, Value b) -> Value { return arith::DivFOp::create(builder, loc, a, b); };
  Value parameter = inputs[0], average = inputs[2], averageSquare = inputs[3];
  Value lr = inputs[4], scale = inputs[5], correction1 = inputs[6], correction2 = inputs[7];
  Value rate1 = inputs[9], rate2 = inputs[10], epsilon = inputs[11], decay = inputs[12];
  Value beta1 = sub(constant(1.0), rate1), beta2 = sub(constant(1.0), rate2);

  Value gradient = mul(inputs[1], scale);
  if (!getDecoupled())
    gradient = add(gradient, mul(decay, parameter));
  Value newAverage = add(mul(beta1, average), mul(rate1, gradient));
  Value newSquare = add(mul(beta2, averageSquare), mul(rate2, mul(gradient, gradient)));
  // The reciprocals are of scalars: once per kernel, not per element.
  Value mean = mul(newAverage, div(constant(1.0), correction1));
  Value square = mul(newSquare, div(constant(1.0), correction2));
  Value root = math::SqrtOp::create(builder, loc, square);
  // The divider's rate would bound the kernel. Told that nothing is infinite, x86 multiplies by an
  // estimated reciprocal with a Newton step, so an overflow of the square stops at a large number;
  // a NaN stays one.
  Value denominator = add(root, epsilon);
  Value largest = constant(0x1p64);
  Value isLarger =
      arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OLT, largest, denominator);
  denominator = arith::SelectOp::create(builder, loc, isLarger, largest, denominator);
  constexpr auto flags =
      arith::FastMathFlags::arcp | arith::FastMathFlags::contract | arith::FastMathFlags::ninf;
  Value step = arith::DivFOp::create(builder, loc, mean, denominator, flags);
  Value kept = parameter;
  if (getDecoupled())
    kept = mul(parameter, sub(constant(1.0), mul(lr, decay)));
  Value newParameter = sub(kept, mul(lr, step));

  Value finite =
      arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::UNE, inputs[8], constant(0.0));
  auto select = [&](Value updated, Value old) -> Value {
    return arith::SelectOp::create(builder, loc, finite, updated, old);
  };
  return {select(newParameter, parameter), select(newAverage, average),
          select(newSquare, averageSquare)};
}

} // namespace titan
