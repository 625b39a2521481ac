#include "passes/memory/RematFrontier.h"

#include <algorithm>
#include <tuple>

namespace titan {
namespace {

/// A sum of products of bytes and work.
__extension__ typedef __int128 Wide;

using Hull = std::vector<RematPlan>;

/// Collects plans that lie below the line through two others.
void fillHull(const RematGraph &graph, const RematPlan &left, const RematPlan &right, Hull &found) {
  const int64_t bytePrice = right.work - left.work, workPrice = left.bytes - right.bytes;
  if (bytePrice <= 0 || workPrice <= 0)
    return;
  RematPlan middle = planAtPrices(graph, bytePrice, workPrice);
  auto cost = [&](const RematPlan &plan) {
    return static_cast<Wide>(plan.bytes) * bytePrice + static_cast<Wide>(plan.work) * workPrice;
  };
  if (cost(middle) >= cost(left))
    return;
  found.push_back(middle);
  fillHull(graph, left, middle, found);
  fillHull(graph, middle, right, found);
}

/// From the least work on, those plans that are best at some price.
Hull findHull(const RematGraph &graph) {
  Hull found{planLeastWork(graph), planLeastBytes(graph)};
  fillHull(graph, RematPlan(found[0]), RematPlan(found[1]), found);
  std::sort(found.begin(), found.end(), [](const RematPlan &a, const RematPlan &b) {
    return std::tie(a.work, a.bytes) < std::tie(b.work, b.bytes);
  });
  Hull hull;
  for (RematPlan &plan : found) {
    if (!hull.empty() && plan.bytes >= hull.back().bytes)
      continue;
    auto isAboveLine = [&](const RematPlan &left, const RematPlan &middle) {
      return static_cast<Wide>(left.bytes - middle.bytes) * (plan.work - middle.work) <=
             static_cast<Wide>(middle.bytes - plan.bytes) * (middle.work - left.work);
    };
    while (hull.size() > 1 && isAboveLine(hull[hull.size() - 2], hull.back()))
      hull.pop_back();
    hull.push_back(std::move(plan));
  }
  return hull;
}

/// A set of steps of a knapsack.
struct Selection {
  int64_t saved = 0, work = 0;
  std::vector<unsigned> items;
};

/// The cheapest set of items that saves enough, of several the one that saves most (Nemhauser and
/// Ullmann, "Discrete dynamic programming and capital allocation", 1969).
template <typename Item>
std::vector<unsigned> cover(const std::vector<Item> &items, int64_t needed) {
  std::vector<Selection> best(1); // neither saving less nor working more than any other
  for (unsigned item = 0; item < items.size(); ++item) {
    const size_t count = best.size();
    for (size_t i = 0; i < count; ++i) {
      Selection more = best[i];
      if (more.saved >= needed)
        continue;
      more.saved += items[item].savedBytes;
      more.work += items[item].addedWork;
      more.items.push_back(item);
      best.push_back(std::move(more));
    }
    std::sort(best.begin(), best.end(), [](const Selection &a, const Selection &b) {
      return std::tuple(a.work, b.saved, a.items) < std::tuple(b.work, a.saved, b.items);
    });
    int64_t saved = -1;
    std::erase_if(best, [&](const Selection &one) {
      const bool isWorse = one.saved <= saved;
      saved = std::max(saved, one.saved);
      return isWorse;
    });
  }
  for (const Selection &one : best)
    if (one.saved >= needed)
      return one.items;
  return {};
}

} // namespace

RematFrontier::RematFrontier(RematGraph graph) : parts(std::move(graph)) {
  for (const RematGraph &part : parts.getGraphs())
    hulls.push_back(findHull(part));
  sortSteps();
  RematPlan least = assemble(std::vector<size_t>(parts.size()));
  points.push_back({least.bytes, least.work});
  for (const Step &step : steps)
    points.push_back({points.back().bytes - step.savedBytes, points.back().work + step.addedWork});
}

void RematFrontier::sortSteps() {
  for (unsigned part = 0; part < parts.size(); ++part) {
    const std::vector<RematPlan> &hull = hulls[parts.getGraphOf(part)];
    for (size_t plan = 1; plan < hull.size(); ++plan)
      steps.push_back({part, plan, hull[plan - 1].bytes - hull[plan].bytes,
                       hull[plan].work - hull[plan - 1].work});
  }
  std::sort(steps.begin(), steps.end(), [](const Step &a, const Step &b) {
    return std::tuple(static_cast<Wide>(b.savedBytes) * a.addedWork, a.part) <
           std::tuple(static_cast<Wide>(a.savedBytes) * b.addedWork, b.part);
  });
}

std::vector<size_t> RematFrontier::choicesAt(size_t point) const {
  std::vector<size_t> choices(parts.size());
  for (size_t i = 0; i < point; ++i)
    choices[steps[i].part] = steps[i].plan;
  return choices;
}

RematPlan RematFrontier::assemble(const std::vector<size_t> &choices) const {
  return parts.assemble([&](size_t part) -> const RematPlan & {
    return hulls[parts.getGraphOf(part)][choices[part]];
  });
}

RematPlan RematFrontier::getPlan(size_t point) const { return assemble(choicesAt(point)); }

/// The step that each part may take next, those that save most per work first.
std::vector<RematFrontier::Step>
RematFrontier::nextSteps(const std::vector<size_t> &choices) const {
  std::vector<Step> next;
  for (const Step &step : steps)
    if (step.plan == choices[step.part] + 1)
      next.push_back(step);
  return next;
}

std::optional<RematPlan> RematFrontier::planWithin(int64_t bytes) const {
  auto fits = [&](const Point &point) { return point.bytes <= bytes; };
  const auto found = std::find_if(points.begin(), points.end(), fits);
  if (found == points.end())
    return std::nullopt;
  if (found == points.begin())
    return getPlan(0);
  constexpr size_t kMostItems = 16;
  std::vector<size_t> choices = choicesAt(static_cast<size_t>(found - points.begin()) - 1);
  std::vector<Step> items = nextSteps(choices);
  items.resize(std::min(items.size(), kMostItems));
  for (unsigned item : cover(items, std::prev(found)->bytes - bytes))
    choices[items[item].part] = items[item].plan;
  return assemble(choices);
}

} // namespace titan
