// UTF-8, strictly: no overlong forms, no surrogates, nothing above U+10FFFF.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace titan {

/// Takes the code point at the front of `text` off it; nothing (and `text` unchanged) when the
/// bytes there are not valid or `text` is empty.
std::optional<char32_t> takeCodePoint(std::string_view &text);

void appendCodePoint(std::string &text, char32_t codePoint);

bool isValidUtf8(std::string_view text);

} // namespace titan
