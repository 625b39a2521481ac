// The functions and variables of a training program, by their fixed names.
#pragma once

#include "dialects/titan/TitanDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

namespace titan {

/// Names that passes, the program file and the trainer agree on.
namespace names {
inline constexpr llvm::StringLiteral kLoss = "loss";
inline constexpr llvm::StringLiteral kForward = "fwd";
inline constexpr llvm::StringLiteral kBackward = "bwd";
inline constexpr llvm::StringLiteral kPrologue = "prologue";
inline constexpr llvm::StringLiteral kUpdate = "update";
inline constexpr llvm::StringLiteral kUnshard = "unshard";
inline constexpr llvm::StringLiteral kEval = "eval";
inline constexpr llvm::StringLiteral kEvalPrologue = "eval_prologue";

inline constexpr llvm::StringLiteral kLossSum = "loss_sum";
inline constexpr llvm::StringLiteral kValidTokens = "valid_tokens";
/// What a step adds up on each rank, to be summed over the ranks at its end.
inline constexpr llvm::StringLiteral kAccumulatedPrefix = "accumulated.";
inline constexpr llvm::StringLiteral kEvalLossSum = "eval_loss_sum";
inline constexpr llvm::StringLiteral kEvalValidTokens = "eval_valid_tokens";
inline constexpr llvm::StringLiteral kGradientNorm = "grad_norm";
inline constexpr llvm::StringLiteral kFinite = "finite";
inline constexpr llvm::StringLiteral kLearningRate = "lr";
inline constexpr llvm::StringLiteral kBiasCorrection1 = "bias_correction1";
inline constexpr llvm::StringLiteral kBiasCorrection2 = "bias_correction2";

inline constexpr llvm::StringLiteral kGradientPrefix = "gradient.";
inline constexpr llvm::StringLiteral kGatheredPrefix = "gathered.";
inline constexpr llvm::StringLiteral kExpAvgPrefix = "optimizer.exp_avg.";
inline constexpr llvm::StringLiteral kExpAvgSqPrefix = "optimizer.exp_avg_sq.";

/// The argument attribute that names a function's input.
inline constexpr llvm::StringLiteral kInputName = "titan.name";
} // namespace names

/// The function of that name, or an error at the module.
mlir::func::FuncOp lookupFunction(mlir::ModuleOp module, llvm::StringRef name);

/// Appends a private function without results; the builder is left before its return.
mlir::func::FuncOp createFunction(mlir::OpBuilder &builder, mlir::ModuleOp module,
                                  mlir::Location loc, llvm::StringRef name,
                                  mlir::TypeRange inputs = {});

/// Adds a variable after the last one of the module.
VariableOp createVariable(mlir::ModuleOp module, mlir::Location loc, const llvm::Twine &name,
                          Role role, mlir::RankedTensorType type);

/// The variables of one role, in the module's order.
llvm::SmallVector<VariableOp> getVariables(mlir::ModuleOp module, Role role);

/// Stores load(variable) + value.
void addToVariable(mlir::OpBuilder &builder, mlir::Location loc, llvm::StringRef variable,
                   mlir::Value value);

/// Where a result lives by its op's BufferingOpInterface; memory of its own if the op has none.
ResultPlacement getPlacement(mlir::OpResult result);

/// Erases the pure ops of a block whose results have no uses, last to first.
void eraseDeadOps(mlir::Block &block);

} // namespace titan
