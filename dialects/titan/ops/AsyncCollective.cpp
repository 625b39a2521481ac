// Collectives that run beside other work, and how collectives become instructions.

#include "dialects/titan/Sharding.h"

using namespace mlir;

namespace titan {

//===----------------------------------------------------------------------===//
// start
//===----------------------------------------------------------------------===//

LogicalResult StartOp::verify() {
  if (getReduction() != Reduction::sum && getCollective() != Collective::all_reduce)
    return emitOpError() << "expects an all_reduce to reduce by "
                         << stringifyReduction(getReduction()) << ", found "
                         << stringifyCollective(getCollective());
  if (getInPlace() && getCollective() != Collective::all_reduce)
    return emitOpError() << "expects an all_reduce to be in place, found "
                         << stringifyCollective(getCollective());
  Operation *await =
      getResults().front().use_empty() ? nullptr : *getResults().front().user_begin();
  if (!isa_and_present<AwaitOp>(await))
    return emitOpError("expects an await of its results");
  for (Value result : getResults())
    if (!result.hasOneUse() || *result.user_begin() != await)
      return emitOpError("expects one await to be the only user of each result");
  return success();
}

CollectiveKind StartOp::getKind() { return static_cast<CollectiveKind>(getCollective()); }

SmallVector<StringAttr> StartOp::getGroupAxes() {
  return llvm::to_vector(getAxes().getAsRange<StringAttr>());
}

unsigned StartOp::getCollectiveDimension() { return static_cast<unsigned>(getDimension()); }

Operation *StartOp::buildGrouped(OpBuilder &builder, ValueRange operands) {
  return StartOp::create(
      builder, getLoc(), getGroupedTypes(operands, *this, getCollectiveDimension()),
      getCollective(), getReduction(), getInPlace(), operands, getAxes(), getDimension());
}

static Operation *buildStart(OpBuilder &builder, Operation *op, Collective collective,
                             Reduction reduction, ArrayAttr axes, int64_t dimension) {
  return StartOp::create(builder, op->getLoc(), op->getResultTypes(), collective, reduction,
                         /*in_place=*/false, op->getOperands(), axes, dimension);
}

Operation *AllGatherOp::buildStart(OpBuilder &builder) {
  return titan::buildStart(builder, *this, Collective::all_gather, Reduction::sum, getAxes(),
                           getDimension());
}
Operation *ReduceScatterOp::buildStart(OpBuilder &builder) {
  return titan::buildStart(builder, *this, Collective::reduce_scatter, Reduction::sum, getAxes(),
                           getDimension());
}
Operation *AllReduceOp::buildStart(OpBuilder &builder) {
  return titan::buildStart(builder, *this, Collective::all_reduce, getReduction(), getAxes(), 0);
}
Operation *StartOp::buildStart(OpBuilder &builder) { return builder.clone(*getOperation()); }

/// The rank's part of a tensor in memory, if that is in one piece: of `count` parts along a
/// dimension. Devices load so many bytes at once, and parts begin where they may.
static RankPart getRankPart(ArrayAttr axes, RankedTensorType part, int64_t dimension,
                            int64_t count) {
  constexpr int64_t kLoadBytes = 16;
  const int64_t bytes = getByteSize(part);
  const bool isOnePiece = ShapedType::getNumElements(part.getShape().take_front(dimension)) == 1;
  return isOnePiece && bytes % kLoadBytes == 0 ? RankPart{axes, bytes, count} : RankPart{{}, 0, 0};
}

ResultPlacement StartOp::getPlacement(unsigned result) {
  if (getInPlace())
    return ResultPlacement::inPlace(result);
  if (getCollective() != Collective::all_gather)
    return ResultPlacement::fresh();
  auto part = tensorType(getInputs()[result]), whole = tensorType(getResults()[result]);
  const RankPart own =
      getRankPart(getAxes(), part, getDimension(), whole.getNumElements() / part.getNumElements());
  return own.count ? ResultPlacement::around(result, own) : ResultPlacement::fresh();
}

//===----------------------------------------------------------------------===//
// await
//===----------------------------------------------------------------------===//

StartOp AwaitOp::getStart() {
  return getUnderWay().empty() ? StartOp() : getUnderWay().front().getDefiningOp<StartOp>();
}

LogicalResult AwaitOp::verify() {
  StartOp start = getStart();
  if (!start || ValueRange(start.getResults()) != ValueRange(getUnderWay()))
    return emitOpError("expects all results of one titan.start, in their order");
  if (start->getBlock() != (*this)->getBlock())
    return emitOpError("expects to stand in the block of its titan.start");
  if (getResultTypes() != start.getResultTypes())
    return emitOpError() << "expects results of the types " << start.getResultTypes() << ", found "
                         << getResultTypes();
  for (Value source : getSources())
    if (!llvm::is_contained(start.getInputs(), source))
      return emitOpError("names a source that is no operand of its titan.start");
  return success();
}

ResultPlacement AwaitOp::getPlacement(unsigned result) { return ResultPlacement::view(result, 0); }

int64_t AwaitOp::getFlops() { return 0; }

LogicalResult AwaitOp::evaluate(ReferenceContext &, ArrayRef<const HostTensor *> operands,
                                MutableArrayRef<HostTensor> results) {
  for (auto [operand, result] : llvm::zip(operands, results))
    result.values = operand->values;
  return success();
}

//===----------------------------------------------------------------------===//
// Instructions
//===----------------------------------------------------------------------===//

/// Appends the contiguous pieces of a dense buffer that a collective along `dimension` exchanges:
/// one for each index of the dimensions before it.
static void cutPieces(OpBuilder &builder, Location loc, Value buffer, unsigned dimension,
                      SmallVectorImpl<Value> &pieces) {
  auto whole = buffer.getDefiningOp<exec::BufferOp>();
  auto type = cast<MemRefType>(buffer.getType());
  const int64_t outer = ShapedType::getNumElements(type.getShape().take_front(dimension));
  if (outer == 1) {
    pieces.push_back(buffer);
    return;
  }
  const int64_t inner = type.getNumElements() / outer;
  const int64_t bytes = inner * exec::getElementBytes(type.getElementType());
  auto piece = MemRefType::get({inner}, type.getElementType());
  for (int64_t i = 0; i < outer; ++i)
    pieces.push_back(exec::BufferOp::create(
        builder, loc, piece, whole.getBaseAttr(),
        builder.getI64IntegerAttr(whole.getOffset() + i * bytes), whole.getRotationAttr()));
}

LogicalResult StartOp::emitInstructions(OpBuilder &builder, ValueRange operands,
                                        ValueRange results) {
  SmallVector<Value> sources, destinations;
  for (auto [operand, result] : llvm::zip_equal(operands, results)) {
    cutPieces(builder, getLoc(), getInPlace() ? result : operand, getCollectiveDimension(),
              sources);
    cutPieces(builder, getLoc(), result, getCollectiveDimension(), destinations);
  }
  const auto collective =
      std::array{exec::Collective::AllGather, exec::Collective::ReduceScatter,
                 exec::Collective::AllReduce}[static_cast<size_t>(getCollective())];
  const auto reduction = getCollective() == Collective::all_gather ? exec::Reduction::None
                         : getReduction() == Reduction::sum        ? exec::Reduction::Sum
                                                                   : exec::Reduction::Max;
  exec::StartOp::create(builder, getLoc(), exec::TokenType::get(builder.getContext()), collective,
                        reduction, getAxes(), /*peer=*/IntegerAttr(), /*channel=*/0, sources,
                        destinations);
  return success();
}

/// The start that is under way in the memory of a buffer: the latest, since nothing else may touch
/// that memory before its await.
static exec::StartOp findStart(OpBuilder &builder, Value buffer) {
  auto place = buffer.getDefiningOp<exec::BufferOp>();
  Block *block = builder.getInsertionBlock();
  for (Operation &op :
       llvm::reverse(llvm::make_range(block->begin(), builder.getInsertionPoint()))) {
    auto start = dyn_cast<exec::StartOp>(op);
    if (!start)
      continue;
    auto first = start.getDestinations().front().getDefiningOp<exec::BufferOp>();
    if (first.getBaseAttr() == place.getBaseAttr() && first.getOffset() == place.getOffset() &&
        first.getRotationAttr() == place.getRotationAttr())
      return start;
  }
  return {};
}

LogicalResult AwaitOp::emitInstructions(OpBuilder &builder, ValueRange operands, ValueRange) {
  exec::StartOp start = findStart(builder, operands.front());
  assert(start && "titan.await stands after the instructions of its titan.start");
  exec::AwaitOp::create(builder, getLoc(), start.getToken());
  return success();
}

ResultPlacement AxisSliceOp::getPlacement(unsigned) {
  auto part = tensorType(getResult());
  return ResultPlacement::part(
      0, getRankPart(getAxes(), part, getDimension(),
                     tensorType(getInput()).getNumElements() / part.getNumElements()));
}

LogicalResult AxisSliceOp::emitInstructions(OpBuilder &builder, ValueRange operands,
                                            ValueRange results) {
  auto whole = operands[0].getDefiningOp<exec::BufferOp>();
  auto place = results[0].getDefiningOp<exec::BufferOp>();
  if (place.getRotationAttr() && place.getBaseAttr() == whole.getBaseAttr() &&
      place.getOffset() == whole.getOffset())
    return success();
  auto wholeType = cast<MemRefType>(operands[0].getType());
  auto partType = cast<MemRefType>(results[0].getType());
  const SmallVector<int64_t> strides = exec::getStrides(wholeType);
  const int64_t step = partType.getDimSize(getDimension()) * strides[getDimension()] *
                       exec::getElementBytes(partType.getElementType());
  auto layout = StridedLayoutAttr::get(getContext(), 0, strides);
  auto type = MemRefType::get(partType.getShape(), partType.getElementType(), layout);
  if (exec::getStrides(partType) == strides)
    type = partType;
  Value part = exec::BufferOp::create(
      builder, getLoc(), type, whole.getBaseAttr(), builder.getI64IntegerAttr(whole.getOffset()),
      exec::RotationAttr::get(getContext(), getAxes(), step, /*shift=*/0));
  exec::CopyOp::create(builder, getLoc(), part, results[0]);
  return success();
}

} // namespace titan
