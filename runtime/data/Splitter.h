// Cuts text into pieces with a regular expression, as tokenizers do before they merge.
#pragma once

#include "runtime/base/Status.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace titan {

/// Every match is a piece, and so is all text between two matches (Hugging Face's "Isolated"). The
/// expression is PCRE2's with Unicode properties; \s means Unicode's White_Space, as in Oniguruma,
/// which Hugging Face uses. Not thread-safe.
class Splitter {
public:
  static StatusOr<Splitter> create(const std::string &pattern);

  Splitter(Splitter &&) noexcept;
  Splitter &operator=(Splitter &&) noexcept;
  ~Splitter();

  /// Appends the pieces of `text`, which must be valid UTF-8; together they are `text`. Fails when
  /// matching exceeds PCRE2's limits.
  Status split(std::string_view text, std::vector<std::string_view> &pieces);

private:
  struct Implementation;
  explicit Splitter(std::unique_ptr<Implementation> implementation);

  std::unique_ptr<Implementation> implementation;
};

} // namespace titan
