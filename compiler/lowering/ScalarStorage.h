// Elements in memory and the scalars that are computed with.
#pragma once

#include "mlir/IR/Builders.h"
#include "mlir/IR/Value.h"

namespace titan {

/// The type of an element in memory: i16 for bf16, else the type itself.
mlir::Type getStorageType(mlir::Type element);

/// A loaded value as a scalar of the element type's compute type.
mlir::Value widenFromStorage(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value stored,
                             mlir::Type element);

/// The value to store for a scalar; rounds to nearest even, a NaN stays one.
mlir::Value narrowToStorage(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value scalar,
                            mlir::Type element);

/// The scalar rounded to the element type, as it would be after a store and a load.
mlir::Value roundToElement(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value scalar,
                           mlir::Type element);

} // namespace titan
