// The compiler as a function: a graph goes through the phases and becomes a program file.
#pragma once

#include "compiler/CompileOptions.h"
#include "runtime/base/Logger.h"

#include "mlir/IR/BuiltinOps.h"

namespace titan {

/// Lowers `module`, a graph, in place and writes what the options ask for: the program file, or the
/// MLIR of a phase and the report to `out`. One progress line per phase goes to the logger. Errors
/// name the phase and the source name of the op.
Status compile(mlir::ModuleOp module, const CompileOptions &options, const JobConfig &job,
               Logger &logger, llvm::raw_ostream &out);

} // namespace titan
