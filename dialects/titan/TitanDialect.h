// The titan dialect: the training graph of a language model as tensor ops.
#pragma once

#include "dialects/exec/Exec.h"
#include "dialects/interfaces/Buffering.h"
#include "dialects/interfaces/Chunkable.h"
#include "dialects/interfaces/Collective.h"
#include "dialects/interfaces/Cost.h"
#include "dialects/interfaces/Differentiable.h"
#include "dialects/interfaces/Fusible.h"
#include "dialects/interfaces/Partition.h"
#include "dialects/interfaces/Precision.h"
#include "dialects/interfaces/Reference.h"
#include "dialects/interfaces/ShardingRule.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/IR/TensorEncoding.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "dialects/titan/TitanDialect.h.inc"
#include "dialects/titan/TitanEnums.h.inc"

namespace titan {
/// Whether the shape is static, no dimension is 0, and there are at most 2^56 elements, so that
/// byte sizes and sums of some of them fit in 64 bits.
bool isMemoryShape(mlir::ShapedType type);
} // namespace titan

#define GET_ATTRDEF_CLASSES
#include "dialects/titan/TitanAttrs.h.inc"

#define GET_OP_CLASSES
#include "dialects/titan/TitanOps.h.inc"

namespace titan {

/// The static tensor type of a value of this dialect.
inline mlir::RankedTensorType tensorType(mlir::Value value) {
  return llvm::cast<mlir::RankedTensorType>(value.getType());
}

} // namespace titan
