// The schedules of a module with a pipeline, as attributes.
#pragma once

#include "passes/pipeline/Schedule.h"

#include "mlir/IR/BuiltinOps.h"

namespace titan {

/// The attributes of training and of evaluation: the actions of each pipeline rank as in a line of
/// torch.distributed.pipelining's CSV files.
inline constexpr llvm::StringLiteral kSchedule = "titan.schedule";
inline constexpr llvm::StringLiteral kEvalSchedule = "titan.eval_schedule";

void writeSchedule(mlir::ModuleOp module, llvm::StringRef attribute,
                   const PipelineSchedule &schedule);

/// An error at the module if the attribute is missing, has not a line for each pipeline rank that
/// functions are for, or is no schedule. One of an evaluation has forwards alone.
mlir::FailureOr<PipelineSchedule> readSchedule(mlir::ModuleOp module, llvm::StringRef attribute,
                                               bool isEvaluation);

} // namespace titan
