// What the ranks keep for the backward so that their memory suffices.
#pragma once

#include "compiler/CompileOptions.h"
#include "compiler/Diagnostics.h"
#include "compiler/Phases.h"
#include "runtime/base/Logger.h"

namespace titan {

/// For activation_checkpoint.mode memory_limit and auto: the residual bytes of each pipeline rank,
/// for PhaseTarget, with which all segments of the rank fit the limit, at the least work that
/// allows. `device` is a module of the phase `device`; it stays as it is, copies of it go through
/// the phases up to `exec`. The error says the least limit that suffices.
StatusOr<std::vector<int64_t>> fitMemory(mlir::ModuleOp device, const CompileOptions &options,
                                         const JobConfig &job, DiagnosticCollector &diagnostics,
                                         Logger &logger);

} // namespace titan
