#include "runtime/base/DType.h"

#include <array>
#include <bit>
#include <cmath>

namespace titan {
namespace {

struct Info {
  std::string_view name;
  int64_t bytes;
};

constexpr std::array<Info, kNumDTypes> kInfo = {{{"f32", 4},
                                                 {"bf16", 2},
                                                 {"f16", 2},
                                                 {"f64", 8},
                                                 {"i32", 4},
                                                 {"i64", 8},
                                                 {"i8", 1},
                                                 {"u8", 1},
                                                 {"i1", 1},
                                                 {"f8E4M3FN", 1},
                                                 {"f8E5M2", 1},
                                                 {"f8E8M0FNU", 1}}};

} // namespace

int64_t byteSize(DType type) { return kInfo[static_cast<size_t>(type)].bytes; }

std::string_view toString(DType type) { return kInfo[static_cast<size_t>(type)].name; }

std::optional<DType> parseDType(std::string_view name) {
  for (size_t i = 0; i < kInfo.size(); ++i)
    if (kInfo[i].name == name)
      return static_cast<DType>(i);
  return std::nullopt;
}

uint16_t toBFloat16(float value) {
  if (std::isnan(value))
    return 0x7fc0;
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

float fromBFloat16(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

} // namespace titan
