#include "passes/sharding/ReshardReason.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

using namespace llvm;

namespace titan::sharding {
namespace {

class OperandReason {
public:
  OperandReason(const PropagationGraph &graph, unsigned node, unsigned operand,
                const NodeSplits &splits, const Sharding &from, const Sharding &to)
      : mesh(graph.getMesh()), node(graph.getNodes()[node]), operand(operand), splits(splits),
        from(from), to(to) {}

  std::string run();

private:
  void addPartial();
  void addFlat();
  void addDimension(unsigned dimension);
  void add(const Twine &clause) { clauses.push_back(clause.str()); }

  std::string names(ArrayRef<Axis> axes) const { return mesh.getNames(axes); }
  std::string tensorName(unsigned tensor) const;
  std::optional<std::string> findPlace(Axis axis, bool inResults) const;
  std::string whyNot(unsigned dimension, Axis axis) const;

  const Mesh &mesh;
  const Node &node;
  unsigned operand;
  const NodeSplits &splits;
  const Sharding &from, &to;
  SmallVector<std::string, 2> clauses;
};

} // namespace

std::string OperandReason::tensorName(unsigned tensor) const {
  return splits.isResult(tensor) ? "result " + std::to_string(tensor - node.operands.size())
                                 : "operand " + std::to_string(tensor);
}

/// Which dimension of another tensor of the node the axis splits.
std::optional<std::string> OperandReason::findPlace(Axis axis, bool inResults) const {
  const unsigned begin = inResults ? node.operands.size() : 0;
  const unsigned end = inResults ? splits.getNumTensors() : node.operands.size();
  for (unsigned tensor = begin; tensor < end; ++tensor) {
    if (tensor == operand)
      continue;
    const unsigned rank = splits.getFactors(tensor).size();
    for (unsigned slot = 0; slot <= rank; ++slot)
      if (is_contained(splits.project(tensor, slot), axis))
        return (slot < rank ? "dimension " + std::to_string(slot) + " of " : "the flat form of ") +
               tensorName(tensor);
  }
  return std::nullopt;
}

/// Why the node does not have the axis on this dimension.
std::string OperandReason::whyNot(unsigned dimension, Axis axis) const {
  const std::string name = names(axis);
  for (const auto &[other, axes] : enumerate(to.dimensions))
    if (is_contained(axes, axis))
      return name + " splits dimension " + std::to_string(other);
  if (is_contained(to.flat, axis))
    return name + " splits its flat form";
  for (bool inResults : {false, true})
    if (auto place = findPlace(axis, inResults))
      return name + " splits " + *place;
  const DimensionFactors &factors = splits.getFactors(operand)[dimension];
  for (unsigned factor : factors)
    if (splits.getSplits()[factor].size != 1 && !splits.getSplits()[factor].splittable)
      return "the op needs all of it at once";
  if (!to.dimensions[dimension].empty())
    return names(to.dimensions[dimension]) + " split it";
  auto sizes = map_range(
      factors, [&](unsigned factor) { return std::to_string(splits.getSplits()[factor].size); });
  return "degree " + std::to_string(mesh.axes[axis].size) + " of " + name +
         " does not divide its factors " + join(sizes, " x ");
}

void OperandReason::addPartial() {
  AxisList scattered, completed, added;
  for (Axis axis : from.partial) {
    if (is_contained(to.partial, axis))
      continue;
    const bool splitHere =
        is_contained(to.flat, axis) ||
        any_of(to.dimensions, [&](const AxisList &axes) { return is_contained(axes, axis); });
    (splitHere ? scattered : completed).push_back(axis);
  }
  for (Axis axis : to.partial)
    if (!is_contained(from.partial, axis))
      added.push_back(axis);
  if (!scattered.empty())
    add("is a partial sum over " + names(scattered) + ", which splits it here");
  if (!completed.empty())
    add("must be summed over " + names(completed) +
        (node.isLinear(operand) ? "" : ": the op is not linear in it"));
  if (!added.empty())
    add("joins partial sums over " + names(added));
}

void OperandReason::addFlat() {
  if (from.flat == to.flat)
    return;
  if (to.flat.empty())
    add("needs the tensor, not its flat slices over " + names(from.flat));
  else
    add("needs flat slices over " + names(to.flat));
}

void OperandReason::addDimension(unsigned dimension) {
  const AxisList &before = from.dimensions[dimension], &after = to.dimensions[dimension];
  const std::string name = "dimension " + std::to_string(dimension);
  const auto *lost = find_if(before, [&](Axis axis) { return !is_contained(after, axis); });
  if (lost != before.end()) {
    const std::string state = after.empty() ? " whole" : " split over " + names(after) + " only";
    return add("needs " + name + state + ": " + whyNot(dimension, *lost));
  }
  AxisList gained;
  for (Axis axis : after)
    if (!is_contained(before, axis) && !is_contained(from.partial, axis))
      gained.push_back(axis);
  if (gained.empty()) {
    if (ArrayRef(before) != ArrayRef(after) && before.size() == after.size())
      add("needs " + name + " split over " + names(after) + " in this order");
    return;
  }
  std::optional<std::string> place;
  for (bool inResults : {false, true})
    if (!place)
      place = findPlace(gained.front(), inResults);
  add("needs " + name + " split over " + names(gained) + (place ? " as " + *place + " is" : ""));
}

std::string OperandReason::run() {
  addPartial();
  addFlat();
  for (unsigned dimension = 0; dimension < to.dimensions.size(); ++dimension)
    addDimension(dimension);
  return "operand " + std::to_string(operand) + " of '" + node.name + "' " + join(clauses, "; ");
}

std::string explainOperand(const PropagationGraph &graph, unsigned node, unsigned operand,
                           const NodeSplits &splits, const Sharding &from, const Sharding &to) {
  return OperandReason(graph, node, operand, splits, from, to).run();
}

std::string explainResult(const PropagationGraph &graph, unsigned node, unsigned result,
                          const Sharding &to) {
  return "result " + std::to_string(result) + " of '" + graph.getNodes()[node].name +
         "' is fixed as " + toString(graph.getMesh(), to);
}

std::string explainSink(const PropagationGraph &graph, const Sink &sink, const Sharding &to) {
  return "'" + sink.name + "' " +
         (sink.sharding ? "is kept as " + toString(graph.getMesh(), to)
                        : "must not be a partial sum");
}

} // namespace titan::sharding
