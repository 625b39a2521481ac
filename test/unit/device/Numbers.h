// What tests of devices read out of buffers.
#pragma once

#include "runtime/base/DType.h"

#include <cstring>
#include <vector>

namespace titan::test {

/// The number at a place: bf16, f32 or i32.
inline double numberAt(const std::byte *place, DType type) {
  auto read = [&](auto value) {
    std::memcpy(&value, place, sizeof(value));
    return value;
  };
  if (type == DType::bf16)
    return static_cast<double>(fromBFloat16(read(uint16_t{0})));
  if (type == DType::f32)
    return static_cast<double>(read(0.0f));
  return read(int32_t{0});
}

/// All numbers of a dense buffer of bf16 or f32.
inline std::vector<float> numbersOf(const std::vector<std::byte> &bytes, DType type) {
  const auto size = static_cast<size_t>(byteSize(type));
  std::vector<float> numbers(bytes.size() / size);
  for (size_t i = 0; i < numbers.size(); ++i)
    numbers[i] = static_cast<float>(numberAt(bytes.data() + i * size, type));
  return numbers;
}

} // namespace titan::test
