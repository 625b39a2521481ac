// What the instructions of one thread compute.
#pragma once

#include "test/stubs/Ptx.h"

#include <bit>
#include <stdexcept>
#include <string>

namespace titan::stub {

[[noreturn]] inline void fail(const PtxInstruction &it, const std::string &why) {
  throw std::runtime_error("line " + std::to_string(it.line) + ": " + why);
}

inline bool isSigned(PtxType type) { return type >= PtxType::s8 && type <= PtxType::s64; }
inline bool isFloat(PtxType type) { return type >= PtxType::f16 && type <= PtxType::f64; }

inline uint64_t truncate(uint64_t value, PtxType type) {
  const int bits = 8 * bytesOf(type);
  return bits == 64 ? value : value & ((uint64_t{1} << bits) - 1);
}

inline int64_t signExtend(uint64_t value, PtxType type) {
  const int bits = 8 * bytesOf(type);
  return bits == 64 ? static_cast<int64_t>(value)
                    : static_cast<int64_t>(value << (64 - bits)) >> (64 - bits);
}

inline float asFloat(uint64_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits)); }
inline uint64_t bitsOf(float value) { return std::bit_cast<uint32_t>(value); }

inline float fromHalf(uint16_t bits) { return static_cast<float>(std::bit_cast<_Float16>(bits)); }

/// The result of an instruction that has one and accesses no memory; it may have bits beyond its
/// type. Fails for those that it does not know.
uint64_t arithmetic(const PtxInstruction &it, const uint64_t *in);

} // namespace titan::stub
