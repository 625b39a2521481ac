#include "passes/memory/RematPlan.h"

#include "passes/memory/MinimumCut.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>

namespace titan {
namespace {

using Wide = MinimumCut::Capacity;

bool mayRerun(const RematGraph &graph, unsigned value) {
  return graph.ops[graph.values[value].producer].mayRerun;
}

int64_t sumBytes(const RematGraph &graph) {
  int64_t sum = 0;
  for (const RematValue &value : graph.values)
    sum += value.producer >= 0 ? value.bytes : 0;
  return sum;
}

int64_t sumWork(const RematGraph &graph) {
  int64_t sum = 0;
  for (const RematOp &op : graph.ops)
    sum += op.work;
  return sum;
}

/// Inserts, between two neighbours on the hull, all plans that lie below the line through them.
void fillHull(const RematGraph &graph, const RematPlan &left, const RematPlan &right,
              std::vector<RematPlan> &hull) {
  const int64_t bytePrice = right.work - left.work, workPrice = left.bytes - right.bytes;
  RematPlan middle = planAtPrices(graph, bytePrice, workPrice);
  auto cost = [&](const RematPlan &plan) {
    return static_cast<Wide>(plan.bytes) * bytePrice + static_cast<Wide>(plan.work) * workPrice;
  };
  if (cost(middle) >= cost(left))
    return;
  fillHull(graph, left, middle, hull);
  hull.push_back(middle);
  fillHull(graph, middle, right, hull);
}

std::vector<RematPlan> findHull(const RematGraph &graph) {
  std::vector<RematPlan> hull{planLeastWork(graph)};
  RematPlan last = planLeastBytes(graph);
  if (last.bytes == hull.front().bytes)
    return hull;
  const RematPlan first = hull.front();
  fillHull(graph, first, last, hull);
  hull.push_back(std::move(last));
  return hull;
}

/// Sets of numbers, merged by their representatives.
class DisjointSets {
public:
  explicit DisjointSets(size_t size) : parents(size) {
    std::iota(parents.begin(), parents.end(), 0);
  }
  size_t find(size_t number) {
    while (parents[number] != number)
      number = parents[number] = parents[parents[number]];
    return number;
  }
  void merge(size_t a, size_t b) { parents[find(a)] = find(b); }

private:
  std::vector<size_t> parents;
};

/// Equal for graphs that are equal.
std::vector<int64_t> serialize(const RematGraph &graph) {
  std::vector<int64_t> text;
  for (const RematOp &op : graph.ops) {
    text.insert(text.end(), {op.work, op.mayRerun, static_cast<int64_t>(op.operands.size())});
    text.insert(text.end(), op.operands.begin(), op.operands.end());
  }
  for (const RematValue &value : graph.values)
    text.insert(text.end(), {value.bytes, value.producer, value.isNeeded, value.mayKeep});
  return text;
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

RematPlan completePlan(const RematGraph &graph, std::vector<bool> rerun) {
  RematPlan plan{std::move(rerun), std::vector<bool>(graph.values.size()), 0, 0};
  auto keepIfMissing = [&](unsigned value) {
    const int producer = graph.values[value].producer;
    plan.kept[value] = producer >= 0 && !plan.rerun[producer];
  };
  for (unsigned value = 0; value < graph.values.size(); ++value)
    if (graph.values[value].isNeeded)
      keepIfMissing(value);
  for (size_t op = 0; op < graph.ops.size(); ++op)
    if (plan.rerun[op]) {
      plan.work += graph.ops[op].work;
      for (unsigned operand : graph.ops[op].operands)
        keepIfMissing(operand);
    }
  for (size_t value = 0; value < graph.values.size(); ++value)
    if (plan.kept[value])
      plan.bytes += graph.values[value].bytes;
  return plan;
}

RematPlan planAtPrices(const RematGraph &graph, int64_t bytePrice, int64_t workPrice) {
  MinimumCut cut;
  std::vector<unsigned> valueNodes(graph.values.size()), opNodes(graph.ops.size());
  for (unsigned &node : opNodes)
    node = cut.addNode();
  for (size_t op = 0; op < graph.ops.size(); ++op)
    cut.addEdge(opNodes[op], MinimumCut::kSink,
                graph.ops[op].mayRerun ? static_cast<Wide>(graph.ops[op].work) * workPrice
                                       : MinimumCut::kInfinite);
  for (size_t value = 0; value < graph.values.size(); ++value) {
    const RematValue &info = graph.values[value];
    if (info.producer < 0)
      continue;
    valueNodes[value] = cut.addNode();
    if (info.isNeeded)
      cut.addEdge(MinimumCut::kSource, valueNodes[value], MinimumCut::kInfinite);
    cut.addEdge(valueNodes[value], opNodes[info.producer],
                info.mayKeep ? static_cast<Wide>(info.bytes) * bytePrice : MinimumCut::kInfinite);
  }
  for (size_t op = 0; op < graph.ops.size(); ++op)
    for (unsigned operand : graph.ops[op].operands)
      if (graph.values[operand].producer >= 0)
        cut.addEdge(opNodes[op], valueNodes[operand], MinimumCut::kInfinite);
  const std::vector<bool> side = cut.findSourceSide();
  std::vector<bool> rerun(graph.ops.size());
  for (size_t op = 0; op < graph.ops.size(); ++op)
    rerun[op] = side[opNodes[op]];
  return completePlan(graph, std::move(rerun));
}

RematPlan planLeastWork(const RematGraph &graph) {
  return planAtPrices(graph, 1, sumBytes(graph) + 1);
}

RematPlan planLeastBytes(const RematGraph &graph) {
  return planAtPrices(graph, sumWork(graph) + 1, 1);
}

RematFrontier::RematFrontier(const RematGraph &graph) : graph(graph) {
  splitIntoParts();
  buildHulls();
  sortSteps();
  RematPlan least = assemble(std::vector<size_t>(parts.size()));
  points.push_back({least.bytes, least.work});
  for (const Step &step : steps)
    points.push_back({points.back().bytes - step.savedBytes, points.back().work + step.addedWork});
}

/// Ops and values belong together where one's choice depends on the other's. A value whose op never
/// runs again and that is needed anyway is no choice; nothing depends on it.
void RematFrontier::splitIntoParts() {
  const size_t numOps = graph.ops.size();
  DisjointSets sets(numOps + graph.values.size());
  auto isChoice = [&](unsigned value) {
    const RematValue &info = graph.values[value];
    return info.producer >= 0 && (mayRerun(graph, value) || !info.isNeeded);
  };
  for (unsigned value = 0; value < graph.values.size(); ++value)
    if (isChoice(value) && mayRerun(graph, value))
      sets.merge(numOps + value, graph.values[value].producer);
  for (size_t op = 0; op < numOps; ++op)
    if (graph.ops[op].mayRerun)
      for (unsigned operand : graph.ops[op].operands)
        if (isChoice(operand))
          sets.merge(op, numOps + operand);
  std::map<size_t, size_t> numbers;
  auto partOf = [&](size_t member) -> Part & {
    auto [entry, isNew] = numbers.try_emplace(sets.find(member), parts.size());
    if (isNew)
      parts.emplace_back();
    return parts[entry->second];
  };
  for (unsigned op = 0; op < numOps; ++op)
    if (graph.ops[op].mayRerun)
      partOf(op).ops.push_back(op);
  for (unsigned value = 0; value < graph.values.size(); ++value)
    if (isChoice(value))
      partOf(numOps + value).values.push_back(value);
}

void RematFrontier::buildHulls() {
  std::map<std::vector<int64_t>, size_t> known;
  std::vector<int> opNumbers(graph.ops.size(), -1), valueNumbers(graph.values.size(), -1);
  for (Part &part : parts) {
    RematGraph local;
    for (unsigned value : part.values) {
      valueNumbers[value] = static_cast<int>(local.values.size());
      local.values.push_back(graph.values[value]);
    }
    for (unsigned op : part.ops) {
      opNumbers[op] = static_cast<int>(local.ops.size());
      RematOp &copy = local.ops.emplace_back(graph.ops[op]);
      std::erase_if(copy.operands, [&](unsigned operand) { return valueNumbers[operand] < 0; });
      for (unsigned &operand : copy.operands)
        operand = static_cast<unsigned>(valueNumbers[operand]);
    }
    for (RematValue &value : local.values) {
      if (graph.ops[value.producer].mayRerun) {
        value.producer = opNumbers[value.producer];
      } else {
        value.producer = static_cast<int>(local.ops.size());
        local.ops.push_back({0, /*mayRerun=*/false, {}});
      }
    }
    for (unsigned value : part.values)
      valueNumbers[value] = -1;
    auto [entry, isNew] = known.try_emplace(serialize(local), hulls.size());
    if (isNew)
      hulls.push_back(findHull(local));
    part.hull = entry->second;
  }
}

void RematFrontier::sortSteps() {
  for (unsigned part = 0; part < parts.size(); ++part) {
    const std::vector<RematPlan> &hull = hulls[parts[part].hull];
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
  std::vector<bool> rerun(graph.ops.size());
  for (size_t part = 0; part < parts.size(); ++part) {
    const RematPlan &plan = hulls[parts[part].hull][choices[part]];
    for (size_t i = 0; i < parts[part].ops.size(); ++i)
      rerun[parts[part].ops[i]] = plan.rerun[i];
  }
  return completePlan(graph, std::move(rerun));
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
