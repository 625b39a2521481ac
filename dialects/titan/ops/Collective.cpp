#include "dialects/titan/Sharding.h"

#include "llvm/ADT/SmallPtrSet.h"

using namespace mlir;

namespace titan {

//===----------------------------------------------------------------------===//
// reshard
//===----------------------------------------------------------------------===//

LogicalResult ReshardOp::verify() {
  if (!isSameTensor(getInput().getType(), getType()))
    return emitOpError() << "expects one global tensor in two layouts, found "
                         << getInput().getType() << " and " << getType();
  if (!getSharding(getInput().getType()) || !getSharding(getType()))
    return emitOpError() << "expects two sharded types, found " << getInput().getType() << " and "
                         << getType();
  return success();
}

OpFoldResult ReshardOp::fold(FoldAdaptor) {
  return getInput().getType() == getType() ? OpFoldResult(getInput()) : OpFoldResult();
}

LogicalResult ReshardOp::buildVjp(OpBuilder &builder, ArrayRef<Value> cotangents,
                                  const llvm::BitVector &, Vjp &result) {
  // The cotangent of a partial sum is whole, and that of storage is storage.
  RankedTensorType input = result.getType(getInput(), 0);
  Type dual = withSharding(input, getSharding(input).withPartial({}));
  result.operands = {
      ReshardOp::create(builder, getLoc(), dual, cotangents[0], getPlacement(), getReasonAttr())};
  return success();
}

bool ReshardOp::takesWiderCotangent() { return true; }

//===----------------------------------------------------------------------===//
// Collectives
//===----------------------------------------------------------------------===//

/// Errors of one operand and its result, given the group's size.
static LogicalResult verifyParts(Operation *op, RankedTensorType part, RankedTensorType whole,
                                 int64_t dimension, int64_t ranks) {
  bool fits = part.getRank() == whole.getRank() && dimension >= 0 && dimension < part.getRank();
  for (int64_t i = 0; fits && i < part.getRank(); ++i)
    fits = part.getDimSize(i) * (i == dimension ? ranks : 1) == whole.getDimSize(i);
  if (fits)
    return success();
  return op->emitOpError() << "expects " << whole << " to be " << ranks << " times " << part
                           << " along dimension " << dimension;
}

/// The group's size, or an error at an axis that is not the mesh's.
static FailureOr<int64_t> getGroupSize(Operation *op, ArrayAttr axes,
                                       SymbolTableCollection &symbols) {
  auto name = StringAttr::get(op->getContext(), kMeshName);
  auto mesh = symbols.lookupNearestSymbolFrom<MeshOp>(op, name);
  if (!mesh)
    return op->emitOpError("stands in a module without a titan.mesh @mesh");
  const MeshShape shape(mesh);
  llvm::SmallPtrSet<Attribute, 4> seen;
  for (StringAttr axis : axes.getAsRange<StringAttr>()) {
    if (!shape.hasAxis(axis))
      return op->emitOpError() << "axis " << axis << " is not one of the mesh";
    if (!seen.insert(axis).second)
      return op->emitOpError() << "axis " << axis << " stands twice";
  }
  return shape.getSize(llvm::to_vector(axes.getAsRange<StringAttr>()));
}

/// Axes of the mesh, and shapes that fit the group's size.
template <typename Op>
static LogicalResult verifyExchange(Op op, int64_t dimension, SymbolTableCollection &symbols) {
  FailureOr<int64_t> ranks = getGroupSize(op, op.getAxes(), symbols);
  if (failed(ranks))
    return failure();
  const CollectiveKind kind = op.getKind();
  for (auto [input, result] : llvm::zip(op.getInputs(), op.getResults())) {
    auto from = tensorType(input), to = tensorType(result);
    if (kind == CollectiveKind::allReduce) {
      if (from != to)
        return op.emitOpError() << "expects results of the operands' types, found " << from
                                << " and " << to;
    } else if (const bool gathers = kind == CollectiveKind::allGather; failed(
                   verifyParts(op, gathers ? from : to, gathers ? to : from, dimension, *ranks))) {
      return failure();
    }
  }
  return success();
}

LogicalResult AllGatherOp::verifySymbolUses(SymbolTableCollection &symbols) {
  return verifyExchange(*this, getDimension(), symbols);
}
LogicalResult ReduceScatterOp::verifySymbolUses(SymbolTableCollection &symbols) {
  return verifyExchange(*this, getDimension(), symbols);
}
LogicalResult AllReduceOp::verifySymbolUses(SymbolTableCollection &symbols) {
  return verifyExchange(*this, 0, symbols);
}
LogicalResult StartOp::verifySymbolUses(SymbolTableCollection &symbols) {
  return verifyExchange(*this, getDimension(), symbols);
}

static SmallVector<StringAttr> toVector(ArrayAttr axes) {
  return llvm::to_vector(axes.getAsRange<StringAttr>());
}

CollectiveKind AllGatherOp::getKind() { return CollectiveKind::allGather; }
CollectiveKind ReduceScatterOp::getKind() { return CollectiveKind::reduceScatter; }
CollectiveKind AllReduceOp::getKind() { return CollectiveKind::allReduce; }
SmallVector<StringAttr> AllGatherOp::getGroupAxes() { return toVector(getAxes()); }
SmallVector<StringAttr> ReduceScatterOp::getGroupAxes() { return toVector(getAxes()); }
SmallVector<StringAttr> AllReduceOp::getGroupAxes() { return toVector(getAxes()); }
unsigned AllGatherOp::getCollectiveDimension() { return getDimension(); }
bool AllGatherOp::isKeptForBackward() { return getPlacement() == GatherPlacement::per_microbatch; }
unsigned ReduceScatterOp::getCollectiveDimension() { return getDimension(); }
unsigned AllReduceOp::getCollectiveDimension() { return 0; }

SmallVector<Type> getGroupedTypes(ValueRange operands, Operation *like, unsigned dimension) {
  auto model = tensorType(like->getOperand(0));
  if (model == like->getResult(0).getType())
    return llvm::to_vector(operands.getTypes());
  const int64_t from = model.getDimSize(dimension);
  const int64_t to = tensorType(like->getResult(0)).getDimSize(dimension);
  SmallVector<Type> types;
  for (Value operand : operands) {
    SmallVector<int64_t> shape(tensorType(operand).getShape());
    shape[dimension] = shape[dimension] * to / from;
    types.push_back(RankedTensorType::get(shape, tensorType(operand).getElementType()));
  }
  return types;
}

Operation *AllGatherOp::buildGrouped(OpBuilder &builder, ValueRange operands) {
  return AllGatherOp::create(builder, getLoc(), getGroupedTypes(operands, *this, getDimension()),
                             operands, getAxes(), getDimension(), getPlacement());
}

Operation *ReduceScatterOp::buildGrouped(OpBuilder &builder, ValueRange operands) {
  return ReduceScatterOp::create(builder, getLoc(),
                                 getGroupedTypes(operands, *this, getDimension()), operands,
                                 getAxes(), getDimension());
}

Operation *AllReduceOp::buildGrouped(OpBuilder &builder, ValueRange operands) {
  return AllReduceOp::create(builder, getLoc(), operands.getTypes(), getReduction(), operands,
                             getAxes());
}

//===----------------------------------------------------------------------===//
// axis_slice
//===----------------------------------------------------------------------===//

LogicalResult AxisSliceOp::verify() {
  if (tensorType(getInput()).getElementType() != tensorType(getResult()).getElementType())
    return emitOpError() << "the result " << getType() << " is not of the input's element type";
  return success();
}

LogicalResult AxisSliceOp::verifySymbolUses(SymbolTableCollection &symbols) {
  FailureOr<int64_t> ranks = getGroupSize(*this, getAxes(), symbols);
  if (failed(ranks))
    return failure();
  return verifyParts(*this, tensorType(getResult()), tensorType(getInput()), getDimension(),
                     *ranks);
}

} // namespace titan
