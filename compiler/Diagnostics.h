// MLIR's diagnostics as the messages of a Status.
#pragma once

#include "runtime/base/Status.h"

#include "mlir/IR/Diagnostics.h"

#include <string>
#include <vector>

namespace titan {

/// The source name that a location carries ("layers.0.attention.wq"), or its file, line and column;
/// "unknown" without either.
std::string locationName(mlir::Location location);

/// While it lives, diagnostics of its context go here, in place of MLIR's standard error output.
class DiagnosticCollector {
public:
  explicit DiagnosticCollector(mlir::MLIRContext *context);

  /// The errors as one failure, each "NAME: MESSAGE"; a general one when none was emitted.
  Status failure() const;

  /// Warnings and remarks, "NAME: MESSAGE", since the last call.
  std::vector<std::string> takeWarnings() { return std::exchange(warnings, {}); }

private:
  llvm::LogicalResult handle(mlir::Diagnostic &diagnostic);

  std::vector<std::string> errors, warnings;
  mlir::ScopedDiagnosticHandler handler;
};

} // namespace titan
