// titan-check: compares programs by executing them in the reference interpreter.
#pragma once

#include "compiler/reference/Interpreter.h"
#include "compiler/reference/RandomProgram.h"
#include "runtime/base/Status.h"

#include "llvm/Support/raw_ostream.h"

#include <optional>
#include <string>
#include <vector>

namespace titan {

struct CheckOptions {
  std::vector<std::string> files; ///< one or two
  std::string function;           ///< in the first file
  std::string against;            ///< in the last file; empty means `function`
  Precision precision = Precision::ideal;
  uint64_t seed = 0;
  double tolerance = 1e-12;
  int64_t intLimit = kRandomVocabulary; ///< random integers are below it
  bool step = false;                    ///< run whole training steps
  bool gradients = false;               ///< compare with finite differences of @loss
  std::string golden;                   ///< prefix of a model's reference numbers
  std::optional<int64_t> steps;         ///< with `step`, 1 by default, or `golden`, 20
  std::optional<uint64_t> random;       ///< print the random program of this seed
  bool help = false;
};

/// The text of `titan-check --help`.
llvm::StringRef getCheckUsage();

/// Options from a command line without the program's name.
StatusOr<CheckOptions> parseCheckOptions(llvm::ArrayRef<const char *> arguments);

/// Loads the files, runs the comparison and writes what it found to `report`. The Status says why a
/// comparison could not be made or that programs deviate by more than the tolerance; diagnostics of
/// the programs go to the context's handlers.
Status runCheck(const CheckOptions &options, mlir::MLIRContext &context, llvm::raw_ostream &report);

} // namespace titan
