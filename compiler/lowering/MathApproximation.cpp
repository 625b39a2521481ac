#include "compiler/lowering/MathApproximation.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;

namespace titan {

namespace {

/// exp(x) = 2^n exp(r) with n = round(x / ln 2) and r = x - n ln 2, |r| <= ln(2) / 2. ln 2 is taken
/// off in two parts, of which the first has so few bits that its product with n is exact (Cody and
/// Waite 1980). exp(r) = 1 + c1 r + ... + c6 r^6, minimax for the relative error (Remez). Fewer
/// operations than MLIR's own, which matters: softmax takes two exponentials of every logit.
struct ExpOfFloat32 : OpRewritePattern<math::ExpOp> {
  // Before MLIR's pattern.
  explicit ExpOfFloat32(MLIRContext *context) : OpRewritePattern(context, /*benefit=*/10) {}

  LogicalResult matchAndRewrite(math::ExpOp op, PatternRewriter &rewriter) const override {
    if (!op.getOperand().getType().isF32())
      return rewriter.notifyMatchFailure(op, "only f32 is approximated here");
    Location loc = op.getLoc();
    Type i32 = rewriter.getI32Type();
    // No reassociation: the order is what makes r exact.
    auto contract = arith::FastMathFlags::contract;
    auto constant = [&](float value) -> Value {
      return arith::ConstantOp::create(rewriter, loc, rewriter.getF32FloatAttr(value));
    };
    auto integer = [&](int32_t value) -> Value {
      return arith::ConstantOp::create(rewriter, loc, rewriter.getI32IntegerAttr(value));
    };
    auto mulAdd = [&](Value a, Value b, Value c) -> Value {
      Value product = arith::MulFOp::create(rewriter, loc, a, b, contract);
      return arith::AddFOp::create(rewriter, loc, product, c, contract);
    };
    // Ordered comparisons keep a NaN.
    auto clamp = [&](arith::CmpFPredicate beyond, Value value, float limit) -> Value {
      Value bound = constant(limit);
      Value isBeyond = arith::CmpFOp::create(rewriter, loc, beyond, value, bound);
      return arith::SelectOp::create(rewriter, loc, isBeyond, bound, value);
    };

    Value x = clamp(arith::CmpFPredicate::OLT, op.getOperand(), -87.33f); // n >= -126
    x = clamp(arith::CmpFPredicate::OGT, x, 89.0f);                       // n <= 128
    Value n = arith::MulFOp::create(rewriter, loc, x, constant(1.44269502f));
    n = math::RoundEvenOp::create(rewriter, loc, n);
    Value r = mulAdd(n, constant(-0.693359375f), x);
    r = mulAdd(n, constant(2.12194440e-4f), r);
    // 2 exp(r) times 2^(n - 1), since 2^128 is no float. With n = -126 the exponent's bits are
    // zero: so is the result.
    Value result = constant(2 * 0.00140612409f);
    for (float coefficient : {0.00837901141f, 0.0416647755f, 0.166663662f, 0.50000006f, 1.0f, 1.0f})
      result = mulAdd(result, r, constant(2 * coefficient));
    Value scale = arith::FPToSIOp::create(rewriter, loc, i32, n);
    scale = arith::AddIOp::create(rewriter, loc, scale, integer(126));
    scale = arith::ShLIOp::create(rewriter, loc, scale, integer(23));
    scale = arith::BitcastOp::create(rewriter, loc, rewriter.getF32Type(), scale);
    rewriter.replaceOpWithNewOp<arith::MulFOp>(op, result, scale);
    return success();
  }
};

} // namespace

void populateMathApproximationPatterns(RewritePatternSet &patterns) {
  patterns.add<ExpOfFloat32>(patterns.getContext());
  populateMathPolynomialApproximationPatterns(patterns, MathPolynomialApproximationOptions{});
}

namespace {
struct ApproximateMath : PassWrapper<ApproximateMath, OperationPass<>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ApproximateMath)

  StringRef getArgument() const override { return "titan-approximate-math"; }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<arith::ArithDialect, math::MathDialect, vector::VectorDialect>();
  }
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateMathApproximationPatterns(patterns);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace

std::unique_ptr<Pass> createApproximateMathPass() { return std::make_unique<ApproximateMath>(); }

} // namespace titan
