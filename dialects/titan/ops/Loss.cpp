#include "dialects/titan/Sharding.h"
#include "dialects/titan/ops/ParallelLoss.h"

using namespace mlir;

namespace titan {

static LogicalResult verifyLabels(Operation *op, RankedTensorType rows, RankedTensorType labels) {
  if (rows.getRank() < 1 || rows.getShape().drop_back() != labels.getShape())
    return op->emitOpError() << "expects one label per row of " << rows << ", found " << labels;
  return success();
}

/// Classes without padding, of a tensor that has `classes`, or of a part of one.
static LogicalResult verifyNumClasses(Operation *op, IntegerAttr numClasses, int64_t classes,
                                      bool isPart) {
  if (!numClasses || (numClasses.getInt() >= 1 && (isPart || numClasses.getInt() <= classes)))
    return success();
  auto error = op->emitOpError() << "expects a number of classes from 1";
  if (!isPart)
    error << " to " << classes;
  return error << ", found " << numClasses.getInt();
}

template <typename Op> static LogicalResult verifyCrossEntropy(Op op) {
  auto logits = tensorType(op.getLogits());
  if (failed(verifyLabels(op, logits, tensorType(op.getLabels()))))
    return failure();
  return verifyNumClasses(op, op.getNumClassesAttr(), logits.getShape().back(), /*isPart=*/false);
}

LogicalResult CrossEntropyOp::verify() { return verifyCrossEntropy(*this); }

LogicalResult CrossEntropyGradOp::verify() {
  if (!isSameTensor(getDlogits().getType(), getLogits().getType()))
    return emitOpError() << "dlogits " << getDlogits().getType() << " is not of the logits' type "
                         << getLogits().getType();
  return verifyCrossEntropy(*this);
}

static LogicalResult verifyHead(Operation *op, RankedTensorType input, RankedTensorType weight,
                                RankedTensorType labels, Value firstClass, ArrayAttr classAxes,
                                IntegerAttr numClasses) {
  if (static_cast<bool>(firstClass) != static_cast<bool>(classAxes))
    return op->emitOpError("expects the first class together with the axes that split the classes");
  if (failed(verifyLabels(op, input, labels)))
    return failure();
  if (weight.getRank() != 2 || weight.getDimSize(1) != input.getShape().back())
    return op->emitOpError() << "expects a weight [classes, " << input.getShape().back()
                             << "], found " << weight;
  return verifyNumClasses(op, numClasses, weight.getDimSize(0), firstClass != nullptr);
}

LogicalResult HeadLossOp::verify() {
  return verifyHead(*this, tensorType(getInput()), tensorType(getWeight()), tensorType(getLabels()),
                    getFirstClass(), getClassAxesAttr(), getNumClassesAttr());
}

LogicalResult HeadLossGradOp::verify() {
  if (!isSameTensor(getDinput().getType(), getInput().getType()))
    return emitOpError() << "dinput " << getDinput().getType() << " is not of the input's type "
                         << getInput().getType();
  if (tensorType(getDweight()).getShape() != tensorType(getWeight()).getShape())
    return emitOpError() << "dweight " << getDweight().getType()
                         << " does not have the weight's shape, " << getWeight().getType();
  return verifyHead(*this, tensorType(getInput()), tensorType(getWeight()), tensorType(getLabels()),
                    getFirstClass(), getClassAxesAttr(), getNumClassesAttr());
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
      getInput(), getWeight(), getLabels(), cotangents[0], getFirstClass(), getClassAxesAttr(),
      getWholeLogits(), getNumClassesAttr());
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
  ClassPart part; ///< without axes: all classes
  bool exchanges; ///< logits, so that every rank has the loss of all classes
  int64_t tokens, rowsPerChunk;

  template <typename Op>
  HeadChunks(OpBuilder &builder, Op op, int64_t chunks)
      : builder(builder), loc(op.getLoc()), weight(op.getWeight()),
        part{op.getFirstClass(), op.getClassAxesAttr(), op.getNumClassesAttr()},
        exchanges(op.getWholeLogits() && part.axes), tokens(op.getNumTokens()),
        rowsPerChunk((tokens + chunks - 1) / std::max<int64_t>(1, chunks)) {
    input = reshape(op.getInput(), {tokens, tensorType(op.getInput()).getShape().back()});
    labels = reshape(op.getLabels(), {tokens});
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

  RankedTensorType matrix(int64_t rows, int64_t columns) {
    return RankedTensorType::get({rows, columns}, tensorType(input).getElementType());
  }

  /// Logits [rows, classes], of the rank's classes or, if ranks exchange them, of all: classes by
  /// rows then, so that each rank has one piece of the memory.
  Value logits(Value rows) {
    const int64_t numRows = tensorType(rows).getDimSize(0), own = tensorType(weight).getDimSize(0);
    if (!exchanges)
      return EinsumOp::create(builder, loc, matrix(numRows, own), "td,vd->tv", rows, weight,
                              Value());
    const auto axes = llvm::to_vector(part.axes.getAsRange<StringAttr>());
    auto module = weight.getParentRegion()->getParentOfType<ModuleOp>();
    const int64_t all = own * MeshShape::get(module).getSize(axes);
    Value ownColumns =
        EinsumOp::create(builder, loc, matrix(own, numRows), "vd,td->vt", weight, rows, Value());
    Value columns = AllGatherOp::create(builder, loc, TypeRange(matrix(all, numRows)), ownColumns,
                                        part.axes, /*dimension=*/0)
                        .getResult(0);
    return TransposeOp::create(builder, loc, matrix(numRows, all), columns,
                               ArrayRef<int64_t>{1, 0});
  }

  /// What a chunk adds to the gradients of its rows and of the weight.
  Value dRows(Value rows, Value dlogits) {
    return EinsumOp::create(builder, loc, rows.getType(), exchanges ? "vt,vd->td" : "tv,vd->td",
                            dlogits, weight, Value());
  }
  Value dWeight(Type type, Value rows, Value dlogits, Value sum) {
    return EinsumOp::create(builder, loc, type, exchanges ? "vt,td->vd" : "tv,td->vd", dlogits,
                            rows, sum);
  }

  /// The loss of one chunk, of the scalar's type; with `dloss` the gradient of the rank's logits
  /// too, classes by rows if the logits have been exchanged.
  ParallelLoss loss(Value logits, Value chunkLabels, Value scalar, Value dloss) {
    Type type = scalar.getType();
    if (part.axes && !exchanges)
      return buildParallelLoss(builder, loc, logits, chunkLabels, part,
                               tensorType(scalar).getElementType(), dloss);
    if (!dloss) {
      auto op =
          CrossEntropyOp::create(builder, loc, type, type, logits, chunkLabels, part.numClasses);
      return {op.getLoss(), op.getValid(), Value()};
    }
    auto op = CrossEntropyGradOp::create(builder, loc, type, type, logits.getType(), logits,
                                         chunkLabels, dloss, part.numClasses);
    if (!exchanges)
      return {op.getLoss(), op.getValid(), op.getDlogits()};
    ArrayRef<int64_t> shape = tensorType(logits).getShape();
    Value columns = TransposeOp::create(builder, loc, matrix(shape[1], shape[0]), op.getDlogits(),
                                        ArrayRef<int64_t>{1, 0});
    Value own =
        AxisSliceOp::create(builder, loc, matrix(tensorType(weight).getDimSize(0), shape[0]),
                            columns, part.axes, /*dimension=*/0);
    return {op.getLoss(), op.getValid(), own};
  }

  Value sum(Value total, Value value) {
    return total ? AddOp::create(builder, loc, total, value) : value;
  }
};
} // namespace

int64_t HeadLossOp::getNumTokens() { return tensorType(getLabels()).getNumElements(); }

SmallVector<Value> HeadLossOp::unrollChunks(OpBuilder &builder, int64_t chunks) {
  HeadChunks head(builder, *this, chunks);
  Value loss, valid;
  for (int64_t begin = 0; begin < head.tokens; begin += head.rowsPerChunk) {
    const int64_t end = std::min(head.tokens, begin + head.rowsPerChunk);
    Value logits = head.logits(head.slice(head.input, begin, end));
    const ParallelLoss chunk =
        head.loss(logits, head.slice(head.labels, begin, end), getLoss(), /*dloss=*/Value());
    loss = head.sum(loss, chunk.loss);
    valid = head.sum(valid, chunk.valid);
  }
  return {loss, valid};
}

int64_t HeadLossGradOp::getNumTokens() { return tensorType(getLabels()).getNumElements(); }

SmallVector<Value> HeadLossGradOp::unrollChunks(OpBuilder &builder, int64_t chunks) {
  HeadChunks head(builder, *this, chunks);
  Value loss, valid, dweight;
  SmallVector<Value> dinputs;
  for (int64_t begin = 0; begin < head.tokens; begin += head.rowsPerChunk) {
    const int64_t end = std::min(head.tokens, begin + head.rowsPerChunk);
    Value rows = head.slice(head.input, begin, end), logits = head.logits(rows);
    const ParallelLoss chunk =
        head.loss(logits, head.slice(head.labels, begin, end), getLoss(), getDloss());
    dinputs.push_back(head.dRows(rows, chunk.dlogits));
    dweight = head.dWeight(getDweight().getType(), rows, chunk.dlogits, dweight);
    loss = head.sum(loss, chunk.loss);
    valid = head.sum(valid, chunk.valid);
  }
  Value dinput = dinputs.size() == 1
                     ? dinputs[0]
                     : ConcatOp::create(builder, getLoc(), head.input.getType(), dinputs);
  return {loss, valid, head.reshape(dinput, tensorType(getDinput()).getShape()), dweight};
}

} // namespace titan
