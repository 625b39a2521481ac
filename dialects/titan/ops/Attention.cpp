#include "dialects/titan/Sharding.h"

using namespace mlir;

namespace titan {

//===----------------------------------------------------------------------===//
// rope
//===----------------------------------------------------------------------===//

LogicalResult RopeOp::verify() {
  auto input = tensorType(getInput()), cosine = tensorType(getCosine());
  if (!isSameTensor(getResult().getType(), input))
    return emitOpError() << "the result " << getResult().getType() << " is not of the input's type "
                         << input;
  if (input.getRank() != 4)
    return emitOpError() << "expects an input [batch, sequence, heads, dim], found " << input;
  if (input.getDimSize(3) % 2)
    return emitOpError() << "expects an even last dimension, found " << input.getDimSize(3);
  const int64_t pairs = input.getDimSize(3) / 2;
  const int64_t perRow[] = {input.getDimSize(0), input.getDimSize(1), pairs};
  if (cosine.getShape() != ArrayRef(perRow) && cosine.getShape() != ArrayRef(perRow).drop_front())
    return emitOpError() << "expects tables [" << perRow[1] << ", " << pairs << "] or ["
                         << perRow[0] << ", " << perRow[1] << ", " << pairs << "], found "
                         << cosine;
  if (!isSameTensor(getSine().getType(), cosine))
    return emitOpError() << "the sine " << getSine().getType() << " is not of the cosine's type "
                         << cosine;
  return success();
}

PrecisionRule RopeOp::getPrecisionRule() { return PrecisionRule::of(*this, {0}, {0}); }

LogicalResult RopeOp::buildVjp(OpBuilder &builder, ArrayRef<Value> cotangents,
                               const llvm::BitVector &needed, Vjp &result) {
  if (needed[1] || needed[2])
    return emitOpError("is not differentiable with respect to its tables");
  // A rotation's transpose is its inverse.
  result.operands = {RopeOp::create(builder, getLoc(), getInput().getType(), cotangents[0],
                                    getCosine(), getSine(), !getInverse()),
                     Value(), Value()};
  return success();
}

//===----------------------------------------------------------------------===//
// attention
//===----------------------------------------------------------------------===//

static LogicalResult verifyPositions(Operation *op, const char *name, Value positions,
                                     RankedTensorType tensor) {
  if (positions && tensorType(positions).getShape() != tensor.getShape().take_front(2))
    return op->emitOpError() << "expects " << name << " positions [" << tensor.getDimSize(0) << ", "
                             << tensor.getDimSize(1) << "], found " << positions.getType();
  return success();
}

template <typename Op> static LogicalResult verifyAttention(Op op) {
  auto query = tensorType(op.getQuery()), key = tensorType(op.getKey());
  if (query.getRank() != 4 || key.getRank() != 4)
    return op.emitOpError() << "expects query and key [batch, sequence, heads, dim], found "
                            << query << " and " << key;
  if (!isSameTensor(op.getValue().getType(), key))
    return op.emitOpError() << "the value " << op.getValue().getType()
                            << " is not of the key's type " << key;
  if (query.getDimSize(0) != key.getDimSize(0) || query.getDimSize(3) != key.getDimSize(3))
    return op.emitOpError() << "query " << query << " and key " << key
                            << " differ in batch or head dimension";
  if (query.getDimSize(2) % key.getDimSize(2))
    return op.emitOpError() << "expects the number of query heads to be a multiple of the key "
                            << "heads, found " << query.getDimSize(2) << " and "
                            << key.getDimSize(2);
  const int64_t lse[] = {query.getDimSize(0), query.getDimSize(2), query.getDimSize(1)};
  if (tensorType(op.getLse()).getShape() != ArrayRef(lse))
    return op.emitOpError() << "expects the log-sum-exp [" << lse[0] << ", " << lse[1] << ", "
                            << lse[2] << "], found " << op.getLse().getType();
  if (!isSameTensor(op.getResult().getType(), query))
    return op.emitOpError() << "the result " << op.getResult().getType()
                            << " is not of the query's type " << query;
  if (!op.getQueryPositions() != !op.getKeyPositions())
    return op.emitOpError("expects query and key positions together");
  if (failed(verifyPositions(op, "query", op.getQueryPositions(), query)) ||
      failed(verifyPositions(op, "key", op.getKeyPositions(), key)))
    return failure();
  return success();
}

LogicalResult AttentionOp::verify() { return verifyAttention(*this); }

LogicalResult AttentionGradOp::verify() {
  if (!isSameTensor(getDresult().getType(), getQuery().getType()) ||
      !isSameTensor(getDquery().getType(), getQuery().getType()) ||
      !isSameTensor(getDkey().getType(), getKey().getType()) ||
      !isSameTensor(getDvalue().getType(), getValue().getType()))
    return emitOpError("expects each gradient to be of its tensor's type");
  return verifyAttention(*this);
}

PrecisionRule AttentionOp::getPrecisionRule() { return PrecisionRule::of(*this, {0, 1, 2}, {0}); }

LogicalResult AttentionOp::buildVjp(OpBuilder &builder, ArrayRef<Value> cotangents,
                                    const llvm::BitVector &, Vjp &result) {
  if (cotangents[1])
    return emitOpError("is not differentiable through the log-sum-exp, only through its first "
                       "result");
  auto gradient = AttentionGradOp::create(
      builder, getLoc(), getQuery().getType(), getKey().getType(), getValue().getType(), getQuery(),
      getKey(), getValue(), getQueryPositions(), getKeyPositions(), getResult(), getLse(),
      cotangents[0], getScaleAttr(), getCausalAttr());
  result.operands.assign(getNumOperands(), Value());
  result.operands[0] = gradient.getDquery();
  result.operands[1] = gradient.getDkey();
  result.operands[2] = gradient.getDvalue();
  return success();
}

namespace {

/// The operands of attention or its gradient without the positions, and the positions, if any.
struct AttentionOperands {
  SmallVector<Value> tensors;
  Value queryPositions, keyPositions;

  AttentionOperands(ValueRange operands, bool hasPositions) : tensors(operands) {
    if (!hasPositions)
      return;
    queryPositions = operands[3];
    keyPositions = operands[4];
    tensors.erase(tensors.begin() + 3, tensors.begin() + 5);
  }
};

} // namespace

LogicalResult AttentionOp::emitInstructions(OpBuilder &builder, ValueRange operands,
                                            ValueRange results) {
  auto scale = builder.getF32FloatAttr(static_cast<float>(getScale().convertToDouble()));
  const AttentionOperands in(operands, static_cast<bool>(getQueryPositions()));
  exec::AttentionOp::create(builder, getLoc(), in.tensors[0], in.tensors[1], in.tensors[2],
                            in.queryPositions, in.keyPositions, results[0], results[1],
                            /*scratch=*/Value(), scale, getCausalAttr());
  return success();
}

/// Of what cuDNN's gradient keeps beside its tensors: so many are planned and no more, and a GPU
/// whose plans need more runs Titan's own kernels.
static constexpr int64_t kMaxAttentionScratch = int64_t{8} << 30;

/// On GPUs Titan's own kernels keep a float32 number for each row of queries. cuDNN, which takes
/// bfloat16 without positions in heads of up to 128 elements, also keeps float32 sums of dquery, on
/// compute capability 8.x and 12.x twice; with grouped queries dkey and dvalue of every head; and
/// 256 bytes: so say the plans of cuDNN 9.19 and 9.26. It wants all that aligned to 256 bytes.
int64_t AttentionGradOp::getScratchBytes(int64_t computeCapability) {
  if (computeCapability == 0)
    return 0;
  constexpr int64_t kAlignment = 256;
  const RankedTensorType query = tensorType(getQuery()), key = tensorType(getKey());
  const int64_t queries = query.getDimSize(1), heads = query.getDimSize(2);
  const int64_t keys = key.getDimSize(1), dim = query.getDimSize(3);
  const int64_t rows = query.getDimSize(0) * heads * queries * 4;
  const bool isForCudnn = query.getElementType().isBF16() && !getQueryPositions() && dim <= 128 &&
                          dim % 8 == 0 && queries > 1 && keys > 1;
  if (!isForCudnn)
    return rows;
  const int64_t major = computeCapability / 10;
  const bool keepsTwoSums = major == 8 || major == 12;
  int64_t bytes = llvm::alignTo(rows, kAlignment) +
                  llvm::alignTo(rows * dim, kAlignment) * (keepsTwoSums ? 2 : 1);
  if (heads != key.getDimSize(2))
    bytes += 2 * llvm::alignTo(query.getDimSize(0) * heads * keys * dim * 2, kAlignment);
  bytes += 2 * kAlignment; // its own, and what an address that is aligned to 64 may lose
  return bytes <= kMaxAttentionScratch ? bytes : rows;
}

LogicalResult AttentionGradOp::emitInstructions(OpBuilder &builder, ValueRange operands,
                                                ValueRange results) {
  auto scale = builder.getF32FloatAttr(static_cast<float>(getScale().convertToDouble()));
  Value scratch;
  if (operands.size() > getNumOperands()) {
    scratch = operands.back();
    operands = operands.drop_back();
  }
  const AttentionOperands in(operands, static_cast<bool>(getQueryPositions()));
  exec::AttentionGradOp::create(builder, getLoc(), in.tensors[0], in.tensors[1], in.tensors[2],
                                in.queryPositions, in.keyPositions, in.tensors[3], in.tensors[4],
                                in.tensors[5], results[0], results[1], results[2], scratch, scale,
                                getCausalAttr());
  return success();
}

} // namespace titan
