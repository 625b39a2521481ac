// The dialects, passes and pipelines of Titan's tools.
#pragma once

#include "mlir/IR/DialectRegistry.h"

namespace titan {

void registerDialects(mlir::DialectRegistry &registry);

/// Registers Titan's passes, the phases (Phases.h), canonicalize, cse and symbol-dce.
void registerPasses();

} // namespace titan
