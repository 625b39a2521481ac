// The text of an op whose region has an argument per operand:
//
//     titan.kernel (%a = %x, %b = %y) : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32> { ... }
#pragma once

#include "mlir/IR/OpImplementation.h"

namespace titan {

void printRegionOfOperands(mlir::OpAsmPrinter &printer, mlir::Operation *op);

/// `argumentType` gives the type of the region's argument for an operand's type.
mlir::ParseResult
parseRegionOfOperands(mlir::OpAsmParser &parser, mlir::OperationState &result,
                      llvm::function_ref<mlir::Type(mlir::Type operand)> argumentType);

} // namespace titan
