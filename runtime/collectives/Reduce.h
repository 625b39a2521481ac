// What all data planes compute and copy with: reductions in the order of the ranks, and copies of
// memory that is too large for the caches.
#pragma once

#include "runtime/base/DType.h"
#include "runtime/format/Program.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace titan {

/// Whether values of the type can be added and compared: f32, f64, bf16, f16, i32, i64.
bool canReduce(DType type);

/// float32 from IEEE half precision, exactly; and back: to nearest, ties to even, beyond the range
/// to infinity; a NaN stays a NaN.
float fromFloat16(uint16_t bits);
uint16_t toFloat16(float value);

/// out[i] = ((sources[0][i] op sources[1][i]) op sources[2][i]) ... for begin <= i < end: the order
/// of the sources.
/// bf16 and f16 are reduced in float32 and rounded once. Integer sums wrap, and the maximum of a
/// NaN and anything is a NaN. `out` may be one of the sources, and the sources may be equal. There
/// is at least one source; `type` can be reduced and `reduction` is not none.
void reduce(DType type, format::Reduction reduction, std::span<const std::byte *const> sources,
            std::byte *out, int64_t begin, int64_t end);

/// Copies `bytes` between memory that does not overlap; nothing when both are the same address.
/// `streaming` writes past the caches: for more than they hold, it saves reading the destination
/// first.
void copyBytes(std::byte *destination, const std::byte *source, int64_t bytes, bool streaming);

} // namespace titan
