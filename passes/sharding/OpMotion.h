// Moving collectives, and what must move with them, within a block.
#pragma once

#include "passes/Functions.h"

#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SetVector.h"

namespace titan {

using OpSet = llvm::SetVector<mlir::Operation *>;

/// Whether the op computes nothing: its results are views of its operands.
bool isView(mlir::Operation *op);

/// Whether each element of the results is computed from one of each operand, by one op or a kernel.
bool isPointwise(mlir::Operation *op);

/// The load of the variable that is all that the value is computed from, element by element; null
/// if there is no such.
LoadOp getStored(mlir::Value value);

/// What `mapping` has for the value; if nothing, clones its op, and before it whatever that needs.
mlir::Value cloneWithOperands(mlir::OpBuilder &builder, mlir::Value value,
                              mlir::IRMapping &mapping);

/// Whether a value is there at the function's entry or can be: an argument, a load, or a view or
/// pointwise function of such values, like the bfloat16 copy of a parameter's slice.
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

/// Moves what operands of `op` that are there at entry are made of to before it, where it stands
/// after it.
void hoistViews(mlir::Operation *op);

} // namespace titan
