#include "dialects/titan/ops/Decompose.h"

using namespace mlir;

namespace titan {

Value ProgramBuilder::castTo(Value value, Type element) {
  RankedTensorType type = tensorType(value);
  if (type.getElementType() == element)
    return value;
  return CastOp::create(builder, loc, type.clone(element), value);
}

Value ProgramBuilder::full(llvm::ArrayRef<int64_t> shape, double value) {
  return FullOp::create(builder, loc, RankedTensorType::get(shape, computeType),
                        llvm::APFloat(value));
}

Value ProgramBuilder::broadcast(Value value, llvm::ArrayRef<int64_t> shape,
                                llvm::ArrayRef<int64_t> dimensions) {
  if (tensorType(value).getShape() == shape)
    return value;
  auto type = RankedTensorType::get(shape, tensorType(value).getElementType());
  return BroadcastOp::create(builder, loc, type, value, dimensions);
}

Value ProgramBuilder::reduce(Reduction reduction, Value value, llvm::ArrayRef<int64_t> dimensions) {
  RankedTensorType type = tensorType(value);
  SmallVector<int64_t> kept;
  for (auto [dimension, size] : llvm::enumerate(type.getShape()))
    if (!llvm::is_contained(dimensions, static_cast<int64_t>(dimension)))
      kept.push_back(size);
  return ReduceOp::create(builder, loc, RankedTensorType::get(kept, type.getElementType()),
                          reduction, value, dimensions);
}

Value ProgramBuilder::oneHot(Value labels, int64_t classes, Value first) {
  SmallVector<int64_t> shape(tensorType(labels).getShape());
  shape.push_back(classes);
  return OneHotOp::create(builder, loc, RankedTensorType::get(shape, computeType), labels, first);
}

Value ProgramBuilder::isValid(Value labels) {
  return IsValidOp::create(builder, loc, tensorType(labels).clone(computeType), labels);
}

Value ProgramBuilder::maskPadding(Value logits, IntegerAttr numClasses, Value first) {
  if (!numClasses)
    return logits;
  // Finite: it is multiplied by zeros of one-hot rows. Its exponential is 0 beside any real logit.
  constexpr double kBelowAll = -1e30;
  return MaskColumnsOp::create(builder, loc, logits.getType(), logits, first, numClasses,
                               builder.getF64FloatAttr(kBelowAll));
}

} // namespace titan
