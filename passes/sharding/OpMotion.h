// Moving collectives, and what must move with them, within a block.
#pragma once

#include "passes/Functions.h"

#include "llvm/ADT/SetVector.h"

namespace titan {

using OpSet = llvm::SetVector<mlir::Operation *>;

/// Whether the op computes nothing: its results are views of its operands.
bool isView(mlir::Operation *op);

/// Whether a value is there at the function's entry: an argument, a load, or a view of one.
bool isThereAtEntry(mlir::Value value);

/// What only tells stores, or views of them, apart from `value` and is therefore free to wait until
/// the function's end: whether at most kMaxTail ops use the value, directly and indirectly, all of
/// them without effects but stores.
bool mayWaitUntilEnd(mlir::Value value);
inline constexpr size_t kMaxTail = 16;

/// The first op, in the order of the block, that uses one of the values other than by a view of it;
/// the terminator if none does.
mlir::Operation *getFirstUse(mlir::ValueRange values);

/// The ops before `limit` in its block that use the values, directly or indirectly, in order.
OpSet getUsersBefore(mlir::ValueRange values, mlir::Operation *limit);

/// Moves ops, in their order, to directly before `point`.
void moveBefore(const OpSet &ops, mlir::Operation *point);

/// Moves views and loads that operands of `op` are made of to before it, where they stand after it.
void hoistViews(mlir::Operation *op);

} // namespace titan
