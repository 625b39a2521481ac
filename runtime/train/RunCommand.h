// The command titan-run.
#pragma once

#include "runtime/base/Logger.h"
#include "runtime/base/Status.h"

#include <atomic>
#include <span>
#include <string>

namespace titan {

/// Exit codes of titan-run.
inline constexpr int kExitDone = 0;
inline constexpr int kExitUserError = 1;
inline constexpr int kExitTryAgain = 75;
/// Try again: something did not answer in time, or a rank is gone.
int exitCodeOf(const Status &status);

/// Runs `titan-run ARGUMENTS`: trains the program or job that they name; with --eval evaluates it,
/// with --dump-program prints it (to standard output, through `print`). Ends after the step under
/// way once `stopRequested` is set.
Status runCommand(std::span<const std::string> arguments, const std::atomic<bool> &stopRequested,
                  Logger &logger, std::string &print);

} // namespace titan
