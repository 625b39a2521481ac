#include "compiler/Diagnostics.h"

#include "mlir/IR/Location.h"
#include "llvm/ADT/TypeSwitch.h"

#include <spdlog/fmt/fmt.h>

using namespace mlir;

namespace titan {

std::string locationName(Location location) {
  return llvm::TypeSwitch<LocationAttr, std::string>(location)
      .Case([](NameLoc named) { return named.getName().str(); })
      .Case([](FileLineColLoc place) {
        return fmt::format("{}:{}:{}", place.getFilename().str(), place.getLine(),
                           place.getColumn());
      })
      .Case([](FusedLoc fused) {
        for (Location part : fused.getLocations())
          if (std::string name = locationName(part); name != "unknown")
            return name;
        return std::string("unknown");
      })
      .Case([](CallSiteLoc call) { return locationName(call.getCallee()); })
      .Default([](LocationAttr) { return std::string("unknown"); });
}

DiagnosticCollector::DiagnosticCollector(MLIRContext *context)
    : handler(context, [this](Diagnostic &diagnostic) { return handle(diagnostic); }) {}

LogicalResult DiagnosticCollector::handle(Diagnostic &diagnostic) {
  std::string text = locationName(diagnostic.getLocation()) + ": " + diagnostic.str();
  for (Diagnostic &note : diagnostic.getNotes())
    text += "; " + note.str();
  const bool isError = diagnostic.getSeverity() == DiagnosticSeverity::Error;
  (isError ? errors : warnings).push_back(std::move(text));
  return success();
}

Status DiagnosticCollector::failure() const {
  constexpr size_t kMostErrors = 10;
  if (errors.empty())
    return internalError("failed without a message");
  std::string text = errors.front();
  for (size_t i = 1; i < std::min(errors.size(), kMostErrors); ++i)
    text += "\n" + errors[i];
  if (errors.size() > kMostErrors)
    text += fmt::format("\nand {} more errors", errors.size() - kMostErrors);
  return internalError(text);
}

} // namespace titan
