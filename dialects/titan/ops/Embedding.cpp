#include "dialects/titan/Partition.h"

using namespace mlir;

namespace titan {

static LogicalResult verifyRows(Operation *op, RankedTensorType rows, RankedTensorType tokens,
                                RankedTensorType table) {
  if (table.getRank() != 2)
    return op->emitOpError() << "expects a table [tokens, dim], found " << table;
  SmallVector<int64_t> wanted(tokens.getShape());
  wanted.push_back(table.getDimSize(1));
  if (rows.getShape() != ArrayRef(wanted))
    return op->emitOpError() << "expects rows of the tokens' shape with a last dimension of "
                             << table.getDimSize(1) << ", found " << rows;
  return success();
}

LogicalResult EmbeddingOp::verify() {
  if (tensorType(getResult()).getElementType() != tensorType(getTable()).getElementType())
    return emitOpError() << "the result " << getResult().getType()
                         << " is not of the table's element type, " << getTable().getType();
  return verifyRows(*this, tensorType(getResult()), tensorType(getTokens()),
                    tensorType(getTable()));
}

LogicalResult EmbeddingGradOp::verify() {
  if (getAcc() && !isSameTensor(getAcc().getType(), getDtable().getType()))
    return emitOpError() << "the accumulator's type " << getAcc().getType()
                         << " is not the result's " << getDtable().getType();
  return verifyRows(*this, tensorType(getDresult()), tensorType(getTokens()),
                    tensorType(getDtable()));
}

LogicalResult EmbeddingOp::buildVjp(OpBuilder &builder, ArrayRef<Value> cotangents,
                                    const llvm::BitVector &, Vjp &result) {
  RankedTensorType table = result.getType(getTable(), 1);
  Type element =
      table.getElementTypeBitWidth() < 32 ? builder.getF32Type() : table.getElementType();
  auto wide = RankedTensorType::get(table.getShape(), element);
  Value gradient = EmbeddingGradOp::create(builder, getLoc(), wide, cotangents[0], getTokens(),
                                           /*acc=*/Value(), getFirstRow());
  if (wide != table)
    gradient = CastOp::create(builder, getLoc(), table, gradient);
  result.operands = {Value(), gradient};
  result.operands.resize(getNumOperands());
  return success();
}

ResultPlacement EmbeddingGradOp::getPlacement(unsigned) {
  return getAcc() ? ResultPlacement::inPlace(2) : ResultPlacement::fresh();
}

//===----------------------------------------------------------------------===//
// Local forms: a table's rows split over ranks
//===----------------------------------------------------------------------===//

/// The first row of the rank's part of a table; null when it has all rows.
static Value loadFirstRow(PartitionContext &context, Type table) {
  ShardingAttr sharding = getSharding(table);
  if (!sharding || sharding.getAxes(0).empty())
    return {};
  return context.getAxisIndex(sharding.getAxes(0), context.getLocalType(table).getDimSize(0));
}

LogicalResult EmbeddingOp::buildLocal(PartitionContext &context, ValueRange operands,
                                      SmallVectorImpl<Value> &results) {
  results.push_back(EmbeddingOp::create(context.getBuilder(), getLoc(),
                                        context.getLocalType(getType()), operands[0], operands[1],
                                        loadFirstRow(context, getTable().getType())));
  return success();
}

LogicalResult EmbeddingGradOp::buildLocal(PartitionContext &context, ValueRange operands,
                                          SmallVectorImpl<Value> &results) {
  results.push_back(EmbeddingGradOp::create(
      context.getBuilder(), getLoc(), context.getLocalType(getType()), operands[0], operands[1],
      getAcc() ? operands[2] : Value(), loadFirstRow(context, getType())));
  return success();
}

//===----------------------------------------------------------------------===//
// Instructions
//===----------------------------------------------------------------------===//

LogicalResult EmbeddingOp::emitInstructions(OpBuilder &builder, ValueRange operands,
                                            ValueRange results) {
  exec::EmbeddingOp::create(builder, getLoc(), operands[0], operands[1], results[0],
                            getFirstRow() ? operands.back() : Value());
  return success();
}

LogicalResult EmbeddingGradOp::emitInstructions(OpBuilder &builder, ValueRange operands,
                                                ValueRange results) {
  if (!getAcc())
    exec::FillOp::create(builder, getLoc(), results[0], builder.getF64FloatAttr(0));
  exec::EmbeddingGradOp::create(builder, getLoc(), operands[0], operands[1], results[0],
                                /*scratch=*/Value(), getFirstRow() ? operands.back() : Value());
  return success();
}

} // namespace titan
