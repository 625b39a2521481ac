// Local forms of losses whose classes are split over ranks.
#include "dialects/titan/Partition.h"
#include "dialects/titan/ops/Decompose.h"
#include "dialects/titan/ops/ParallelLoss.h"

using namespace mlir;

namespace titan {

ParallelLoss buildParallelLoss(OpBuilder &builder, Location loc, Value logits, Value labels,
                               const ClassPart &part, Type computeType, Value dloss) {
  ProgramBuilder program(builder, loc, computeType);
  llvm::ArrayRef<int64_t> shape = tensorType(logits).getShape();
  auto exchange = [&](Reduction reduction, ValueRange values) {
    return AllReduceOp::create(builder, loc, values.getTypes(), reduction, values, part.axes)
        .getResults();
  };
  Value wide = program.maskPadding(program.widen(logits), part.numClasses, part.first);
  Value oneHot = program.oneHot(labels, shape[1], part.first);
  Value isValid = program.isValid(labels);
  Value maximum = exchange(Reduction::max, program.reduce(Reduction::max, wide, {1}))[0];
  Value shifted = program.sub(wide, program.broadcast(maximum, shape, {0}));
  Value exponentials = program.reduce(Reduction::sum, program.exp(shifted), {1});
  Value picked = program.reduce(Reduction::sum, program.mul(wide, oneHot), {1});
  ValueRange sums = exchange(Reduction::sum, {exponentials, picked});
  Value logSumExp = program.add(program.log(sums[0]), maximum);
  Value rowLoss = program.mul(program.sub(logSumExp, sums[1]), isValid);

  ParallelLoss result;
  result.loss = program.reduce(Reduction::sum, rowLoss, {0});
  result.valid = program.reduce(Reduction::sum, isValid, {0});
  if (!dloss)
    return result;
  // From the logits again, so that no exponentials are kept while ranks exchange their sums.
  Value softmax = program.exp(program.sub(wide, program.broadcast(logSumExp, shape, {0})));
  Value scale = program.mul(isValid, program.broadcast(dloss, {shape[0]}, {}));
  Value dlogits = program.mul(program.sub(softmax, oneHot), program.broadcast(scale, shape, {0}));
  result.dlogits = program.castTo(dlogits, tensorType(logits).getElementType());
  return result;
}

/// The rank's classes of a tensor that has them in dimension `dimension`; nothing when they are
/// whole.
static std::optional<ClassPart> getClassPart(PartitionContext &context, Type type,
                                             unsigned dimension, IntegerAttr numClasses) {
  ShardingAttr sharding = getSharding(type);
  if (!sharding || sharding.getAxes(dimension).empty())
    return std::nullopt;
  const int64_t classes = context.getLocalType(type).getDimSize(dimension);
  return ClassPart{context.getAxisIndex(sharding.getAxes(dimension), classes),
                   sharding.getDimensions()[dimension], numClasses};
}

LogicalResult CrossEntropyOp::buildLocal(PartitionContext &context, ValueRange operands,
                                         SmallVectorImpl<Value> &results) {
  auto part = getClassPart(context, getLogits().getType(), tensorType(getLogits()).getRank() - 1,
                           getNumClassesAttr());
  if (!part) {
    cloneLocal(*this, context, operands, results);
    return success();
  }
  ParallelLoss local = buildParallelLoss(context.getBuilder(), getLoc(), operands[0], operands[1],
                                         *part, tensorType(getLoss()).getElementType());
  results.append({local.loss, local.valid});
  return success();
}

LogicalResult CrossEntropyGradOp::buildLocal(PartitionContext &context, ValueRange operands,
                                             SmallVectorImpl<Value> &results) {
  auto part = getClassPart(context, getLogits().getType(), tensorType(getLogits()).getRank() - 1,
                           getNumClassesAttr());
  if (!part) {
    cloneLocal(*this, context, operands, results);
    return success();
  }
  ParallelLoss local =
      buildParallelLoss(context.getBuilder(), getLoc(), operands[0], operands[1], *part,
                        tensorType(getLoss()).getElementType(), operands[2]);
  results.append({local.loss, local.valid, local.dlogits});
  return success();
}

LogicalResult HeadLossOp::buildLocal(PartitionContext &context, ValueRange operands,
                                     SmallVectorImpl<Value> &results) {
  auto part = getClassPart(context, getWeight().getType(), 0, getNumClassesAttr());
  auto local =
      HeadLossOp::create(context.getBuilder(), getLoc(), context.getLocalType(getLoss().getType()),
                         context.getLocalType(getValid().getType()), operands[0], operands[1],
                         operands[2], part ? part->first : Value(), part ? part->axes : ArrayAttr(),
                         getWholeLogits(), getNumClassesAttr());
  llvm::append_range(results, local->getResults());
  return success();
}

LogicalResult HeadLossGradOp::buildLocal(PartitionContext &context, ValueRange operands,
                                         SmallVectorImpl<Value> &results) {
  auto part = getClassPart(context, getWeight().getType(), 0, getNumClassesAttr());
  auto local = HeadLossGradOp::create(
      context.getBuilder(), getLoc(), context.getLocalType(getLoss().getType()),
      context.getLocalType(getValid().getType()), context.getLocalType(getDinput().getType()),
      context.getLocalType(getDweight().getType()), operands[0], operands[1], operands[2],
      operands[3], part ? part->first : Value(), part ? part->axes : ArrayAttr(), getWholeLogits(),
      getNumClassesAttr());
  llvm::append_range(results, local->getResults());
  return success();
}

} // namespace titan
