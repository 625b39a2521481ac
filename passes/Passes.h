// Constructors, options and registration of every pass; Passes.td describes them.
#pragma once

#include "dialects/titan/TitanDialect.h"
#include "passes/memory/RematMode.h"

#include "mlir/Pass/Pass.h"

#include <memory>
#include <string>

namespace mlir {
class ModuleOp;
namespace func {
class FuncDialect;
}
} // namespace mlir

namespace titan {
class TitanDialect;
namespace exec {
class ExecDialect;
}

#define GEN_PASS_DECL
#include "passes/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "passes/Passes.h.inc"

} // namespace titan
