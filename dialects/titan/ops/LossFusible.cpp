// Cross entropy as row reductions and pointwise ops.
#include "dialects/titan/ops/Decompose.h"

using namespace mlir;

namespace titan {

namespace {
/// The values that the loss and its gradient share.
struct RowLosses {
  Value logits;      // [rows, classes] in the compute type
  Value oneHot;      // [rows, classes]
  Value logSumExp;   // [rows], of the shifted exponentials: no overflow
  Value isValid;     // [rows]
  Value loss, valid; // sums over the rows
};
} // namespace

static RowLosses buildRowLosses(ProgramBuilder &program, Value logits, Value labels,
                                IntegerAttr numClasses) {
  llvm::ArrayRef<int64_t> shape = tensorType(logits).getShape();
  RowLosses values;
  values.logits = program.maskPadding(program.widen(logits), numClasses);
  values.oneHot = program.oneHot(labels, shape[1]);
  values.isValid = program.isValid(labels);
  Value maximum = program.reduce(Reduction::max, values.logits, {1});
  Value shifted = program.sub(values.logits, program.broadcast(maximum, shape, {0}));
  Value sum = program.reduce(Reduction::sum, program.exp(shifted), {1});
  values.logSumExp = program.add(program.log(sum), maximum);
  Value picked = program.reduce(Reduction::sum, program.mul(values.logits, values.oneHot), {1});
  Value rowLoss = program.mul(program.sub(values.logSumExp, picked), values.isValid);
  values.loss = program.reduce(Reduction::sum, rowLoss, {0});
  values.valid = program.reduce(Reduction::sum, values.isValid, {0});
  return values;
}

SmallVector<Value> CrossEntropyOp::decompose(OpBuilder &builder) {
  ProgramBuilder program(builder, getLoc(), tensorType(getLoss()).getElementType());
  RowLosses values = buildRowLosses(program, getLogits(), getLabels(), getNumClassesAttr());
  return {values.loss, values.valid};
}

SmallVector<Value> CrossEntropyGradOp::decompose(OpBuilder &builder) {
  ProgramBuilder program(builder, getLoc(), tensorType(getLoss()).getElementType());
  RowLosses values = buildRowLosses(program, getLogits(), getLabels(), getNumClassesAttr());
  llvm::ArrayRef<int64_t> shape = tensorType(getLogits()).getShape();
  Value scale = program.mul(values.isValid, program.broadcast(getDloss(), {shape[0]}, {}));
  Value shifted = program.sub(values.logits, program.broadcast(values.logSumExp, shape, {0}));
  Value difference = program.sub(program.exp(shifted), values.oneHot);
  Value dlogits = program.mul(difference, program.broadcast(scale, shape, {0}));
  return {values.loss, values.valid,
          program.castTo(dlogits, tensorType(getDlogits()).getElementType())};
}

} // namespace titan
