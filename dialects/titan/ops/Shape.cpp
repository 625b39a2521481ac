#include "dialects/titan/TitanDialect.h"

#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace titan {

//===----------------------------------------------------------------------===//
// reshape
//===----------------------------------------------------------------------===//

LogicalResult ReshapeOp::verify() {
  auto input = tensorType(getInput()), result = tensorType(getResult());
  if (input.getElementType() != result.getElementType() ||
      input.getNumElements() != result.getNumElements())
    return emitOpError() << "expects as many elements of the same type, found " << input << " ("
                         << input.getNumElements() << ") and " << result << " ("
                         << result.getNumElements() << ")";
  return success();
}

OpFoldResult ReshapeOp::fold(FoldAdaptor) {
  if (getInput().getType() == getType())
    return getInput();
  if (auto inner = getInput().getDefiningOp<ReshapeOp>()) {
    if (inner.getInput().getType() == getType())
      return inner.getInput();
    getInputMutable().assign(inner.getInput());
    return getResult();
  }
  return {};
}

LogicalResult ReshapeOp::buildVjp(OpBuilder &builder, ArrayRef<Value> cotangents,
                                  const llvm::BitVector &, Vjp &result) {
  result.operands = {
      ReshapeOp::create(builder, getLoc(), result.getType(getInput(), 0), cotangents[0])};
  return success();
}

bool ReshapeOp::takesWiderCotangent() { return true; }

ResultPlacement ReshapeOp::getPlacement(unsigned) { return ResultPlacement::view(0, 0); }

//===----------------------------------------------------------------------===//
// slice and concat
//===----------------------------------------------------------------------===//

/// Bytes of one row of the first dimension.
static int64_t rowBytes(RankedTensorType type) {
  return getByteSize(type) / std::max<int64_t>(1, type.getDimSize(0));
}

LogicalResult SliceOp::verify() {
  auto input = tensorType(getInput()), result = tensorType(getResult());
  if (input.getRank() < 1 || result.getRank() != input.getRank() ||
      result.getElementType() != input.getElementType() ||
      result.getShape().drop_front() != input.getShape().drop_front())
    return emitOpError() << "the result " << result << " and the input " << input
                         << " differ in more than the size of the first dimension";
  const int64_t end = static_cast<int64_t>(getOffset()) + result.getDimSize(0);
  if (static_cast<int64_t>(getOffset()) < 0 || end > input.getDimSize(0))
    return emitOpError() << "rows [" << static_cast<int64_t>(getOffset()) << ", " << end
                         << ") are not within the input's " << input.getDimSize(0);
  return success();
}

ResultPlacement SliceOp::getPlacement(unsigned) {
  return ResultPlacement::view(0, static_cast<int64_t>(getOffset()) *
                                      rowBytes(tensorType(getInput())));
}

LogicalResult ConcatOp::verify() {
  if (getInputs().empty())
    return emitOpError("expects at least one operand");
  auto result = tensorType(getResult());
  int64_t rows = 0;
  for (Value input : getInputs()) {
    auto type = tensorType(input);
    if (type.getRank() < 1 || type.getRank() != result.getRank() ||
        type.getElementType() != result.getElementType() ||
        type.getShape().drop_front() != result.getShape().drop_front())
      return emitOpError() << "the operand " << type << " and the result " << result
                           << " differ in more than the size of the first dimension";
    rows += type.getDimSize(0);
  }
  if (rows != result.getDimSize(0))
    return emitOpError() << "the operands have " << rows << " rows together, the result "
                         << result.getDimSize(0);
  return success();
}

LogicalResult ConcatOp::buildVjp(OpBuilder &builder, ArrayRef<Value> cotangents,
                                 const llvm::BitVector &, Vjp &result) {
  int64_t offset = 0;
  for (Value input : getInputs()) {
    result.operands.push_back(SliceOp::create(builder, getLoc(), input.getType(), cotangents[0],
                                              builder.getI64IntegerAttr(offset)));
    offset += tensorType(input).getDimSize(0);
  }
  return success();
}

ResultPlacement ConcatOp::getPlacement(unsigned) {
  SmallVector<int64_t> offsets;
  int64_t offset = 0;
  for (Value input : getInputs()) {
    offsets.push_back(offset);
    offset += getByteSize(input.getType());
  }
  return ResultPlacement::assembled(offsets);
}

//===----------------------------------------------------------------------===//
// broadcast and transpose
//===----------------------------------------------------------------------===//

LogicalResult BroadcastOp::verify() {
  auto input = tensorType(getInput()), result = tensorType(getResult());
  if (static_cast<int64_t>(getDimensions().size()) != input.getRank())
    return emitOpError() << "expects " << input.getRank() << " dimensions, found "
                         << getDimensions().size();
  if (input.getElementType() != result.getElementType())
    return emitOpError() << "the result " << result << " is not of the input's element type, "
                         << input.getElementType();
  int64_t last = -1;
  for (auto [size, dimension] : llvm::zip(input.getShape(), getDimensions())) {
    if (dimension <= last || dimension >= result.getRank())
      return emitOpError() << "expects ascending dimensions from 0 to " << result.getRank() - 1
                           << ", found " << dimension;
    if (result.getDimSize(dimension) != size)
      return emitOpError() << "dimension " << dimension << " of the result has size "
                           << result.getDimSize(dimension) << ", the input's has " << size;
    last = dimension;
  }
  return success();
}

LogicalResult BroadcastOp::buildVjp(OpBuilder &builder, ArrayRef<Value> cotangents,
                                    const llvm::BitVector &, Vjp &result) {
  SmallVector<int64_t> reduced;
  for (int64_t i = 0; i < tensorType(getResult()).getRank(); ++i)
    if (!llvm::is_contained(getDimensions(), i))
      reduced.push_back(i);
  result.operands = {ReduceOp::create(builder, getLoc(), getInput().getType(), Reduction::sum,
                                      cotangents[0], reduced)};
  return success();
}

LogicalResult TransposeOp::verify() {
  auto input = tensorType(getInput()), result = tensorType(getResult());
  SmallVector<bool> seen(input.getRank(), false);
  if (static_cast<int64_t>(getPermutation().size()) != input.getRank() ||
      result.getRank() != input.getRank())
    return emitOpError() << "expects a permutation of " << input.getRank() << " dimensions, found "
                         << getPermutation().size();
  for (auto [i, dimension] : llvm::enumerate(getPermutation())) {
    if (dimension < 0 || dimension >= input.getRank() || seen[dimension])
      return emitOpError() << "expects each dimension from 0 to " << input.getRank() - 1
                           << " once, found " << dimension;
    seen[dimension] = true;
    if (result.getDimSize(i) != input.getDimSize(dimension))
      return emitOpError() << "dimension " << i << " of the result has size "
                           << result.getDimSize(i) << ", dimension " << dimension
                           << " of the input " << input.getDimSize(dimension);
  }
  return success();
}

LogicalResult TransposeOp::buildVjp(OpBuilder &builder, ArrayRef<Value> cotangents,
                                    const llvm::BitVector &, Vjp &result) {
  SmallVector<int64_t> inverse(getPermutation().size());
  for (auto [i, dimension] : llvm::enumerate(getPermutation()))
    inverse[dimension] = i;
  result.operands = {
      TransposeOp::create(builder, getLoc(), getInput().getType(), cotangents[0], inverse)};
  return success();
}

LogicalResult OneHotOp::verify() {
  auto labels = tensorType(getLabels()), result = tensorType(getResult());
  if (result.getRank() != labels.getRank() + 1 ||
      result.getShape().drop_back() != labels.getShape())
    return emitOpError() << "the result " << result << " is not the labels' shape " << labels
                         << " with one more dimension";
  return success();
}

LogicalResult MaskColumnsOp::verify() {
  if (tensorType(getInput()).getRank() == 0)
    return emitOpError() << "expects a tensor with columns, found " << getInput().getType();
  if (const auto end = static_cast<int64_t>(getEnd()); end < 1 || end > INT32_MAX)
    return emitOpError() << "expects to end after 1 to " << INT32_MAX << " columns, found " << end;
  return success();
}

//===----------------------------------------------------------------------===//
// Instructions: views compute nothing
//===----------------------------------------------------------------------===//

LogicalResult ReshapeOp::emitInstructions(OpBuilder &, ValueRange, ValueRange) { return success(); }
LogicalResult SliceOp::emitInstructions(OpBuilder &, ValueRange, ValueRange) { return success(); }
LogicalResult ConcatOp::emitInstructions(OpBuilder &, ValueRange, ValueRange) { return success(); }

} // namespace titan
