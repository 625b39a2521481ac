// The loop form of the ops that move elements or make them from labels.
#include "dialects/titan/TitanDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;

namespace titan {

/// Loops over the result's elements; the one operand is read at `input`.
static IterationSpace getResultSpace(Value result, AffineMap input) {
  IterationSpace space;
  llvm::ArrayRef<int64_t> shape = tensorType(result).getShape();
  space.bounds.assign(shape.begin(), shape.end());
  space.isReduction.assign(shape.size(), false);
  space.inputs.push_back({0, input});
  space.outputs.push_back({0, AffineMap::getMultiDimIdentityMap(shape.size(), input.getContext())});
  return space;
}

IterationSpace BroadcastOp::getIterationSpace() {
  SmallVector<AffineExpr> places;
  for (int64_t dimension : getDimensions())
    places.push_back(getAffineDimExpr(dimension, getContext()));
  const auto rank = static_cast<unsigned>(tensorType(getResult()).getRank());
  return getResultSpace(getResult(), AffineMap::get(rank, 0, places, getContext()));
}

SmallVector<Value> BroadcastOp::emitScalarBody(OpBuilder &builder, ValueRange inputs,
                                               ValueRange indices) {
  return {inputs[0]};
}

IterationSpace TransposeOp::getIterationSpace() {
  // Input dimension permutation[i] is loop i.
  SmallVector<AffineExpr> places(getPermutation().size());
  for (auto [loop, dimension] : llvm::enumerate(getPermutation()))
    places[dimension] = getAffineDimExpr(loop, getContext());
  return getResultSpace(getResult(), AffineMap::get(places.size(), 0, places, getContext()));
}

SmallVector<Value> TransposeOp::emitScalarBody(OpBuilder &builder, ValueRange inputs,
                                               ValueRange indices) {
  return {inputs[0]};
}

static Value selectOneOrZero(OpBuilder &builder, Location loc, Value condition, Type element) {
  Type type = getComputeType(element);
  Value one = arith::ConstantOp::create(builder, loc, builder.getFloatAttr(type, 1.0));
  Value zero = arith::ConstantOp::create(builder, loc, builder.getFloatAttr(type, 0.0));
  return arith::SelectOp::create(builder, loc, condition, one, zero);
}

IterationSpace OneHotOp::getIterationSpace() {
  const auto rank = static_cast<unsigned>(tensorType(getResult()).getRank());
  IterationSpace space = getResultSpace(
      getResult(), AffineMap::getMultiDimIdentityMap(rank, getContext()).dropResult(rank - 1));
  if (getFirst())
    space.inputs.push_back({1, AffineMap::get(rank, 0, getContext())});
  return space;
}

bool OneHotOp::readsIndices() { return true; }

/// Compares a column, one of `columns`, with an i32, both as floats where they are exact: LLVM
/// would compare integers as wide as addresses, in which half as many lanes fit.
static Value compareColumn(OpBuilder &builder, Location loc, Value column, int64_t columns,
                           Value number, arith::CmpFPredicate asFloats,
                           arith::CmpIPredicate asIntegers) {
  constexpr int64_t exact = int64_t{1} << 24;
  Value place = arith::IndexCastOp::create(builder, loc, builder.getI32Type(), column);
  if (columns > exact)
    return arith::CmpIOp::create(builder, loc, asIntegers, place, number);
  Type f32 = builder.getF32Type();
  return arith::CmpFOp::create(builder, loc, asFloats,
                               arith::SIToFPOp::create(builder, loc, f32, place),
                               arith::SIToFPOp::create(builder, loc, f32, number));
}

SmallVector<Value> OneHotOp::emitScalarBody(OpBuilder &builder, ValueRange inputs,
                                            ValueRange indices) {
  Location loc = getLoc();
  Value label = inputs[0];
  if (getFirst())
    label = arith::SubIOp::create(builder, loc, label, inputs[1]);
  Value equal =
      compareColumn(builder, loc, indices.back(), tensorType(getResult()).getShape().back(), label,
                    arith::CmpFPredicate::OEQ, arith::CmpIPredicate::eq);
  return {selectOneOrZero(builder, loc, equal, tensorType(getResult()).getElementType())};
}

IterationSpace MaskColumnsOp::getIterationSpace() {
  const auto rank = static_cast<unsigned>(tensorType(getResult()).getRank());
  IterationSpace space =
      getResultSpace(getResult(), AffineMap::getMultiDimIdentityMap(rank, getContext()));
  if (getFirst())
    space.inputs.push_back({1, AffineMap::get(rank, 0, getContext())});
  return space;
}

bool MaskColumnsOp::readsIndices() { return true; }

SmallVector<Value> MaskColumnsOp::emitScalarBody(OpBuilder &builder, ValueRange inputs,
                                                 ValueRange indices) {
  Location loc = getLoc();
  Value end = arith::ConstantOp::create(builder, loc, builder.getI32IntegerAttr(getEnd()));
  if (getFirst())
    end = arith::SubIOp::create(builder, loc, end, inputs[1]);
  Value isKept =
      compareColumn(builder, loc, indices.back(), tensorType(getResult()).getShape().back(), end,
                    arith::CmpFPredicate::OLT, arith::CmpIPredicate::slt);
  Type type = getComputeType(tensorType(getResult()).getElementType());
  Value value = arith::ConstantOp::create(builder, loc,
                                          builder.getFloatAttr(type, getValue().convertToDouble()));
  return {arith::SelectOp::create(builder, loc, isKept, inputs[0], value)};
}

IterationSpace IsValidOp::getIterationSpace() { return getPointwiseSpace(*this); }

SmallVector<Value> IsValidOp::emitScalarBody(OpBuilder &builder, ValueRange inputs,
                                             ValueRange indices) {
  Value zero = arith::ConstantOp::create(builder, getLoc(), builder.getI32IntegerAttr(0));
  Value valid =
      arith::CmpIOp::create(builder, getLoc(), arith::CmpIPredicate::sge, inputs[0], zero);
  return {selectOneOrZero(builder, getLoc(), valid, tensorType(getResult()).getElementType())};
}

} // namespace titan
