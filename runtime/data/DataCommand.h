// The command titan-data: token files from text.
#pragma once

#include "runtime/base/Logger.h"
#include "runtime/base/Status.h"

#include <span>
#include <string>

namespace titan {

/// Runs `titan-data ARGUMENTS` and returns what to print on standard output.
///   build --output FILE [--tokenizer FOLDER] [--separator LINE] [--threads N] INPUT...
///   info FILE
///   verify FILE
StatusOr<std::string> runDataCommand(std::span<const std::string> arguments, Logger &logger);

/// The command's help.
std::string dataCommandHelp();

} // namespace titan
