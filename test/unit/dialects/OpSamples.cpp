#include "test/unit/dialects/OpSamples.h"

#include "compiler/reference/TrainingStep.h"

#include "mlir/Parser/Parser.h"

#include <cmath>

namespace titan {

OpSamples::OpSamples() {
  context.loadDialect<mlir::func::FuncDialect, TitanDialect>();
  module = mlir::parseSourceFile<mlir::ModuleOp>(
      TITAN_SOURCE_ROOT "/test/unit/dialects/Inputs/ops.mlir", &context);
}

llvm::SmallVector<HostTensor> OpSamples::makeArguments(mlir::func::FuncOp function) {
  constexpr int64_t kIntLimit = 8; // classes and table rows in the samples
  llvm::SmallVector<HostTensor> arguments =
      *makeInputs(getModule(), function.getSymName(), /*seed=*/1, kIntLimit);
  for (HostTensor &argument : arguments) {
    const bool isInteger = argument.type.getElementType().isInteger();
    if (isInteger && function->hasAttr("test.labels"))
      argument.values[1] = -100;
    if (!isInteger && function->hasAttr("test.positive"))
      for (double &value : argument.values)
        value = 0.5 + std::fabs(value);
  }
  return arguments;
}

} // namespace titan
