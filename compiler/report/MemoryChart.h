// The memory of a step as a drawing.
#pragma once

#include "compiler/report/StepMemory.h"

#include <string>

namespace titan {

/// An SVG: kinds stacked over the instructions of the step, with lines where functions begin, and a
/// legend under it. A step of more instructions than the drawing has columns shows in each column
/// the instruction with the most bytes in use.
std::string drawStepMemory(const StepMemory &memory);

} // namespace titan
