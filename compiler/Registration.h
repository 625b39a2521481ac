// The dialects, passes and pipelines of Titan's tools.
#pragma once

#include "mlir/IR/DialectRegistry.h"

namespace titan {

void registerDialects(mlir::DialectRegistry &registry);

/// Registers Titan's passes, canonicalize and cse, and one pipeline per phase,
/// `--titan-phase-NAME`: the passes from the previous phase to that one with the options of a
/// default job.
void registerPasses();

} // namespace titan
