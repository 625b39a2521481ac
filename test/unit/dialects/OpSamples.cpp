#include "test/unit/dialects/OpSamples.h"

#include "mlir/Parser/Parser.h"

namespace titan {

OpSamples::OpSamples() {
  context.loadDialect<mlir::func::FuncDialect, TitanDialect>();
  module = mlir::parseSourceFile<mlir::ModuleOp>(
      TITAN_SOURCE_ROOT "/test/unit/dialects/Inputs/ops.mlir", &context);
}

} // namespace titan
