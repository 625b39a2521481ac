// How many bytes of residuals a rank may keep so that all its memory fits a limit.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace titan {

/// What else a rank needs is known only when the program is planned with a choice: where more runs
/// again, the backward needs more scratch. So the caller compiles with `next()` bytes, reports what
/// the rank then takes, and asks again. With the premise that scratch does not shrink when less is
/// kept, all plans are excluded that keep more than what is over the limit allows; so the first
/// plan that fits is the one that keeps most. If none does, the search goes on for the plan that
/// takes least, between plans that were tried.
class LimitSearch {
public:
  /// `keepWithin` says what the plan with at most so many bytes keeps, from `least` to `most`.
  LimitSearch(int64_t limit, int64_t least, int64_t most,
              std::function<int64_t(int64_t)> keepWithin);

  /// The bytes of the next trial; none when the search has ended.
  std::optional<int64_t> next() const { return trial; }
  /// What a rank takes with `next()`.
  void report(int64_t total);

  bool fits() const { return isFit; }
  /// Of the plan that fits, or of the one that takes least.
  int64_t getAllowed() const { return bestAllowed; }
  int64_t getTotal() const { return bestTotal; }

private:
  /// A plan that was tried: all trials from `kept` to `allowed` bytes give it.
  struct Trial {
    int64_t allowed, kept, total;
    int64_t others() const { return total - kept; }
  };
  void seekLeast();

  int64_t limit, least;
  std::function<int64_t(int64_t)> keepWithin;
  std::optional<int64_t> trial;
  bool isFit = false, isSeekingLeast = false;
  int64_t bestAllowed = 0, bestTotal = 0;
  std::vector<Trial> trials; ///< by bytes, most first
};

} // namespace titan
