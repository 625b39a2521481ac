#include "dialects/titan/TitanDialect.h"

#include "mlir/IR/PatternMatch.h"

using namespace mlir;

namespace titan {

//===----------------------------------------------------------------------===//
// Folding of sums into accumulators
//===----------------------------------------------------------------------===//

/// Moves the rewriter to `op`, the addend that is replaced, if `other` is known there: a product
/// should run as soon as it can, so that its operands die early.
static void insertAsEarlyAsPossible(PatternRewriter &rewriter, Operation *op, Value other) {
  Operation *definition = other.getDefiningOp();
  if (!definition || (definition->getBlock() == op->getBlock() && definition->isBeforeInBlock(op)))
    rewriter.setInsertionPoint(op);
}

/// add(einsum(a, b), c) -> einsum(a, b) acc(c), and likewise for an embedding gradient: a sum of
/// products, such as the cotangents that meet in the residual stream, becomes a chain of
/// accumulating products that needs no memory and no pass of its own. Both addends must have no
/// other use, or the accumulator would have to be copied; and only at float32 or wider, for below
/// the sum would be rounded at other places.
static LogicalResult foldIntoAccumulator(AddOp op, PatternRewriter &rewriter) {
  if (tensorType(op).getElementTypeBitWidth() < 32)
    return failure();
  for (unsigned side : {1u, 0u}) {
    Value sum = op->getOperand(side), other = op->getOperand(1 - side);
    if (!sum.hasOneUse() || !other.hasOneUse())
      continue;
    if (auto einsum = sum.getDefiningOp<EinsumOp>()) {
      insertAsEarlyAsPossible(rewriter, einsum, other);
      Value acc = other;
      if (einsum.getAcc())
        acc = AddOp::create(rewriter, op.getLoc(), einsum.getAcc(), other);
      rewriter.replaceOp(op, EinsumOp::create(rewriter, einsum.getLoc(), op.getType(),
                                              einsum.getEquation(), einsum.getLhs(),
                                              einsum.getRhs(), acc));
      rewriter.eraseOp(einsum);
      return success();
    }
    if (auto gradient = sum.getDefiningOp<EmbeddingGradOp>()) {
      insertAsEarlyAsPossible(rewriter, gradient, other);
      Value acc = other;
      if (gradient.getAcc())
        acc = AddOp::create(rewriter, op.getLoc(), gradient.getAcc(), other);
      rewriter.replaceOp(op, EmbeddingGradOp::create(rewriter, gradient.getLoc(), op.getType(),
                                                     gradient.getDresult(), gradient.getTokens(),
                                                     acc, gradient.getFirstRow()));
      rewriter.eraseOp(gradient);
      return success();
    }
  }
  return failure();
}

/// x + 0 -> x.
static LogicalResult dropZero(AddOp op, PatternRewriter &rewriter) {
  for (unsigned side : {0u, 1u})
    if (auto full = op->getOperand(side).getDefiningOp<FullOp>())
      if (full.getValue().isZero()) {
        rewriter.replaceOp(op, op->getOperand(1 - side));
        return success();
      }
  return failure();
}

void AddOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *) {
  patterns.add(dropZero);
  patterns.add(foldIntoAccumulator);
}

OpFoldResult CastOp::fold(FoldAdaptor) {
  return getInput().getType() == getType() ? OpFoldResult(getInput()) : OpFoldResult();
}

//===----------------------------------------------------------------------===//
// Vector-Jacobian products
//===----------------------------------------------------------------------===//

/// Builds a * b.
static Value mul(OpBuilder &builder, Location loc, Value a, Value b) {
  return MulOp::create(builder, loc, a, b);
}

static Value full(OpBuilder &builder, Location loc, Type type, double value) {
  return FullOp::create(builder, loc, type, builder.getF64FloatAttr(value));
}

LogicalResult AddOp::buildVjp(OpBuilder &, ArrayRef<Value> cotangents, const llvm::BitVector &,
                              Vjp &result) {
  result.operands = {cotangents[0], cotangents[0]};
  return success();
}

LogicalResult SubOp::buildVjp(OpBuilder &builder, ArrayRef<Value> cotangents,
                              const llvm::BitVector &needed, Vjp &result) {
  Value right;
  if (needed[1])
    right = NegOp::create(builder, getLoc(), cotangents[0]);
  result.operands = {cotangents[0], right};
  return success();
}

LogicalResult MulOp::buildVjp(OpBuilder &builder, ArrayRef<Value> cotangents,
                              const llvm::BitVector &needed, Vjp &result) {
  result.operands.assign(2, Value());
  for (unsigned i : needed.set_bits())
    result.operands[i] = mul(builder, getLoc(), cotangents[0], getOperand(1 - i));
  return success();
}

LogicalResult DivOp::buildVjp(OpBuilder &builder, ArrayRef<Value> cotangents,
                              const llvm::BitVector &needed, Vjp &result) {
  Value left = DivOp::create(builder, getLoc(), cotangents[0], getRhs());
  Value right;
  if (needed[1])
    right = NegOp::create(builder, getLoc(), mul(builder, getLoc(), left, getResult()));
  result.operands = {left, right};
  return success();
}

LogicalResult NegOp::buildVjp(OpBuilder &builder, ArrayRef<Value> cotangents,
                              const llvm::BitVector &, Vjp &result) {
  result.operands = {NegOp::create(builder, getLoc(), cotangents[0])};
  return success();
}

LogicalResult ExpOp::buildVjp(OpBuilder &builder, ArrayRef<Value> cotangents,
                              const llvm::BitVector &, Vjp &result) {
  result.operands = {mul(builder, getLoc(), cotangents[0], getResult())};
  return success();
}

LogicalResult LogOp::buildVjp(OpBuilder &builder, ArrayRef<Value> cotangents,
                              const llvm::BitVector &, Vjp &result) {
  result.operands = {DivOp::create(builder, getLoc(), cotangents[0], getInput())};
  return success();
}

LogicalResult SqrtOp::buildVjp(OpBuilder &builder, ArrayRef<Value> cotangents,
                               const llvm::BitVector &, Vjp &result) {
  Value half = mul(builder, getLoc(), cotangents[0], full(builder, getLoc(), getType(), 0.5));
  result.operands = {DivOp::create(builder, getLoc(), half, getResult())};
  return success();
}

LogicalResult RsqrtOp::buildVjp(OpBuilder &builder, ArrayRef<Value> cotangents,
                                const llvm::BitVector &, Vjp &result) {
  Location loc = getLoc();
  Value cube = mul(builder, loc, getResult(), mul(builder, loc, getResult(), getResult()));
  Value factor = mul(builder, loc, cube, full(builder, loc, getType(), -0.5));
  result.operands = {mul(builder, loc, cotangents[0], factor)};
  return success();
}

LogicalResult SiluOp::buildVjp(OpBuilder &builder, ArrayRef<Value> cotangents,
                               const llvm::BitVector &, Vjp &result) {
  result.operands = {SiluGradOp::create(builder, getLoc(), getInput(), cotangents[0])};
  return success();
}

LogicalResult CastOp::buildVjp(OpBuilder &builder, ArrayRef<Value> cotangents,
                               const llvm::BitVector &, Vjp &result) {
  Type type = result.getType(getInput(), 0);
  result.operands = {builder.createOrFold<CastOp>(getLoc(), type, cotangents[0])};
  return success();
}

bool CastOp::takesWiderCotangent() { return true; }

PrecisionRule CastOp::getPrecisionRule() { return PrecisionRule::of(*this, {0}, {}); }

LogicalResult FullOp::emitInstructions(OpBuilder &builder, ValueRange, ValueRange results) {
  exec::FillOp::create(builder, getLoc(), results[0], getValueAttr());
  return success();
}

} // namespace titan
