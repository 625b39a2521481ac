// What titan-compile is asked to do, from its command line.
#pragma once

#include "runtime/base/JobConfig.h"
#include "runtime/base/Status.h"

#include "llvm/ADT/StringRef.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace titan {

/// Where the program goes without -o.
inline constexpr llvm::StringLiteral kDefaultOutput = "model.tbin";

struct CompileOptions {
  std::string job;            ///< path of the job file
  std::string output;         ///< -o; empty means model.tbin, or standard output for MLIR
  std::string target = "cpu"; ///< --target: what the kernels are for
  int64_t deviceMemory = 0;   ///< --device-memory: bytes of a rank's device; 0: unknown
  int64_t worldSize = 0; ///< --world-size: ranks of the whole mesh; 0: what the job's degrees say
  std::string compileTo; ///< --compile-to: print the MLIR of this phase; empty means all
  bool printLocations = false;           ///< --mlir-print-debuginfo: source names in the MLIR
  bool report = false;                   ///< --report: what the job needs, on standard output
  std::optional<std::string> htmlReport; ///< --report=html: where the page goes
  bool timePasses = false;               ///< --time-passes: the time of each pass on standard error
  bool help = false;                     ///< --help
  std::vector<std::string> overrides;    ///< of the job, "section.key=value"
};

/// The text of --help.
std::string compileUsage();

/// Parses the arguments behind the program's name. Errors name the argument and what is legal.
StatusOr<CompileOptions> parseCompileOptions(std::span<const std::string> arguments);

} // namespace titan
