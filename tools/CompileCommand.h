// The command titan-compile.
#pragma once

#include "runtime/base/Logger.h"
#include "runtime/base/Status.h"

#include "llvm/Support/raw_ostream.h"

#include <span>
#include <string>

namespace titan {

/// Runs `titan-compile ARGUMENTS`: compiles a training job to a program file. What the options ask
/// to be printed goes to `out`, progress to the logger.
Status compileCommand(std::span<const std::string> arguments, Logger &logger,
                      llvm::raw_ostream &out);

} // namespace titan
