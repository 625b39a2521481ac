#include "runtime/device/ElementBits.h"

#include <bit>

namespace titan {

StatusOr<uint64_t> encodeElement(double value, DType type) {
  switch (type) {
  case DType::f32:
    return uint64_t{std::bit_cast<uint32_t>(static_cast<float>(value))};
  case DType::f64:
    return std::bit_cast<uint64_t>(value);
  case DType::bf16:
    return uint64_t{toBFloat16(static_cast<float>(value))};
  case DType::i32:
  case DType::i64:
  case DType::i8:
  case DType::u8:
  case DType::boolean:
    if (!(value >= -0x1p62 && value <= 0x1p62))
      return invalidArgument("fill value " + std::to_string(value) + " does not fit an integer");
    return static_cast<uint64_t>(static_cast<int64_t>(value));
  default:
    if (value == 0)
      return uint64_t{0};
    return invalidArgument("fill has no conversion to " + std::string(toString(type)));
  }
}

} // namespace titan
