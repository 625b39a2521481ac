// The scalar ops that a titan.map may hold.
#pragma once

#include "mlir/IR/Builders.h"

namespace titan {

/// Whether the op is one of them.
bool isMapScalarOp(mlir::Operation *op);

/// Their names, for messages.
llvm::StringRef listMapScalarOps();

/// The op's result for these operands, in double precision; a boolean is 0 or 1.
double evaluateMapScalar(mlir::Operation *op, llvm::ArrayRef<double> operands);

/// Builds what a cotangent of the op's result adds to those of its operands, and hands each part to
/// `add`. Operands without a derivative (booleans) get none.
void differentiateMapScalar(mlir::OpBuilder &builder, mlir::Operation *op, mlir::Value cotangent,
                            llvm::function_ref<void(mlir::Value operand, mlir::Value part)> add);

/// Operations of one call that count as floating-point operations: 1, or 0 for a constant.
int64_t countMapScalarFlops(mlir::Operation *op);

} // namespace titan
