// The loop form of reductions, and the sum of squares as reductions.
#include "dialects/titan/TitanDialect.h"

using namespace mlir;

namespace titan {

IterationSpace ReduceOp::getIterationSpace() {
  MLIRContext *context = getContext();
  IterationSpace space;
  llvm::ArrayRef<int64_t> shape = tensorType(getInput()).getShape();
  const auto rank = static_cast<unsigned>(shape.size());
  space.bounds.assign(shape.begin(), shape.end());
  space.isReduction.assign(rank, false);
  for (int64_t dimension : getDimensions())
    space.isReduction[dimension] = true;
  SmallVector<AffineExpr> kept;
  for (unsigned dimension = 0; dimension < rank; ++dimension)
    if (!space.isReduction[dimension])
      kept.push_back(getAffineDimExpr(dimension, context));
  space.inputs.push_back({0, AffineMap::getMultiDimIdentityMap(rank, context)});
  space.outputs.push_back({0, AffineMap::get(rank, 0, kept, context)});
  space.combiner = getReduction() == Reduction::sum ? Combiner::sum : Combiner::maximum;
  return space;
}

SmallVector<Value> ReduceOp::emitScalarBody(OpBuilder &builder, ValueRange inputs,
                                            ValueRange indices) {
  return {inputs[0]};
}

SmallVector<Value> SumOfSquaresOp::decompose(OpBuilder &builder) {
  auto resultType = cast<RankedTensorType>(getResult().getType());
  Value total;
  for (Value input : getInputs()) {
    auto type = tensorType(input).clone(resultType.getElementType());
    if (input.getType() != type)
      input = CastOp::create(builder, getLoc(), type, input);
    Value sum = MulOp::create(builder, getLoc(), input, input);
    if (type.getRank() != 0) {
      auto all = llvm::to_vector(llvm::seq<int64_t>(0, type.getRank()));
      sum = ReduceOp::create(builder, getLoc(), resultType, Reduction::sum, sum, all);
    }
    total = total ? AddOp::create(builder, getLoc(), total, sum).getResult() : sum;
  }
  if (!total)
    total = FullOp::create(builder, getLoc(), resultType, llvm::APFloat(0.0));
  return {total};
}

} // namespace titan
