#include "compiler/lowering/StageBody.h"

#include "compiler/lowering/ScalarStorage.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

#include <numeric>

using namespace mlir;

namespace titan {

int64_t product(llvm::ArrayRef<int64_t> sizes) {
  return std::accumulate(sizes.begin(), sizes.end(), int64_t{1}, std::multiplies<int64_t>());
}

void relaxFloatingPoint(Operation *function) {
  auto flags = arith::FastMathFlagsAttr::get(
      function->getContext(), arith::FastMathFlags::reassoc | arith::FastMathFlags::contract |
                                  arith::FastMathFlags::nsz | arith::FastMathFlags::arcp |
                                  arith::FastMathFlags::afn);
  function->walk([&](arith::ArithFastMathInterface op) {
    auto own = op.getFastMathFlagsAttr(); // null on casts without flags
    if (!own || own.getValue() == arith::FastMathFlags::none)
      op->setAttr(op.getFastMathAttrName(), flags);
  });
}

std::pair<RankedTensorType, unsigned> StageBody::source(const Evaluation &evaluation) const {
  if (evaluation.kind == Evaluation::Kind::load)
    return {cast<RankedTensorType>(kernel->getOperand(evaluation.index).getType()),
            evaluation.index};
  return {cast<RankedTensorType>(kernel->getResult(evaluation.index).getType()),
          resultArgument(evaluation.index)};
}

Values StageBody::emitCompute(const Evaluation &evaluation, ValueRange inputs) {
  // The interface is not const.
  FusibleOpInterface op = evaluation.op;
  Values outputs = op.emitScalarBody(builder, inputs, places(evaluation.place));
  const IterationSpace space = op.getIterationSpace();
  if (classify(space) != LoopKind::pointwise)
    return outputs;
  for (auto [value, output] : llvm::zip_equal(outputs, space.outputs)) {
    Type element = getElementTypeOrSelf(op->getResult(output.index));
    // What is only moved has been rounded.
    const bool isMoved = llvm::any_of(llvm::zip(inputs, space.inputs), [&](auto pair) {
      auto [input, access] = pair;
      return input == value && getElementTypeOrSelf(op->getOperand(access.index)) == element;
    });
    if (!isMoved)
      value = roundToElement(builder, loc, value, element);
  }
  return outputs;
}

Value combineScalars(OpBuilder &builder, Location loc, Combiner combiner, Value a, Value b) {
  // maximumf, not maxnumf: a NaN shows, and LLVM vectorizes it beside other reductions.
  if (combiner == Combiner::maximum)
    return arith::MaximumFOp::create(builder, loc, a, b);
  return arith::AddFOp::create(builder, loc, a, b);
}

Value StageBody::identity(Combiner combiner, Type type) {
  const auto &semantics = cast<FloatType>(type).getFloatSemantics();
  auto value = combiner == Combiner::maximum ? llvm::APFloat::getInf(semantics, /*Negative=*/true)
                                             : llvm::APFloat::getZero(semantics);
  return arith::ConstantOp::create(builder, loc, builder.getFloatAttr(type, value));
}

Value StageBody::index(int64_t value) {
  return arith::ConstantIndexOp::create(builder, loc, value);
}

Values StageBody::places(AffineMap map) {
  Values result;
  for (AffineExpr expression : map.getResults())
    result.push_back(expand(expression));
  return result;
}

Value StageBody::expand(AffineExpr expression) {
  if (auto dim = dyn_cast<AffineDimExpr>(expression))
    return coordinates[dim.getPosition()];
  if (auto constant = dyn_cast<AffineConstantExpr>(expression))
    return index(constant.getValue());
  auto binary = cast<AffineBinaryOpExpr>(expression);
  Value a = expand(binary.getLHS()), b = expand(binary.getRHS());
  switch (binary.getKind()) {
  case AffineExprKind::Add:
    return arith::AddIOp::create(builder, loc, a, b);
  case AffineExprKind::Mul:
    return arith::MulIOp::create(builder, loc, a, b);
  case AffineExprKind::FloorDiv:
    return arith::DivUIOp::create(builder, loc, a, b); // coordinates are not negative
  default:
    return arith::RemUIOp::create(builder, loc, a, b);
  }
}

} // namespace titan
