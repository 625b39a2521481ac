#include "compiler/LimitSearch.h"

#include <algorithm>
#include <cassert>
#include <limits>

namespace titan {

LimitSearch::LimitSearch(int64_t limit, int64_t least, int64_t most,
                         std::function<int64_t(int64_t)> keepWithin)
    : limit(limit), least(least), keepWithin(std::move(keepWithin)), trial(most),
      bestTotal(std::numeric_limits<int64_t>::max()) {}

void LimitSearch::report(int64_t total) {
  assert(trial && "the search has ended");
  const Trial done{*trial, keepWithin(*trial), total};
  const auto place =
      std::lower_bound(trials.begin(), trials.end(), done,
                       [](const Trial &a, const Trial &b) { return a.allowed > b.allowed; });
  trials.insert(place, done);
  trial.reset();
  if (total < bestTotal) {
    bestTotal = total;
    bestAllowed = done.allowed;
  }
  if (isSeekingLeast)
    return seekLeast();
  isFit = total <= limit;
  if (isFit)
    return;
  // Whatever keeps more than this takes more than the limit.
  const int64_t allowed = done.kept - (total - limit);
  if (allowed >= least)
    return void(trial = allowed);
  isSeekingLeast = true;
  if (done.kept > least)
    return void(trial = least);
  seekLeast();
}

/// Between two trials a plan takes at least what the right one keeps, and one byte, and what the
/// left one has besides. Ends where that is no gain of a five-hundredth, or after many trials.
void LimitSearch::seekLeast() {
  constexpr size_t kMostTrials = 32;
  if (trials.size() >= kMostTrials)
    return;
  int64_t lowest = bestTotal - bestTotal / 500;
  for (size_t i = 0; i + 1 < trials.size(); ++i) {
    const Trial &left = trials[i];
    Trial &right = trials[i + 1];
    auto bound = [&] { return right.allowed + 1 + left.others(); };
    while (right.allowed + 1 < left.kept && bound() < lowest) {
      const int64_t middle = right.allowed + (left.kept - right.allowed) / 2;
      if (keepWithin(middle) > right.kept) {
        lowest = bound();
        trial = middle;
        break;
      }
      right.allowed = middle; // the same plan
    }
  }
}

} // namespace titan
