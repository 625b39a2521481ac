// The vector-Jacobian product of every differentiable op against finite differences.
#include "compiler/reference/TrainingStep.h"
#include "test/unit/dialects/OpSamples.h"

#include "mlir/IR/Verifier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

using namespace mlir;

namespace titan {
namespace {

constexpr double kTolerance = 1e-7;

/// The arguments that a sample's op can be differentiated by.
SmallVector<int64_t> getPrimals(func::FuncOp function) {
  if (auto given = function->getAttrOfType<DenseI64ArrayAttr>("test.differentiable"))
    return SmallVector<int64_t>(given.asArrayRef());
  SmallVector<int64_t> primals;
  for (auto [index, type] : llvm::enumerate(function.getArgumentTypes()))
    if (isa<FloatType>(cast<RankedTensorType>(type).getElementType()))
      primals.push_back(static_cast<int64_t>(index));
  return primals;
}

/// Appends @vjp to the module: it takes the arguments of `function` and a cotangent of the first
/// result of its op, and returns the cotangents of the primals.
LogicalResult buildVjpFunction(func::FuncOp function) {
  OpBuilder builder(function);
  auto clone = cast<func::FuncOp>(builder.clone(*function));
  clone.setName("vjp");
  Operation *op = OpSamples::getOp(clone), *end = op->getNextNode();
  Block &block = clone.getBody().front();
  SmallVector<Value> cotangents(op->getNumResults());
  cotangents[0] = block.addArgument(op->getResult(0).getType(), op->getLoc());
  const SmallVector<int64_t> primals = getPrimals(function);
  llvm::BitVector needed(op->getNumOperands());
  for (auto [index, operand] : llvm::enumerate(op->getOperands()))
    needed[index] = llvm::is_contained(primals, cast<BlockArgument>(operand).getArgNumber());
  builder.setInsertionPoint(end);
  Vjp vjp;
  if (failed(cast<DifferentiableOpInterface>(op).buildVjp(builder, cotangents, needed, vjp)))
    return failure();
  // An argument that stands in several operands gets the sum.
  SmallVector<Value> results;
  for (int64_t primal : primals) {
    Value argument = block.getArgument(primal), sum;
    for (auto [operand, cotangent] : llvm::zip_equal(op->getOperands(), vjp.operands))
      if (operand == argument && cotangent)
        sum = sum ? AddOp::create(builder, op->getLoc(), sum, cotangent) : cotangent;
    if (!sum)
      return op->emitOpError() << "has no cotangent of argument " << primal;
    results.push_back(sum);
  }
  end->setOperands(results);
  clone.setType(builder.getFunctionType(block.getArgumentTypes(), TypeRange(ValueRange(results))));
  return verify(clone);
}

double dot(ArrayRef<double> a, ArrayRef<double> b) {
  double sum = 0;
  for (auto [x, y] : llvm::zip_equal(a, b))
    sum += x * y;
  return sum;
}

class GradientTest : public testing::Test {
protected:
  void SetUp() override { ASSERT_TRUE(samples.getModule()); }

  /// <cotangent, first result> as arguments `index` moves along `direction`.
  FailureOr<double> differentiateAlong(Interpreter &interpreter, StringRef function,
                                       SmallVector<HostTensor> arguments, unsigned index,
                                       const HostTensor &direction, const HostTensor &cotangent) {
    const std::vector<double> origin = arguments[index].values;
    return differentiate([&](double distance) -> FailureOr<double> {
      for (size_t i = 0; i < origin.size(); ++i)
        arguments[index].values[i] = origin[i] + distance * direction.values[i];
      auto results = interpreter.call(function, arguments);
      if (failed(results))
        return failure();
      return dot(results->front().values, cotangent.values);
    });
  }

  void check(func::FuncOp function) {
    ASSERT_TRUE(succeeded(buildVjpFunction(function)));
    auto vjp = samples.getModule().lookupSymbol<func::FuncOp>("vjp");
    Interpreter interpreter(samples.getModule());
    SmallVector<HostTensor> arguments = samples.makeArguments(function);
    const HostTensor cotangent =
        makeRandomTensor(cast<RankedTensorType>(vjp.getArgumentTypes().back()), "cotangent", 1, 1);
    SmallVector<HostTensor> extended = arguments;
    extended.push_back(cotangent);
    auto gradients = interpreter.call("vjp", extended);
    ASSERT_TRUE(succeeded(gradients));
    vjp.erase();

    for (auto [i, gradient] : llvm::zip_equal(getPrimals(function), *gradients)) {
      const HostTensor direction = makeRandomTensor(arguments[i].type, "direction", i, 1);
      auto derivative = differentiateAlong(interpreter, function.getSymName(), arguments, i,
                                           direction, cotangent);
      ASSERT_TRUE(succeeded(derivative));
      EXPECT_NEAR(dot(gradient.values, direction.values), *derivative,
                  kTolerance * std::max(1.0, std::fabs(*derivative)))
          << "argument " << i;
    }
  }

  OpSamples samples;
};

TEST_F(GradientTest, EveryDifferentiableOpHasASample) {
  EXPECT_THAT(samples.findMissing<DifferentiableOpInterface>(), testing::IsEmpty());
}

TEST_F(GradientTest, ProductsEqualFiniteDifferences) {
  SmallVector<func::FuncOp> functions(samples.getModule().getOps<func::FuncOp>());
  for (func::FuncOp function : functions) {
    if (!isa<DifferentiableOpInterface>(OpSamples::getOp(function)) || getPrimals(function).empty())
      continue;
    SCOPED_TRACE(function.getSymName().str());
    check(function);
  }
}

} // namespace
} // namespace titan
