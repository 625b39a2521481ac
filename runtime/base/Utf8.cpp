#include "runtime/base/Utf8.h"

namespace titan {

std::optional<char32_t> takeCodePoint(std::string_view &text) {
  if (text.empty())
    return std::nullopt;
  const auto first = static_cast<unsigned char>(text[0]);
  if (first < 0x80) {
    text.remove_prefix(1);
    return first;
  }
  const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < length)
    return std::nullopt;
  char32_t codePoint = first & (0xFF >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte & 0xC0) != 0x80)
      return std::nullopt;
    codePoint = codePoint << 6 | (byte & 0x3F);
  }
  const bool overlong = (length == 3 && codePoint < 0x800) || (length == 4 && codePoint < 0x10000);
  const bool surrogate = codePoint >= 0xD800 && codePoint < 0xE000;
  if (overlong || surrogate || codePoint > 0x10FFFF)
    return std::nullopt;
  text.remove_prefix(length);
  return codePoint;
}

void appendCodePoint(std::string &text, char32_t codePoint) {
  auto put = [&](char32_t byte) { text += static_cast<char>(byte); };
  if (codePoint < 0x80) {
    put(codePoint);
  } else if (codePoint < 0x800) {
    put(0xC0 | codePoint >> 6);
    put(0x80 | (codePoint & 0x3F));
  } else if (codePoint < 0x10000) {
    put(0xE0 | codePoint >> 12);
    put(0x80 | (codePoint >> 6 & 0x3F));
    put(0x80 | (codePoint & 0x3F));
  } else {
    put(0xF0 | codePoint >> 18);
    put(0x80 | (codePoint >> 12 & 0x3F));
    put(0x80 | (codePoint >> 6 & 0x3F));
    put(0x80 | (codePoint & 0x3F));
  }
}

bool isValidUtf8(std::string_view text) {
  while (!text.empty())
    if (!takeCodePoint(text))
      return false;
  return true;
}

} // namespace titan
