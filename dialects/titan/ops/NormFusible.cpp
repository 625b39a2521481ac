// Norms as row reductions and pointwise ops.
#include "dialects/titan/ops/Decompose.h"

using namespace mlir;

namespace titan {

SmallVector<Value> RmsNormOp::decompose(OpBuilder &builder) {
  RankedTensorType type = tensorType(getInput());
  llvm::ArrayRef<int64_t> shape = type.getShape();
  llvm::ArrayRef<int64_t> rows = shape.drop_back();
  const int64_t last = type.getRank() - 1;
  auto rowDimensions = llvm::to_vector(llvm::seq<int64_t>(0, last));
  ProgramBuilder program(builder, getLoc(), tensorType(getRstd()).getElementType());

  Value x = program.widen(getInput());
  Value sum = program.reduce(Reduction::sum, program.mul(x, x), {last});
  Value mean = program.mul(sum, program.full(rows, 1.0 / static_cast<double>(shape.back())));
  Value rstd = program.rsqrt(program.add(mean, program.full(rows, getEpsilon().convertToDouble())));
  Value normalized = program.mul(x, program.broadcast(rstd, shape, rowDimensions));
  Value weight = program.broadcast(program.widen(getWeight()), shape, {last});
  Value result = program.mul(normalized, weight);
  return {program.castTo(result, tensorType(getResult()).getElementType()), rstd};
}

// With r = rstd, d the size of a row and g = dresult * weight:
//   dinput = r g - input r^3 / d * sum(g * input),   dweight = sum over rows of dresult input r.
SmallVector<Value> RmsNormGradOp::decompose(OpBuilder &builder) {
  RankedTensorType type = tensorType(getInput());
  llvm::ArrayRef<int64_t> shape = type.getShape();
  llvm::ArrayRef<int64_t> rows = shape.drop_back();
  const int64_t last = type.getRank() - 1;
  auto rowDimensions = llvm::to_vector(llvm::seq<int64_t>(0, last));
  ProgramBuilder program(builder, getLoc(), tensorType(getRstd()).getElementType());

  Value x = program.widen(getInput());
  Value dy = program.widen(getDresult());
  Value weight = program.broadcast(program.widen(getWeight()), shape, {last});
  Value rstd = getRstd();
  Value g = program.mul(dy, weight);
  Value dot = program.reduce(Reduction::sum, program.mul(g, x), {last});
  Value cube = program.mul(program.mul(rstd, rstd), rstd);
  Value inverse = program.full(rows, 1.0 / static_cast<double>(shape.back()));
  Value factor = program.mul(program.mul(dot, inverse), cube);
  Value rstdWide = program.broadcast(rstd, shape, rowDimensions);
  Value dinput = program.sub(program.mul(g, rstdWide),
                             program.mul(x, program.broadcast(factor, shape, rowDimensions)));
  Value product = program.mul(program.mul(dy, rstdWide), x);
  Value dweight =
      rowDimensions.empty() ? product : program.reduce(Reduction::sum, product, rowDimensions);
  return {program.castTo(dinput, tensorType(getDinput()).getElementType()),
          program.castTo(dweight, tensorType(getDweight()).getElementType())};
}

} // namespace titan
