#include "dialects/titan/Sharding.h"
#include "dialects/titan/ops/ParallelLoss.h"

using namespace mlir;

namespace titan {

static LogicalResult verifyLabels(Operation *op, RankedTensorType rows, RankedTensorType labels) {
  if (rows.getRank() < 1 || rows.getShape().drop_back() != labels.getShape())
    return op->emitOpError() << "expects one label per row of " << rows << ", found " << labels;
  return success();
}

LogicalResult CrossEntropyOp::verify() {
  return verifyLabels(*this, tensorType(getLogits()), tensorType(getLabels()));
}

LogicalResult CrossEntropyGradOp::verify() {
  if (!isSameTensor(getDlogits().getType(), getLogits().getType()))
    return emitOpError() << "dlogits " << getDlogits().getType() << " is not of the logits' type "
                         << getLogits().getType();
  return verifyLabels(*this, tensorType(getLogits()), tensorType(getLabels()));
}

static LogicalResult verifyHead(Operation *op, RankedTensorType input, RankedTensorType weight,
                                RankedTensorType labels, Value firstClass, ArrayAttr classAxes) {
  if (static_cast<bool>(firstClass) != static_cast<bool>(classAxes))
    return op->emitOpError("expects the first class together with the axes that split the classes");
  if (failed(verifyLabels(op, input, labels)))
    return failure();
  if (weight.getRank() != 2 || weight.getDimSize(1) != input.getShape().back())
    return op->emitOpError() << "expects a weight [classes, " << input.getShape().back()
                             << "], found " << weight;
  return success();
}

LogicalResult HeadLossOp::verify() {
  return verifyHead(*this, tensorType(getInput()), tensorType(getWeight()), tensorType(getLabels()),
                    getFirstClass(), getClassAxesAttr());
}

LogicalResult HeadLossGradOp::verify() {
  if (!isSameTensor(getDinput().getType(), getInput().getType()))
    return emitOpError() << "dinput " << getDinput().getType() << " is not of the input's type "
                         << getInput().getType();
  if (tensorType(getDweight()).getShape() != tensorType(getWeight()).getShape())
    return emitOpError() << "dweight " << getDweight().getType()
                         << " does not have the weight's shape, " << getWeight().getType();
  return verifyHead(*this, tensorType(getInput()), tensorType(getWeight()), tensorType(getLabels()),
                    getFirstClass(), getClassAxesAttr());
}

PrecisionRule CrossEntropyOp::getPrecisionRule() { return PrecisionRule::of(*this, {0}, {}); }

PrecisionRule HeadLossOp::getPrecisionRule() { return PrecisionRule::of(*this, {0, 1}, {}); }

LogicalResult HeadLossOp::buildVjp(OpBuilder &builder, ArrayRef<Value> cotangents,
                                   const llvm::BitVector &, Vjp &result) {
  if (cotangents[1])
    return emitOpError("is not differentiable through the number of valid rows, only through the "
                       "loss");
  RankedTensorType weight = result.getType(getWeight(), 1);
  Type dweight = RankedTensorType::get(weight.getShape(), tensorType(getLoss()).getElementType());
  auto gradient = HeadLossGradOp::create(
      builder, getLoc(), getLoss().getType(), getValid().getType(), getInput().getType(), dweight,
      getInput(), getWeight(), getLabels(), cotangents[0], getFirstClass(), getClassAxesAttr());
  Value dw = gradient.getDweight();
  if (!isSameTensor(dweight, weight))
    dw = CastOp::create(builder, getLoc(), weight, dw);
  result.operands = {gradient.getDinput(), dw};
  result.operands.resize(getNumOperands());
  result.results = {gradient.getLoss(), gradient.getValid()};
  return success();
}

//===----------------------------------------------------------------------===//
// Chunks of tokens
//===----------------------------------------------------------------------===//

namespace {
/// Input and labels of a head as rows, cut into chunks.
struct HeadChunks {
  OpBuilder &builder;
  Location loc;
  Value input, labels, weight;
  int64_t tokens, rowsPerChunk;

  HeadChunks(OpBuilder &builder, Location loc, Value inputValue, Value labelsValue, Value weight,
             int64_t chunks)
      : builder(builder), loc(loc), weight(weight) {
    auto type = tensorType(inputValue);
    tokens = tensorType(labelsValue).getNumElements();
    rowsPerChunk = (tokens + chunks - 1) / std::max<int64_t>(1, chunks);
    input = reshape(inputValue, {tokens, type.getShape().back()});
    labels = reshape(labelsValue, {tokens});
  }

  Value reshape(Value value, ArrayRef<int64_t> shape) {
    auto type = RankedTensorType::get(shape, tensorType(value).getElementType());
    return builder.createOrFold<ReshapeOp>(loc, type, value);
  }

  /// Rows [begin, end) of a tensor.
  Value slice(Value value, int64_t begin, int64_t end) {
    auto type = tensorType(value);
    SmallVector<int64_t> shape(type.getShape());
    if (begin == 0 && end == shape[0])
      return value;
    shape[0] = end - begin;
    return SliceOp::create(builder, loc, RankedTensorType::get(shape, type.getElementType()), value,
                           builder.getI64IntegerAttr(begin));
  }

  Value logits(Value rows) {
    auto type =
        RankedTensorType::get({tensorType(rows).getDimSize(0), tensorType(weight).getDimSize(0)},
                              tensorType(input).getElementType());
    return EinsumOp::create(builder, loc, type, "td,vd->tv", rows, weight, Value());
  }

  /// The loss of one chunk, of the scalar's type; with `dloss` the logits' gradient too.
  ParallelLoss loss(Value logits, Value chunkLabels, Value scalar, const ClassPart &part,
                    Value dloss) {
    Type type = scalar.getType();
    if (part.axes)
      return buildParallelLoss(builder, loc, logits, chunkLabels, part,
                               tensorType(scalar).getElementType(), dloss);
    if (!dloss) {
      auto op = CrossEntropyOp::create(builder, loc, type, type, logits, chunkLabels);
      return {op.getLoss(), op.getValid(), Value()};
    }
    auto op = CrossEntropyGradOp::create(builder, loc, type, type, logits.getType(), logits,
                                         chunkLabels, dloss);
    return {op.getLoss(), op.getValid(), op.getDlogits()};
  }

  Value sum(Value total, Value value) {
    return total ? AddOp::create(builder, loc, total, value) : value;
  }
};
} // namespace

int64_t HeadLossOp::getNumTokens() { return tensorType(getLabels()).getNumElements(); }

SmallVector<Value> HeadLossOp::unrollChunks(OpBuilder &builder, int64_t chunks) {
  HeadChunks head(builder, getLoc(), getInput(), getLabels(), getWeight(), chunks);
  Value loss, valid;
  for (int64_t begin = 0; begin < head.tokens; begin += head.rowsPerChunk) {
    const int64_t end = std::min(head.tokens, begin + head.rowsPerChunk);
    Value logits = head.logits(head.slice(head.input, begin, end));
    const ParallelLoss chunk = head.loss(logits, head.slice(head.labels, begin, end), getLoss(),
                                         {getFirstClass(), getClassAxesAttr()}, /*dloss=*/Value());
    loss = head.sum(loss, chunk.loss);
    valid = head.sum(valid, chunk.valid);
  }
  return {loss, valid};
}

int64_t HeadLossGradOp::getNumTokens() { return tensorType(getLabels()).getNumElements(); }

SmallVector<Value> HeadLossGradOp::unrollChunks(OpBuilder &builder, int64_t chunks) {
  HeadChunks head(builder, getLoc(), getInput(), getLabels(), getWeight(), chunks);
  Value loss, valid, dweight;
  SmallVector<Value> dinputs;
  for (int64_t begin = 0; begin < head.tokens; begin += head.rowsPerChunk) {
    const int64_t end = std::min(head.tokens, begin + head.rowsPerChunk);
    Value rows = head.slice(head.input, begin, end), logits = head.logits(rows);
    const ParallelLoss chunk = head.loss(logits, head.slice(head.labels, begin, end), getLoss(),
                                         {getFirstClass(), getClassAxesAttr()}, getDloss());
    dinputs.push_back(EinsumOp::create(builder, getLoc(), rows.getType(), "tv,vd->td",
                                       chunk.dlogits, getWeight(), Value()));
    dweight = EinsumOp::create(builder, getLoc(), getDweight().getType(), "tv,td->vd",
                               chunk.dlogits, rows, dweight);
    loss = head.sum(loss, chunk.loss);
    valid = head.sum(valid, chunk.valid);
  }
  Value dinput = dinputs.size() == 1
                     ? dinputs[0]
                     : ConcatOp::create(builder, getLoc(), head.input.getType(), dinputs);
  return {loss, valid, head.reshape(dinput, tensorType(getDinput()).getShape()), dweight};
}

} // namespace titan
