#include "runtime/base/EditDistance.h"

#include <algorithm>
#include <limits>
#include <vector>

namespace titan {

int editDistance(std::string_view a, std::string_view b) {
  const size_t width = b.size() + 1;
  std::vector<int> table((a.size() + 1) * width);
  auto at = [&](size_t i, size_t j) -> int & { return table[i * width + j]; };
  for (size_t i = 0; i <= a.size(); ++i)
    at(i, 0) = static_cast<int>(i);
  for (size_t j = 0; j <= b.size(); ++j)
    at(0, j) = static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); ++i)
    for (size_t j = 1; j <= b.size(); ++j) {
      const int substituted = at(i - 1, j - 1) + (a[i - 1] != b[j - 1]);
      at(i, j) = std::min({at(i - 1, j) + 1, at(i, j - 1) + 1, substituted});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        at(i, j) = std::min(at(i, j), at(i - 2, j - 2) + 1);
    }
  return at(a.size(), b.size());
}

std::string nearest(std::string_view word, std::span<const std::string> candidates) {
  // The table is quadratic: no honest misspelling is longer than this.
  word = word.substr(0, 256);
  std::string best;
  int least = std::numeric_limits<int>::max();
  for (const std::string &candidate : candidates)
    if (const int distance = editDistance(word, candidate); distance < least) {
      least = distance;
      best = candidate;
    }
  return best;
}

} // namespace titan
