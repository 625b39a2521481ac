// The exec dialect: memory, instructions and timelines of a finished program.
#pragma once

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "dialects/exec/ExecDialect.h.inc"
#include "dialects/exec/ExecEnums.h.inc"

#define GET_ATTRDEF_CLASSES
#include "dialects/exec/ExecAttrs.h.inc"
#define GET_TYPEDEF_CLASSES
#include "dialects/exec/ExecTypes.h.inc"

namespace titan::exec {

/// Every offset of a segment's contents is a multiple of this many bytes, unless it is a view.
inline constexpr int64_t kAlignment = 64;

/// The mesh axis whose coordinates have memory and timelines of their own.
inline constexpr llvm::StringLiteral kPipelineAxis = "pp";

/// Channels of one group: a pipeline's activations go through one and its cotangents through
/// another.
inline constexpr int64_t kMaxChannels = 2;

/// Most dimensions of a buffer.
inline constexpr int64_t kMaxRank = 6;

/// Whether the program format has the element type.
bool isElementType(mlir::Type type);

/// Bytes of one element of a type for which isElementType holds; a boolean takes one.
int64_t getElementBytes(mlir::Type type);

/// Whether `type` is what exec.buffer yields: see the constraint's description in ExecBase.td.
bool isBufferType(mlir::Type type);

/// Strides in elements of a type for which isBufferType holds.
llvm::SmallVector<int64_t> getStrides(mlir::MemRefType type);

/// Elements from the first to the last of a buffer, both included. Example: 2x3 with strides [8, 1]
/// spans 11.
int64_t getSpan(mlir::MemRefType type);

/// The coordinates that mesh axes of a module's exec.program have together: the product of their
/// sizes; 0 if one is not the mesh's or stands twice, or there is no program.
int64_t getNumCoordinates(mlir::ModuleOp module, llvm::ArrayRef<mlir::Attribute> axes);

/// Whether the rank, if there is one, is a coordinate in kPipelineAxis; an error at the op.
llvm::LogicalResult verifyPipelineRank(mlir::Operation *op, std::optional<int64_t> rank);

/// getSpan in bytes.
int64_t getSpanBytes(mlir::MemRefType type);

} // namespace titan::exec

#define GET_OP_CLASSES
#include "dialects/exec/ExecOps.h.inc"
