// The functions and variables of a training program, by their fixed names.
#pragma once

#include "dialects/titan/TitanDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/StringMap.h"

#include <optional>
#include <string>

namespace titan {

/// Names that passes, the program file and the trainer agree on.
namespace names {
inline constexpr llvm::StringLiteral kLoss = "loss";
inline constexpr llvm::StringLiteral kForward = "fwd";
inline constexpr llvm::StringLiteral kBackward = "bwd";
/// Of a backward in two halves the second, for the gradients of weights; the first is @bwd.
inline constexpr llvm::StringLiteral kBackwardWeight = "bwd_weight";
inline constexpr llvm::StringLiteral kPrologue = "prologue";
inline constexpr llvm::StringLiteral kUpdate = "update";
inline constexpr llvm::StringLiteral kUnshard = "unshard";
/// Computes what is kept of parameters beside them, after these have been written from outside.
inline constexpr llvm::StringLiteral kDerive = "derive";
/// Of pipelines: what a rank adds to the gradient norm, and what all ranks know of the step.
inline constexpr llvm::StringLiteral kGradientSquares = "gradient_squares";
inline constexpr llvm::StringLiteral kTotals = "totals";
inline constexpr llvm::StringLiteral kEval = "eval";
inline constexpr llvm::StringLiteral kEvalPrologue = "eval_prologue";
inline constexpr llvm::StringLiteral kEvalTotals = "eval_totals";

inline constexpr llvm::StringLiteral kLossSum = "loss_sum";
inline constexpr llvm::StringLiteral kValidTokens = "valid_tokens";
/// What a step adds up on each rank, to be summed over the ranks at its end.
inline constexpr llvm::StringLiteral kAccumulatedPrefix = "accumulated.";
inline constexpr llvm::StringLiteral kSquaresSum = "gradient_squares_sum";
inline constexpr llvm::StringLiteral kEvalLossSum = "eval_loss_sum";
inline constexpr llvm::StringLiteral kEvalValidTokens = "eval_valid_tokens";
inline constexpr llvm::StringLiteral kGradientNorm = "grad_norm";
inline constexpr llvm::StringLiteral kFinite = "finite";
inline constexpr llvm::StringLiteral kLearningRate = "lr";
inline constexpr llvm::StringLiteral kBiasCorrection1 = "bias_correction1";
inline constexpr llvm::StringLiteral kBiasCorrection2 = "bias_correction2";
inline constexpr llvm::StringLiteral kOneMinusBeta1 = "one_minus_beta1";
inline constexpr llvm::StringLiteral kOneMinusBeta2 = "one_minus_beta2";
inline constexpr llvm::StringLiteral kEpsilon = "epsilon";
inline constexpr llvm::StringLiteral kWeightDecay = "weight_decay";
inline constexpr llvm::StringLiteral kMaxNorm = "max_norm";
/// What the host writes before a step.
inline constexpr llvm::StringLiteral kHostScalars[] = {
    kLearningRate,  kBiasCorrection1, kBiasCorrection2, kOneMinusBeta1,
    kOneMinusBeta2, kEpsilon,         kWeightDecay,     kMaxNorm};

inline constexpr llvm::StringLiteral kGradientPrefix = "gradient.";
/// Of a pipeline whose gradients are reduced once a step: the sums.
inline constexpr llvm::StringLiteral kReducedPrefix = "reduced.";
inline constexpr llvm::StringLiteral kGatheredPrefix = "gathered.";
inline constexpr llvm::StringLiteral kExpAvgPrefix = "optimizer.exp_avg.";
inline constexpr llvm::StringLiteral kExpAvgSqPrefix = "optimizer.exp_avg_sq.";

/// The argument attribute that names a function's input.
inline constexpr llvm::StringLiteral kInputName = "titan.name";
} // namespace names

/// The function of that name, or an error at the module.
mlir::func::FuncOp lookupFunction(mlir::ModuleOp module, llvm::StringRef name);

/// The functions of a pipeline by stage or by rank, @NAME.0, @NAME.1 and so on, or @NAME alone;
/// empty if there is none.
llvm::SmallVector<mlir::func::FuncOp> getFamily(mlir::ModuleOp module, llvm::StringRef name);
/// The name of a member of such a family; that of the family itself without an index.
std::string getMemberName(llvm::StringRef family, std::optional<int64_t> index);
/// How many ranks a module's pipeline has: 1 more than the highest that a function is for, or none.
std::optional<int64_t> getNumPipelineRanks(mlir::ModuleOp module);

/// The variables that functions of one pipeline rank alone use, by name.
llvm::StringMap<int64_t> getVariableRanks(mlir::ModuleOp module);

/// Appends a private function without arguments and results, for all ranks or, as @NAME.RANK, for
/// those of one coordinate in the pipeline axis; the builder is left before its return.
mlir::func::FuncOp createFunction(mlir::OpBuilder &builder, mlir::ModuleOp module,
                                  mlir::Location loc, llvm::StringRef name,
                                  std::optional<int64_t> pipelineRank = std::nullopt);

/// Adds a variable after the last one of the module; its last `padding` rows are padding.
VariableOp createVariable(mlir::ModuleOp module, mlir::Location loc, const llvm::Twine &name,
                          Role role, mlir::RankedTensorType type, int64_t padding = 0);

/// The variables of one role, in the module's order.
llvm::SmallVector<VariableOp> getVariables(mlir::ModuleOp module, Role role);

/// Stores load(variable) + value.
void addToVariable(mlir::OpBuilder &builder, mlir::Location loc, llvm::StringRef variable,
                   mlir::Value value);

/// Where a result lives by its op's BufferingOpInterface; memory of its own if the op has none.
ResultPlacement getPlacement(mlir::OpResult result);

/// "layers.3" of "layers.3.attention.wq" or "gradient.layers.3.attention.wq.weight"; empty for
/// names outside of layers.
llvm::StringRef getLayerOfName(llvm::StringRef name);

/// The layer of the first name in a location that lies in one: what the model's author called the
/// part of the model that an op was built for. Empty if there are names, but of no layer; none if
/// there is no name.
std::optional<llvm::StringRef> getLayerOfLocation(mlir::Location location);

/// The attributes of an argument or result of which all that is known is its type: of a local type
/// each rank has a value of its own.
mlir::DictionaryAttr getLocalAttributes(mlir::ModuleOp module, mlir::Type type);

/// Erases the pure ops of a block whose results have no uses, last to first.
void eraseDeadOps(mlir::Block &block);

} // namespace titan
