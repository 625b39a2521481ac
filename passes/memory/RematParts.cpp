#include "passes/memory/RematParts.h"

#include <algorithm>
#include <map>
#include <numeric>

namespace titan {
namespace {

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
    text.insert(text.end(),
                {op.work, op.workInWeights, op.mayRerun, static_cast<int64_t>(op.operands.size())});
    text.insert(text.end(), op.operands.begin(), op.operands.end());
  }
  for (const RematValue &value : graph.values)
    text.insert(text.end(), {value.bytes, value.bytesToWeights, value.bytesHanded, value.producer,
                             value.isNeeded, value.isNeededByWeights, value.mayKeep});
  return text;
}

} // namespace

RematParts::RematParts(RematGraph graph) : whole(std::move(graph)) {
  split();
  buildGraphs();
}

/// Ops and values belong together where one's choice depends on the other's.
void RematParts::split() {
  const size_t numOps = whole.ops.size();
  const auto needs = whole.isSplit() ? &RematValue::isNeededByWeights : &RematValue::isNeeded;
  // Whether it depends on other choices what the value costs. If its op never runs again, what is
  // needed as long as a value can be costs the same whatever is chosen.
  auto isChoice = [&](const RematValue &value) {
    const bool isNeededAnyway = value.*needs;
    if (value.producer < 0)
      return value.bytesHanded > 0 && !isNeededAnyway;
    return whole.ops[value.producer].mayRerun || !isNeededAnyway;
  };
  DisjointSets sets(numOps + whole.values.size());
  std::vector<bool> isPart(whole.values.size());
  for (size_t value = 0; value < whole.values.size(); ++value) {
    const RematValue &info = whole.values[value];
    isPart[value] = isChoice(info);
    if (info.producer >= 0 && whole.ops[info.producer].mayRerun)
      sets.merge(numOps + value, info.producer);
  }
  for (size_t op = 0; op < numOps; ++op)
    if (whole.ops[op].mayRerun)
      for (unsigned operand : whole.ops[op].operands)
        if (isPart[operand])
          sets.merge(op, numOps + operand);
  std::map<size_t, size_t> numbers;
  auto partOf = [&](size_t member) -> Part & {
    auto [entry, isNew] = numbers.try_emplace(sets.find(member), parts.size());
    if (isNew)
      parts.emplace_back();
    return parts[entry->second];
  };
  for (unsigned op = 0; op < numOps; ++op)
    if (whole.ops[op].mayRerun)
      partOf(op).ops.push_back(op);
  for (unsigned value = 0; value < whole.values.size(); ++value)
    if (isPart[value])
      partOf(numOps + value).values.push_back(value);
}

void RematParts::buildGraphs() {
  std::map<std::vector<int64_t>, size_t> known;
  std::vector<int> opNumbers(whole.ops.size(), -1), valueNumbers(whole.values.size(), -1);
  for (Part &part : parts) {
    RematGraph local;
    for (unsigned value : part.values) {
      valueNumbers[value] = static_cast<int>(local.values.size());
      local.values.push_back(whole.values[value]);
    }
    for (unsigned op : part.ops) {
      opNumbers[op] = static_cast<int>(local.ops.size());
      RematOp &copy = local.ops.emplace_back(whole.ops[op]);
      std::erase_if(copy.operands, [&](unsigned operand) { return valueNumbers[operand] < 0; });
      for (unsigned &operand : copy.operands)
        operand = static_cast<unsigned>(valueNumbers[operand]);
    }
    for (RematValue &value : local.values) {
      if (value.producer < 0)
        continue;
      if (whole.ops[value.producer].mayRerun) {
        value.producer = opNumbers[value.producer];
      } else {
        value.producer = static_cast<int>(local.ops.size());
        local.ops.push_back({0, 0, /*mayRerun=*/false, {}});
      }
    }
    for (unsigned value : part.values)
      valueNumbers[value] = -1;
    auto [entry, isNew] = known.try_emplace(serialize(local), graphs.size());
    part.graph = entry->second;
    if (isNew)
      graphs.push_back(std::move(local));
  }
}

RematPlan RematParts::assemble(const std::function<const RematPlan &(size_t part)> &getPlan) const {
  std::vector<bool> rerun(whole.ops.size()), rerunInWeights(whole.ops.size());
  for (size_t part = 0; part < parts.size(); ++part) {
    const RematPlan &plan = getPlan(part);
    for (size_t i = 0; i < parts[part].ops.size(); ++i) {
      rerun[parts[part].ops[i]] = plan.rerun[i];
      rerunInWeights[parts[part].ops[i]] = plan.rerunInWeights[i];
    }
  }
  return completePlan(whole, std::move(rerun), std::move(rerunInWeights));
}

} // namespace titan
