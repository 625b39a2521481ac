// A program as text, for people.
#pragma once

#include "runtime/format/Program.h"

#include <string>

namespace titan::format {

/// The whole program in the order of the exec dialect's ops, one line per op. Of a program that
/// verifyProgram accepts.
std::string dumpProgram(const Program &program);

} // namespace titan::format
