// All plans of titan-rematerialize that are worth choosing.
#pragma once

#include "passes/memory/RematParts.h"

#include <optional>

namespace titan {

/// All that is worth choosing between the least work and the least bytes. In each part of the graph
/// (RematParts.h) the price of work is searched for every plan that is best at some price (the
/// lower convex hull of bytes over work). A plan of the whole is a choice of one per part. From the
/// least work on, parts take their next plan in the order of bytes saved per work, earlier parts
/// first: the sequence of these choices is best at every price.
class RematFrontier {
public:
  explicit RematFrontier(RematGraph graph);

  struct Point {
    int64_t bytes = 0, work = 0;
  };
  /// Bytes fall and work rises from one to the next.
  const std::vector<Point> &getPoints() const { return points; }
  /// If the backward is whole, what ran again at a point runs again at the next one.
  RematPlan getPlan(size_t point) const;

  /// The least work that keeps at most so many bytes; none if there is no such plan. Between two
  /// neighbouring points it is a knapsack over the next plans of the parts, exact for the 16 of
  /// them that save most per work. With less bytes a plan never has more bytes or less work.
  std::optional<RematPlan> planWithin(int64_t bytes) const;

private:
  struct Step {
    unsigned part;
    size_t plan; ///< that the part goes to, from the one before
    int64_t savedBytes, addedWork;
  };

  void sortSteps();
  std::vector<size_t> choicesAt(size_t point) const;
  RematPlan assemble(const std::vector<size_t> &choices) const;
  std::vector<Step> nextSteps(const std::vector<size_t> &choices) const;

  RematParts parts;
  std::vector<std::vector<RematPlan>> hulls; ///< by the parts' graphs, from least work on
  std::vector<Step> steps;
  std::vector<Point> points;
};

} // namespace titan
