// The semantic verifier: what must hold before a program is used.
#pragma once

#include "runtime/base/Status.h"
#include "runtime/format/Program.h"

#include <optional>

namespace titan::format {

/// Checks every offset, index, shape, element type and slot of `program`: places lie in their
/// segment or slot, variables and residual classes overlap nothing, operands fit their instruction,
/// launches their kernel, and timelines are in order. The first violation is an error that names
/// the place, the value found and the rule. Nothing is assumed about the values: no combination
/// crashes, or overflows.
Status verifyProgram(const Program &program);

/// The parts, for functions and timelines of a program whose memory and kernels are verified.
Status verifyFunction(const Program &program, const Function &function);
Status verifyTimeline(const Program &program, const Timeline &timeline);

/// Checks that a segment's or timeline's pipeline rank is -1 or one of the mesh.
Status verifyPipelineRank(const Program &program, int64_t rank);

/// Checks that `view` at `place` lies in its segment or slot.
Status verifyPlace(const Program &program, const Place &place, const View &view);

/// Checks that a variable's sharding names axes of the mesh, each once, and leaves its view to a
/// rank: every dimension divides, and a flat slice has the elements that it must have.
Status verifySharding(const Program &program, const Variable &variable);

/// Elements from a view's first to its last, or nothing if extents or strides are below 1, the rank
/// is above kMaxRank, or the bytes exceed 2^62.
std::optional<int64_t> checkedSpan(const View &view);

} // namespace titan::format
