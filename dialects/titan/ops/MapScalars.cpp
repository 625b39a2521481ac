#include "dialects/titan/ops/MapScalars.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/ADT/TypeSwitch.h"

#include <cmath>
#include <numbers>

using namespace mlir;

namespace titan {

bool isMapScalarOp(Operation *op) {
  if (!isa<arith::ConstantOp, arith::AddFOp, arith::SubFOp, arith::MulFOp, arith::DivFOp,
           arith::NegFOp, arith::MinimumFOp, arith::MaximumFOp, arith::CmpFOp, arith::SelectOp,
           math::AbsFOp, math::ExpOp, math::LogOp, math::SqrtOp, math::TanhOp, math::ErfOp>(op))
    return false;
  // Booleans are compared and constant, and choose: of a choice of booleans canonicalization makes
  // ops of integers.
  Type type = op->getResult(0).getType();
  return isa<FloatType>(type) || (type.isInteger(1) && isa<arith::ConstantOp, arith::CmpFOp>(op));
}

StringRef listMapScalarOps() {
  return "arith.constant, addf, subf, mulf, divf, negf, minimumf, maximumf, cmpf, select, "
         "math.absf, exp, log, sqrt, tanh, erf, of float scalars";
}

int64_t countMapScalarFlops(Operation *op) { return isa<arith::ConstantOp>(op) ? 0 : 1; }

//===----------------------------------------------------------------------===//
// Evaluation
//===----------------------------------------------------------------------===//

static double evaluateConstant(arith::ConstantOp op) {
  if (auto number = dyn_cast<FloatAttr>(op.getValue()))
    return number.getValueAsDouble();
  return cast<BoolAttr>(op.getValue()).getValue() ? 1 : 0;
}

/// As arith has it: no number in, no number out.
static double smallest(double a, double b) { return std::isnan(a) || a < b ? a : b; }

double evaluateMapScalar(Operation *op, ArrayRef<double> x) {
  return TypeSwitch<Operation *, double>(op)
      .Case([&](arith::ConstantOp constant) { return evaluateConstant(constant); })
      .Case([&](arith::AddFOp) { return x[0] + x[1]; })
      .Case([&](arith::SubFOp) { return x[0] - x[1]; })
      .Case([&](arith::MulFOp) { return x[0] * x[1]; })
      .Case([&](arith::DivFOp) { return x[0] / x[1]; })
      .Case([&](arith::NegFOp) { return -x[0]; })
      .Case([&](arith::MinimumFOp) { return smallest(x[0], x[1]); })
      .Case([&](arith::MaximumFOp) { return -smallest(-x[0], -x[1]); })
      .Case([&](arith::CmpFOp compare) {
        return arith::applyCmpPredicate(compare.getPredicate(), APFloat(x[0]), APFloat(x[1])) ? 1.0
                                                                                              : 0.0;
      })
      .Case([&](arith::SelectOp) { return x[0] != 0 ? x[1] : x[2]; })
      .Case([&](math::AbsFOp) { return std::fabs(x[0]); })
      .Case([&](math::ExpOp) { return std::exp(x[0]); })
      .Case([&](math::LogOp) { return std::log(x[0]); })
      .Case([&](math::SqrtOp) { return std::sqrt(x[0]); })
      .Case([&](math::TanhOp) { return std::tanh(x[0]); })
      .Case([&](math::ErfOp) { return std::erf(x[0]); });
}

//===----------------------------------------------------------------------===//
// Differentiation
//===----------------------------------------------------------------------===//

namespace {

/// Builds scalars of one type.
class ScalarBuilder {
public:
  ScalarBuilder(OpBuilder &builder, Operation *op) : builder(builder), loc(op->getLoc()) {}

  Value constant(Type type, double value) {
    return arith::ConstantOp::create(builder, loc, builder.getFloatAttr(type, value));
  }
  Value sub(Value a, Value b) { return arith::SubFOp::create(builder, loc, a, b); }
  Value mul(Value a, Value b) { return arith::MulFOp::create(builder, loc, a, b); }
  Value div(Value a, Value b) { return arith::DivFOp::create(builder, loc, a, b); }
  Value neg(Value a) { return arith::NegFOp::create(builder, loc, a); }
  Value exp(Value a) { return math::ExpOp::create(builder, loc, a); }
  Value compare(arith::CmpFPredicate predicate, Value a, Value b) {
    return arith::CmpFOp::create(builder, loc, predicate, a, b);
  }
  Value select(Value condition, Value a, Value b) {
    return arith::SelectOp::create(builder, loc, condition, a, b);
  }

private:
  OpBuilder &builder;
  Location loc;
};

} // namespace

void differentiateMapScalar(OpBuilder &builder, Operation *op, Value cotangent,
                            llvm::function_ref<void(Value operand, Value part)> add) {
  ScalarBuilder b(builder, op);
  Value result = op->getResult(0), g = cotangent;
  Type type = g.getType();
  auto in = [&](unsigned index) { return op->getOperand(index); };
  // The cotangent goes to one of two operands.
  auto choose = [&](Value condition, Value first, Value second) {
    Value zero = b.constant(type, 0);
    add(first, b.select(condition, g, zero));
    add(second, b.select(condition, zero, g));
  };
  TypeSwitch<Operation *>(op)
      .Case([&](arith::AddFOp) {
        add(in(0), g);
        add(in(1), g);
      })
      .Case([&](arith::SubFOp) {
        add(in(0), g);
        add(in(1), b.neg(g));
      })
      .Case([&](arith::MulFOp) {
        add(in(0), b.mul(g, in(1)));
        add(in(1), b.mul(g, in(0)));
      })
      .Case([&](arith::DivFOp) {
        Value left = b.div(g, in(1));
        add(in(0), left);
        add(in(1), b.neg(b.mul(left, result)));
      })
      .Case([&](arith::NegFOp) { add(in(0), b.neg(g)); })
      .Case([&](arith::MinimumFOp) {
        choose(b.compare(arith::CmpFPredicate::OLE, in(0), in(1)), in(0), in(1));
      })
      .Case([&](arith::MaximumFOp) {
        choose(b.compare(arith::CmpFPredicate::OGE, in(0), in(1)), in(0), in(1));
      })
      .Case([&](arith::SelectOp) { choose(in(0), in(1), in(2)); })
      .Case([&](math::AbsFOp) {
        Value zero = b.constant(type, 0);
        Value isPositive = b.compare(arith::CmpFPredicate::OGT, in(0), zero);
        Value isNegative = b.compare(arith::CmpFPredicate::OLT, in(0), zero);
        add(in(0), b.select(isPositive, g, b.select(isNegative, b.neg(g), zero)));
      })
      .Case([&](math::ExpOp) { add(in(0), b.mul(g, result)); })
      .Case([&](math::LogOp) { add(in(0), b.div(g, in(0))); })
      .Case([&](math::SqrtOp) { add(in(0), b.div(b.mul(g, b.constant(type, 0.5)), result)); })
      .Case([&](math::TanhOp) {
        add(in(0), b.mul(g, b.sub(b.constant(type, 1), b.mul(result, result))));
      })
      .Case([&](math::ErfOp) {
        Value bell = b.exp(b.neg(b.mul(in(0), in(0))));
        add(in(0), b.mul(g, b.mul(bell, b.constant(type, 2 * std::numbers::inv_sqrtpi))));
      });
}

} // namespace titan
