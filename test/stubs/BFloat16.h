// bfloat16 as a GPU rounds it.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace titan::stub {

/// To the nearest, ties to even; every NaN becomes the one with all bits of the fraction.
inline uint16_t toBFloat16(float value) {
  if (std::isnan(value))
    return 0x7fff;
  const auto bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

inline float fromBFloat16(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

} // namespace titan::stub
