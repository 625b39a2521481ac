#include "passes/memory/RematPlan.h"

#include "passes/memory/MinimumCut.h"
#include "passes/memory/RematParts.h"

#include <algorithm>
#include <optional>

namespace titan {
namespace {

using Wide = MinimumCut::Capacity;

/// The values that a half reads, or what runs again in it.
std::vector<bool> findRead(const RematGraph &graph, const std::vector<bool> &rerun,
                           bool RematValue::*isNeeded) {
  std::vector<bool> isRead;
  for (const RematValue &value : graph.values)
    isRead.push_back(value.*isNeeded);
  for (size_t op = 0; op < graph.ops.size(); ++op)
    if (rerun[op])
      for (unsigned operand : graph.ops[op].operands)
        isRead[operand] = true;
  return isRead;
}

/// A choice of one half of the backward, as a network (see planAtPrices).
struct HalfProblem {
  std::vector<bool> isNeeded;  ///< by value
  std::vector<Wide> valueCost; ///< of having a value unless its op runs again
  std::vector<Wide> opCost;    ///< of running it again; negative: it has to
};

/// An op that is held to run again in a half or not to.
struct Hold {
  bool inWeights = false;
  size_t op = 0;
  bool doesRun = false;
};

/// The plan of one graph at some prices.
class PlanSearch {
public:
  PlanSearch(const RematGraph &graph, int64_t bytePrice, int64_t workPrice)
      : graph(graph), bytePrice(bytePrice), workPrice(workPrice) {}

  RematPlan run() const;

private:
  Wide getCost(const RematPlan &plan) const {
    return static_cast<Wide>(plan.bytes) * bytePrice + static_cast<Wide>(plan.work) * workPrice;
  }
  /// What it costs to have the value unless its op runs again.
  Wide getValueCost(const RematValue &value, int64_t bytes) const {
    return value.producer < 0 || value.mayKeep ? static_cast<Wide>(bytes) * bytePrice
                                               : MinimumCut::kInfinite;
  }
  void setOpCosts(HalfProblem &half, bool inWeights, const Hold *hold) const;
  std::vector<bool> cut(const HalfProblem &half) const;
  std::vector<bool> chooseInput(const std::vector<bool> &carried, const Hold *hold = nullptr) const;
  std::vector<bool> chooseWeights(const std::vector<bool> &rerun, const Hold *hold = nullptr) const;
  std::vector<bool> chooseForBoth() const;
  RematPlan takeTurns(std::vector<bool> rerun) const;
  std::optional<RematPlan> takeTurns(const RematPlan &from, const Hold &hold) const;
  bool mayHold(size_t op) const;
  bool improve(RematPlan &best) const;

  const RematGraph &graph;
  int64_t bytePrice, workPrice;
};

} // namespace

bool RematGraph::isSplit() const {
  return std::any_of(values.begin(), values.end(),
                     [](const RematValue &value) { return value.isNeededByWeights; });
}

RematPlan completePlan(const RematGraph &graph, std::vector<bool> rerun,
                       std::vector<bool> rerunInWeights) {
  const std::vector<bool> inInput = findRead(graph, rerun, &RematValue::isNeeded),
                          inWeights =
                              findRead(graph, rerunInWeights, &RematValue::isNeededByWeights);
  const size_t numValues = graph.values.size();
  RematPlan plan{std::move(rerun), std::move(rerunInWeights), std::vector<bool>(numValues),
                 std::vector<bool>(numValues)};
  for (size_t i = 0; i < numValues; ++i) {
    const RematValue &value = graph.values[i];
    const bool isMade = value.producer < 0 || plan.rerun[value.producer];
    plan.carried[i] = inWeights[i] && (value.producer < 0 || !plan.rerunInWeights[value.producer]);
    plan.kept[i] = !isMade && (plan.carried[i] || inInput[i]);
    if (plan.carried[i])
      plan.bytes += plan.kept[i] ? value.bytesToWeights : value.bytesHanded;
    else if (plan.kept[i])
      plan.bytes += value.bytes;
  }
  for (size_t op = 0; op < graph.ops.size(); ++op)
    plan.work += (plan.rerun[op] ? graph.ops[op].work : 0) +
                 (plan.rerunInWeights[op] ? graph.ops[op].workInWeights : 0);
  return plan;
}

//===----------------------------------------------------------------------===//
// One half, if the other is known
//===----------------------------------------------------------------------===//

void PlanSearch::setOpCosts(HalfProblem &half, bool inWeights, const Hold *hold) const {
  for (const RematOp &op : graph.ops)
    half.opCost.push_back(op.mayRerun ? static_cast<Wide>(inWeights ? op.workInWeights : op.work) *
                                            workPrice
                                      : MinimumCut::kInfinite);
  if (hold)
    half.opCost[hold->op] = hold->doesRun ? -1 : MinimumCut::kInfinite;
}

/// The ops that run again.
std::vector<bool> PlanSearch::cut(const HalfProblem &half) const {
  MinimumCut network;
  std::vector<unsigned> valueNodes(graph.values.size()), opNodes(graph.ops.size());
  for (size_t op = 0; op < graph.ops.size(); ++op) {
    opNodes[op] = network.addNode();
    if (half.opCost[op] < 0)
      network.addEdge(MinimumCut::kSource, opNodes[op], MinimumCut::kInfinite);
    else
      network.addEdge(opNodes[op], MinimumCut::kSink, half.opCost[op]);
  }
  for (size_t value = 0; value < graph.values.size(); ++value) {
    const int producer = graph.values[value].producer;
    if (producer < 0 && half.valueCost[value] == 0)
      continue;
    valueNodes[value] = network.addNode();
    if (half.isNeeded[value])
      network.addEdge(MinimumCut::kSource, valueNodes[value], MinimumCut::kInfinite);
    network.addEdge(valueNodes[value], producer < 0 ? MinimumCut::kSink : opNodes[producer],
                    half.valueCost[value]);
  }
  for (size_t op = 0; op < graph.ops.size(); ++op)
    for (unsigned operand : graph.ops[op].operands)
      if (valueNodes[operand])
        network.addEdge(opNodes[op], valueNodes[operand], MinimumCut::kInfinite);
  const std::vector<bool> side = network.findSourceSide();
  std::vector<bool> rerun(graph.ops.size());
  for (size_t op = 0; op < graph.ops.size(); ++op)
    rerun[op] = side[opNodes[op]];
  return rerun;
}

/// What I runs again if W gets these values. What such a value costs from I on, it costs whatever I
/// does.
std::vector<bool> PlanSearch::chooseInput(const std::vector<bool> &carried,
                                          const Hold *hold) const {
  HalfProblem half;
  for (size_t i = 0; i < graph.values.size(); ++i) {
    const RematValue &value = graph.values[i];
    const int64_t bytes = value.producer < 0 ? 0
                          : carried[i]       ? value.bytesToWeights - value.bytesHanded
                                             : value.bytes;
    half.isNeeded.push_back(value.isNeeded || carried[i]);
    half.valueCost.push_back(getValueCost(value, bytes));
  }
  setOpCosts(half, /*inWeights=*/false, hold);
  return cut(half);
}

/// What W runs again if I runs these ops again: what I makes or has kept costs less to carry.
std::vector<bool> PlanSearch::chooseWeights(const std::vector<bool> &rerun,
                                            const Hold *hold) const {
  const std::vector<bool> inInput = findRead(graph, rerun, &RematValue::isNeeded);
  HalfProblem half;
  for (size_t i = 0; i < graph.values.size(); ++i) {
    const RematValue &value = graph.values[i];
    const bool isMade = value.producer < 0 || rerun[value.producer];
    const int64_t bytes =
        isMade ? value.bytesHanded : value.bytesToWeights - (inInput[i] ? value.bytes : 0);
    half.isNeeded.push_back(value.isNeededByWeights);
    half.valueCost.push_back(getValueCost(value, bytes));
  }
  setOpCosts(half, /*inWeights=*/true, hold);
  return cut(half);
}

//===----------------------------------------------------------------------===//
// Both halves
//===----------------------------------------------------------------------===//

/// What both halves run again if they do the same: what each alone would rather compute may be
/// cheaper to keep for both.
std::vector<bool> PlanSearch::chooseForBoth() const {
  HalfProblem both;
  for (const RematValue &value : graph.values) {
    both.isNeeded.push_back(value.isNeeded || value.isNeededByWeights);
    both.valueCost.push_back(getValueCost(value, value.producer < 0 ? 0 : value.bytesToWeights));
  }
  for (const RematOp &op : graph.ops)
    both.opCost.push_back(op.mayRerun ? static_cast<Wide>(op.work + op.workInWeights) * workPrice
                                      : MinimumCut::kInfinite);
  return cut(both);
}

/// Chooses W for what I runs again, then I for what W asks for, and so on until nothing is gained.
/// The plan is legal even if what it begins with is not.
RematPlan PlanSearch::takeTurns(std::vector<bool> rerun) const {
  RematPlan best;
  for (bool isFirst = true;; isFirst = false) {
    std::vector<bool> inWeights = chooseWeights(rerun);
    const RematPlan asked = completePlan(graph, rerun, inWeights);
    rerun = chooseInput(asked.carried);
    RematPlan plan = completePlan(graph, rerun, std::move(inWeights));
    if (!isFirst && getCost(plan) >= getCost(best))
      return best;
    best = std::move(plan);
  }
}

/// Takes turns from the best choice of a half in which an op is held. None if the other half's
/// answer is what it was: then the first half's is too.
std::optional<RematPlan> PlanSearch::takeTurns(const RematPlan &from, const Hold &hold) const {
  std::vector<bool> rerun;
  if (hold.inWeights) {
    const RematPlan asked = completePlan(graph, from.rerun, chooseWeights(from.rerun, &hold));
    rerun = chooseInput(asked.carried);
    if (rerun == from.rerun)
      return std::nullopt;
  } else {
    rerun = chooseInput(from.carried, &hold);
    if (chooseWeights(rerun) == from.rerunInWeights)
      return std::nullopt;
  }
  return takeTurns(std::move(rerun));
}

/// Whether there is a choice: an op whose results cannot be kept has to run again where they are
/// needed.
bool PlanSearch::mayHold(size_t op) const {
  return graph.ops[op].mayRerun &&
         std::all_of(graph.values.begin(), graph.values.end(), [&](const RematValue &value) {
           return value.producer != static_cast<int>(op) || value.mayKeep;
         });
}

/// Holds each op in turn to what the best plan does not do; whether that has led to a better one.
bool PlanSearch::improve(RematPlan &best) const {
  bool isBetter = false;
  for (size_t op = 0; op < graph.ops.size(); ++op) {
    if (!mayHold(op))
      continue;
    for (bool inWeights : {false, true}) {
      const bool runs = (inWeights ? best.rerunInWeights : best.rerun)[op];
      std::optional<RematPlan> plan = takeTurns(best, {inWeights, op, !runs});
      if (!plan || getCost(*plan) >= getCost(best))
        continue;
      best = std::move(*plan);
      isBetter = true;
    }
  }
  return isBetter;
}

RematPlan PlanSearch::run() const {
  const std::vector<bool> nothing(graph.values.size()), noOp(graph.ops.size());
  const std::vector<bool> alone = chooseInput(nothing);
  if (!graph.isSplit())
    return completePlan(graph, alone, noOp);
  const RematPlan askedForAll = completePlan(graph, noOp, noOp);
  RematPlan best = takeTurns(alone);
  for (const std::vector<bool> &start : {noOp, std::vector<bool>(graph.ops.size(), true),
                                         chooseInput(askedForAll.carried), chooseForBoth()}) {
    RematPlan plan = takeTurns(start);
    if (getCost(plan) < getCost(best))
      best = std::move(plan);
  }
  while (improve(best))
    continue;
  return best;
}

RematPlan planAtPrices(const RematGraph &graph, int64_t bytePrice, int64_t workPrice) {
  const RematParts parts(graph);
  std::vector<RematPlan> plans;
  for (const RematGraph &part : parts.getGraphs())
    plans.push_back(PlanSearch(part, bytePrice, workPrice).run());
  return parts.assemble(
      [&](size_t part) -> const RematPlan & { return plans[parts.getGraphOf(part)]; });
}

RematPlan planLeastWork(const RematGraph &graph) {
  int64_t bytes = 1;
  for (const RematValue &value : graph.values)
    bytes += value.bytesToWeights + value.bytes + value.bytesHanded;
  return planAtPrices(graph, 1, bytes);
}

RematPlan planLeastBytes(const RematGraph &graph) {
  int64_t work = 1;
  for (const RematOp &op : graph.ops)
    work += op.work + op.workInWeights;
  return planAtPrices(graph, work, 1);
}

} // namespace titan
