#include "runtime/data/Splitter.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace titan {
namespace {

/// White_Space of Unicode, as members of a class. PCRE2's own \s also has U+180E, which lost the
/// property in Unicode 6.3.
constexpr const char *kWhiteSpace =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";

constexpr size_t kJitStackBytes = size_t{8} << 20;

/// Spells out \s and \S.
StatusOr<std::string> translate(const std::string &pattern) {
  std::string result;
  bool inClass = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c != '\\' || i + 1 == pattern.size()) {
      if (c == '[')
        inClass = true;
      else if (c == ']')
        inClass = false;
      result += c;
      continue;
    }
    const char escaped = pattern[++i];
    if (escaped == 's')
      result += inClass ? kWhiteSpace : std::string("[") + kWhiteSpace + "]";
    else if (escaped == 'S' && !inClass)
      result += std::string("[^") + kWhiteSpace + "]";
    else if (escaped == 'S')
      return invalidArgument("\\S inside [] is not supported");
    else
      result += {c, escaped};
  }
  return result;
}

std::string describe(int code) {
  PCRE2_UCHAR buffer[256] = {};
  pcre2_get_error_message(code, buffer, sizeof(buffer));
  return reinterpret_cast<const char *>(buffer);
}

} // namespace

struct Splitter::Implementation {
  ~Implementation() {
    pcre2_match_context_free(context);
    pcre2_jit_stack_free(stack);
    pcre2_match_data_free(match);
    pcre2_code_free(code);
  }

  pcre2_code *code = nullptr;
  pcre2_match_data *match = nullptr;
  pcre2_jit_stack *stack = nullptr;
  pcre2_match_context *context = nullptr;
};

Splitter::Splitter(std::unique_ptr<Implementation> implementation)
    : implementation(std::move(implementation)) {}
Splitter::Splitter(Splitter &&) noexcept = default;
Splitter &Splitter::operator=(Splitter &&) noexcept = default;
Splitter::~Splitter() = default;

StatusOr<Splitter> Splitter::create(const std::string &pattern) {
  auto translated = translate(pattern);
  if (!translated.ok())
    return translated.status().withContext("pattern '" + pattern + "'");
  auto made = std::make_unique<Implementation>();
  int error = 0;
  PCRE2_SIZE offset = 0;
  made->code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated->data()), translated->size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &offset, nullptr);
  if (!made->code)
    return invalidArgument("pattern '" + pattern + "': " + describe(error));
  // Without just-in-time compilation (a kernel may forbid it) the interpreter matches the same.
  pcre2_jit_compile(made->code, PCRE2_JIT_COMPLETE);
  made->match = pcre2_match_data_create_from_pattern(made->code, nullptr);
  made->context = pcre2_match_context_create(nullptr);
  made->stack = pcre2_jit_stack_create(32 << 10, kJitStackBytes, nullptr);
  if (!made->match || !made->context)
    return internalError("pattern '" + pattern + "': out of memory");
  if (made->stack)
    pcre2_jit_stack_assign(made->context, nullptr, made->stack);
  return Splitter(std::move(made));
}

Status Splitter::split(std::string_view text, std::vector<std::string_view> &pieces) {
  const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const PCRE2_SIZE *range = pcre2_get_ovector_pointer(implementation->match);
  size_t pieceBegin = 0; // of text that no match has covered yet
  size_t position = 0;
  while (position < text.size()) {
    const int count =
        pcre2_match(implementation->code, subject, text.size(), position, PCRE2_NO_UTF_CHECK,
                    implementation->match, implementation->context);
    if (count == PCRE2_ERROR_NOMATCH)
      break;
    if (count < 0)
      return invalidArgument("splitting text: " + describe(count));
    const size_t begin = range[0];
    const size_t end = range[1];
    if (end <= position) { // an empty match, or \K went back: go on at the next character
      do
        ++position;
      while (position < text.size() && (text[position] & 0xC0) == 0x80);
      continue;
    }
    if (begin > pieceBegin)
      pieces.push_back(text.substr(pieceBegin, begin - pieceBegin));
    if (end > begin)
      pieces.push_back(text.substr(begin, end - begin));
    pieceBegin = position = end;
  }
  if (pieceBegin < text.size())
    pieces.push_back(text.substr(pieceBegin));
  return okStatus();
}

} // namespace titan
