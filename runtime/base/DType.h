// Element types as they are stored: the one list that the compiler, the program format, the
// checkpoints and the devices share.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace titan {

/// The values are part of the program format: append, never renumber.
enum class DType : uint8_t {
  f32 = 0,
  bf16 = 1,
  f16 = 2,
  f64 = 3,
  i32 = 4,
  i64 = 5,
  i8 = 6,
  u8 = 7,
  boolean = 8, ///< one byte, 0 or 1
  f8E4M3FN = 9,
  f8E5M2 = 10,
  f8E8M0FNU = 11,
};
inline constexpr int kNumDTypes = 12;

/// Bytes of one element.
int64_t byteSize(DType type);

/// "f32", "bf16", ...: MLIR's spelling.
std::string_view toString(DType type);
std::optional<DType> parseDType(std::string_view name);

/// bfloat16 from float32: round to nearest, ties to even; a NaN stays a quiet NaN.
uint16_t toBFloat16(float value);
float fromBFloat16(uint16_t bits);

} // namespace titan
