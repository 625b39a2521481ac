// Verifiers of instructions.
#include "dialects/exec/Exec.h"

using namespace mlir;
using namespace titan::exec;

static MemRefType typeOf(Value value) { return cast<MemRefType>(value.getType()); }

LogicalResult LaunchOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto kernel = symbols.lookupNearestSymbolFrom<KernelOp>(*this, getKernelAttr());
  if (!kernel)
    return emitOpError("'") << getKernel() << "' is no kernel";
  if (getOperands().size() != kernel.getNumArguments())
    return emitOpError("passes ") << getOperands().size() << " buffers, kernel '" << getKernel()
                                  << "' takes " << kernel.getNumArguments();
  for (auto [i, operand] : llvm::enumerate(getOperands()))
    if (operand.getType() != kernel.getArgumentType(i))
      return emitOpError("buffer #") << i << " is " << operand.getType() << ", kernel '"
                                     << getKernel() << "' takes " << kernel.getArgumentType(i);
  return success();
}

//===----------------------------------------------------------------------------------------===//
// gemm
//===----------------------------------------------------------------------------------------===//

namespace {
/// One operand of a gemm as it is stored.
struct Matrix {
  StringRef name;
  Value buffer;
  int64_t rows, columns, leading, stride;
};
} // namespace

static LogicalResult verifyMatrix(GemmOp op, const Matrix &matrix) {
  if (matrix.leading < matrix.columns)
    return op.emitOpError("ld") << matrix.name << " is at least the " << matrix.columns
                                << " stored columns, found " << matrix.leading;
  if (matrix.stride < 0)
    return op.emitOpError("stride_") << matrix.name << " is at least 0, found " << matrix.stride;
  const int64_t need =
      (op.getBatch() - 1) * matrix.stride + (matrix.rows - 1) * matrix.leading + matrix.columns;
  const int64_t span = getSpan(typeOf(matrix.buffer));
  if (need > span)
    return op.emitOpError() << matrix.name << " needs " << need << " elements, its buffer spans "
                            << span;
  return success();
}

LogicalResult GemmOp::verify() {
  const int64_t m = getM(), n = getN(), k = getK();
  if (m < 1 || n < 1 || k < 1 || getBatch() < 1)
    return emitOpError("m, n, k and batch are at least 1, found ")
           << m << ", " << n << ", " << k << " and " << getBatch();
  const bool ta = getTransA(), tb = getTransB();
  const Matrix matrices[] = {{"a", getA(), ta ? k : m, ta ? m : k, getLda(), getStrideA()},
                             {"b", getB(), tb ? n : k, tb ? k : n, getLdb(), getStrideB()},
                             {"c", getC(), m, n, getLdc(), getStrideC()}};
  for (const Matrix &matrix : matrices)
    if (failed(verifyMatrix(*this, matrix)))
      return failure();
  if (getBatch() > 1 && getStrideC() < (m - 1) * getLdc() + n)
    return emitOpError("items of c overlap: stride_c is at least ")
           << (m - 1) * getLdc() + n << ", found " << getStrideC();
  return success();
}

//===----------------------------------------------------------------------------------------===//
// attention
//===----------------------------------------------------------------------------------------===//

static LogicalResult verifyShape(Operation *op, StringRef name, Value value,
                                 ArrayRef<int64_t> expected) {
  const MemRefType type = typeOf(value);
  if (type.getShape() == expected)
    return success();
  auto error = op->emitOpError() << name << " has shape [";
  llvm::interleaveComma(type.getShape(), error);
  error << "], expected [";
  llvm::interleaveComma(expected, error);
  return error << "]";
}

static LogicalResult verifyElement(Operation *op, StringRef name, Value value, Type expected) {
  if (typeOf(value).getElementType() == expected)
    return success();
  return op->emitOpError() << name << " has element type " << typeOf(value).getElementType()
                           << ", expected " << expected;
}

// Positions, if any, are one i32 per row of q or k.
static LogicalResult verifyPositions(Operation *op, StringRef name, Value positions,
                                     ArrayRef<int64_t> tensor) {
  if (!positions)
    return success();
  if (failed(verifyShape(op, name, positions, tensor.take_front(2))))
    return failure();
  return verifyElement(op, name, positions, IntegerType::get(op->getContext(), 32));
}

// The rules that attention and its gradient share.
template <typename Op> static LogicalResult verifyAttention(Op op) {
  const ArrayRef<int64_t> q = typeOf(op.getQ()).getShape(), k = typeOf(op.getK()).getShape();
  if (q.size() != 4 || k.size() != 4)
    return op.emitOpError("q and k have rank 4, found ") << q.size() << " and " << k.size();
  if (k[0] != q[0] || k[3] != q[3])
    return op.emitOpError("q and k agree in batch and dim, found ")
           << q[0] << " and " << k[0] << ", " << q[3] << " and " << k[3];
  if (q[2] % k[2])
    return op.emitOpError("heads are a multiple of kv heads, found ") << q[2] << " and " << k[2];
  const Type element = typeOf(op.getQ()).getElementType();
  const Builder builder(op.getContext());
  auto f32 = Float32Type::get(op.getContext());
  if (failed(verifyShape(op, "v", op.getV(), k)) ||
      failed(verifyShape(op, "out", op.getOut(), q)) ||
      failed(verifyShape(op, "lse", op.getLse(), {q[0], q[2], q[1]})) ||
      failed(verifyElement(op, "k", op.getK(), element)) ||
      failed(verifyElement(op, "v", op.getV(), element)) ||
      failed(verifyElement(op, "out", op.getOut(), element)) ||
      failed(verifyElement(op, "lse", op.getLse(), f32)))
    return failure();
  if (!op.getQueryPositions() != !op.getKeyPositions())
    return op.emitOpError("has query and key positions together");
  if (failed(verifyPositions(op, "query positions", op.getQueryPositions(), q)) ||
      failed(verifyPositions(op, "key positions", op.getKeyPositions(), k)))
    return failure();
  return success();
}

LogicalResult AttentionOp::verify() { return verifyAttention(*this); }

LogicalResult AttentionGradOp::verify() {
  if (failed(verifyAttention(*this)))
    return failure();
  const ArrayRef<int64_t> q = typeOf(getQ()).getShape(), k = typeOf(getK()).getShape();
  const Type element = typeOf(getQ()).getElementType();
  const std::pair<StringRef, Value> likeQ[] = {{"dout", getDout()}, {"dq", getDq()}};
  const std::pair<StringRef, Value> likeK[] = {{"dk", getDk()}, {"dv", getDv()}};
  for (auto [name, value] : likeQ)
    if (failed(verifyShape(*this, name, value, q)) ||
        failed(verifyElement(*this, name, value, element)))
      return failure();
  for (auto [name, value] : likeK)
    if (failed(verifyShape(*this, name, value, k)) ||
        failed(verifyElement(*this, name, value, element)))
      return failure();
  return success();
}

//===----------------------------------------------------------------------------------------===//
// embedding
//===----------------------------------------------------------------------------------------===//

static LogicalResult verifyEmbedding(Operation *op, Value tokens, Value table, Value rows,
                                     StringRef tableName, StringRef rowsName, Value firstRow) {
  if (firstRow) {
    const MemRefType first = typeOf(firstRow);
    if (first.getRank() != 0 || !first.getElementType().isInteger(32))
      return op->emitOpError() << "first_row is one i32, found " << first;
  }
  const MemRefType type = typeOf(table);
  if (type.getRank() != 2)
    return op->emitOpError() << tableName << " has rank 2, found " << type.getRank();
  SmallVector<int64_t> expected(typeOf(tokens).getShape());
  expected.push_back(type.getDimSize(1));
  if (failed(verifyShape(op, rowsName, rows, expected)))
    return failure();
  return verifyElement(op, "tokens", tokens, IntegerType::get(op->getContext(), 32));
}

LogicalResult EmbeddingOp::verify() {
  if (failed(
          verifyEmbedding(*this, getTokens(), getTable(), getOut(), "table", "out", getFirstRow())))
    return failure();
  return verifyElement(*this, "out", getOut(), typeOf(getTable()).getElementType());
}

LogicalResult EmbeddingGradOp::verify() {
  return verifyEmbedding(*this, getTokens(), getDtable(), getDout(), "dtable", "dout",
                         getFirstRow());
}

//===----------------------------------------------------------------------------------------===//
// The rest
//===----------------------------------------------------------------------------------------===//

LogicalResult CopyOp::verify() {
  const MemRefType source = typeOf(getSource());
  if (failed(verifyShape(*this, "destination", getDestination(), source.getShape())))
    return failure();
  return verifyElement(*this, "destination", getDestination(), source.getElementType());
}

LogicalResult CheckFiniteOp::verify() {
  if (getValues().empty())
    return emitOpError("needs at least 1 buffer to check");
  for (auto [i, value] : llvm::enumerate(getValues()))
    if (!isa<FloatType>(typeOf(value).getElementType()))
      return emitOpError("buffer #")
             << i << " holds floating point values, found " << typeOf(value).getElementType();
  const MemRefType flag = typeOf(getFlag());
  if (flag.getNumElements() != 1 || !flag.getElementType().isF32())
    return emitOpError("flag is one f32, found ") << flag;
  return success();
}

// Whether a destination holds `factor` times (or by `divisor` less than) its source.
static bool sizesAgree(Collective collective, int64_t source, int64_t destination) {
  switch (collective) {
  case Collective::AllGather:
    return destination % source == 0;
  case Collective::ReduceScatter:
    return source % destination == 0;
  default:
    return source == destination;
  }
}

static LogicalResult verifyPairs(StartOp op) {
  if (op.getSources().size() != op.getDestinations().size())
    return op.emitOpError("has as many sources as destinations, found ")
           << op.getSources().size() << " and " << op.getDestinations().size();
  for (auto [i, source, destination] : llvm::enumerate(op.getSources(), op.getDestinations())) {
    const MemRefType from = typeOf(source), to = typeOf(destination);
    if (from.getElementType() != to.getElementType() ||
        !sizesAgree(op.getCollective(), from.getNumElements(), to.getNumElements()))
      return op.emitOpError("pair #") << i << " does not fit: " << from << " and " << to;
  }
  return success();
}

LogicalResult StartOp::verify() {
  const Collective collective = getCollective();
  const bool reduces =
      collective == Collective::AllReduce || collective == Collective::ReduceScatter;
  if (reduces != (getReduction() != Reduction::None))
    return emitOpError() << stringifyCollective(collective)
                         << (reduces ? " needs a reduction" : " has no reduction") << ", found "
                         << stringifyReduction(getReduction());
  if (getAxes().empty())
    return emitOpError("needs at least 1 mesh axis");
  const bool toOne = collective == Collective::Send || collective == Collective::Receive ||
                     collective == Collective::Broadcast;
  if (toOne != getPeer().has_value())
    return emitOpError() << stringifyCollective(collective)
                         << (toOne ? " needs a peer" : " has no peer");
  if (getPeer() && *getPeer() < 0)
    return emitOpError("peer is at least 0, found ") << *getPeer();
  if (getChannel() < 0 || getChannel() >= kMaxChannels)
    return emitOpError("channel is at least 0 and below ")
           << kMaxChannels << ", found " << getChannel();
  for (Value value : getOperands()) {
    MemRefType type = typeOf(value);
    if (getSpan(type) != type.getNumElements())
      return emitOpError("moves contiguous buffers, found ") << type;
  }
  if (collective == Collective::Send || collective == Collective::Receive) {
    const bool sends = collective == Collective::Send;
    if (getSources().empty() == sends || getDestinations().empty() != sends)
      return emitOpError() << stringifyCollective(collective) << " has only "
                           << (sends ? "sources" : "destinations") << ", found "
                           << getSources().size() << " sources and " << getDestinations().size()
                           << " destinations";
    return success();
  }
  return verifyPairs(*this);
}
