// Bytes that are kept over time that is spent again, as a drawing.
#pragma once

#include "compiler/report/RematFacts.h"

#include <string>

namespace titan {

/// An SVG with a line per pipeline rank through all its plans, and a mark at the chosen one. Time
/// is a share of forward and backward.
std::string drawRematRange(const RematFacts &facts);

} // namespace titan
