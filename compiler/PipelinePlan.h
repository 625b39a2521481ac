// From a job's keys to the attributes that titan-split-stages and titan-plan-memory go by.
#pragma once

#include "runtime/base/JobConfig.h"

#include "mlir/IR/BuiltinOps.h"

namespace titan {

/// Plans the pipeline of a job for its graph, if it has one: which modules are which stage, by
/// names, by number or by what they cost, the stages' ranks, and the schedule, of training and of
/// evaluation. Errors name the option, its value, the rule and a legal value.
Status planPipeline(mlir::ModuleOp graph, const JobConfig &job);

} // namespace titan
