// The command titan-schedule.
#pragma once

#include "runtime/base/Status.h"

#include <span>
#include <string>

namespace titan {

/// Runs `titan-schedule ARGUMENTS` and returns what it prints: a pipeline schedule as a table, CSV,
/// SVG or JSON.
StatusOr<std::string> scheduleCommand(std::span<const std::string> arguments);

} // namespace titan
