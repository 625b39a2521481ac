// Where a program's variables, inputs and residuals live, and the timelines over its functions.
#pragma once

#include "passes/memory/ValuePlacement.h"

namespace titan {

/// Segments and residual classes of the program file.
namespace segments {
inline constexpr llvm::StringLiteral kParameters = "parameters";
inline constexpr llvm::StringLiteral kState = "state";
inline constexpr llvm::StringLiteral kGradients = "gradients";
inline constexpr llvm::StringLiteral kDerived = "derived";
inline constexpr llvm::StringLiteral kIo = "io";
inline constexpr llvm::StringLiteral kResiduals = "residuals";
inline constexpr llvm::StringLiteral kScratch = "scratch";
inline constexpr llvm::StringLiteral kBatch = "batch";
inline constexpr llvm::StringLiteral kEvalBatch = "eval_batch";
inline constexpr llvm::StringLiteral kForwardToBackward = "fwd_to_bwd";
} // namespace segments

/// The dense row-major buffer of a tensor type.
mlir::MemRefType getBufferType(mlir::Type tensor);

/// A buffer of that many bytes.
mlir::MemRefType getScratchType(mlir::OpBuilder &builder, int64_t bytes);

class ProgramLayout {
public:
  explicit ProgramLayout(mlir::ModuleOp module);

  FunctionLayout getFunctionLayout(mlir::func::FuncOp function) const;

  /// Declares the program, segments, residual classes and variables before all functions.
  void declareMemory(mlir::OpBuilder &builder, int64_t arenaBytes);

  /// Declares @train and, if the module can evaluate, @evaluation after all functions.
  void declareTimelines(mlir::OpBuilder &builder);

private:
  /// Equal slots of tensors, one after another.
  struct ResidualClass {
    mlir::StringAttr name;
    llvm::SmallVector<int64_t> offsets;
    int64_t bytes = 0;
  };

  void placeVariable(VariableOp variable, llvm::StringRef segment);
  ResidualClass layOut(llvm::StringRef name, mlir::TypeRange types);
  void declareVariables(mlir::OpBuilder &builder);
  void declareInputs(mlir::OpBuilder &builder, mlir::func::FuncOp function,
                     const ResidualClass &inputs, llvm::StringRef prefix);

  mlir::ModuleOp module;
  llvm::StringMap<FixedRange> variables;
  llvm::StringMap<int64_t> segmentBytes;
  ResidualClass batch, evalBatch, residuals;
  mlir::func::FuncOp forward, evaluation;
};

} // namespace titan
