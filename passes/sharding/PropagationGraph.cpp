#include "passes/sharding/PropagationGraph.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

using namespace llvm;

namespace titan::sharding {

//===----------------------------------------------------------------------===//
// Meshes and shardings
//===----------------------------------------------------------------------===//

int64_t Mesh::getDegree(ArrayRef<Axis> list) const {
  int64_t degree = 1;
  for (Axis axis : list)
    degree *= axes[axis].size;
  return degree;
}

std::string Mesh::getNames(ArrayRef<Axis> list) const {
  return join(map_range(list, [&](Axis axis) { return "'" + axes[axis].name + "'"; }), ", ");
}

static std::string inBraces(const Mesh &mesh, ArrayRef<Axis> list) {
  return "{" + join(map_range(list, [&](Axis axis) { return mesh.axes[axis].name; }), ", ") + "}";
}

std::string toString(const Mesh &mesh, const Sharding &sharding) {
  auto dimensions =
      map_range(sharding.dimensions, [&](const AxisList &axes) { return inBraces(mesh, axes); });
  std::string text = "[" + join(dimensions, ", ") + "]";
  if (!sharding.partial.empty())
    text += " partial " + inBraces(mesh, sharding.partial);
  if (!sharding.flat.empty())
    text += " flat " + inBraces(mesh, sharding.flat);
  return text;
}

//===----------------------------------------------------------------------===//
// Building
//===----------------------------------------------------------------------===//

void Node::setFromRule() {
  linearOperands.clear();
  linearOperands.resize(operands.size());
  for (unsigned operand : rule.linear)
    linearOperands.set(operand);
  terms.clear();
  if (rule.linearity == ShardingRule::Linearity::together)
    append_range(terms, seq<unsigned>(0, operands.size()));
}

void PropagationGraph::canonicalize(Sharding &sharding) const {
  // An axis that the mesh lacks stays: verify() names it.
  auto isTrivial = [&](Axis axis) { return axis < mesh.axes.size() && mesh.axes[axis].size == 1; };
  for (AxisList &axes : sharding.dimensions)
    erase_if(axes, isTrivial);
  erase_if(sharding.partial, isTrivial);
  erase_if(sharding.flat, isTrivial);
  sort(sharding.partial);
}

unsigned PropagationGraph::addValue(TensorValue value) {
  if (value.sharding)
    canonicalize(*value.sharding);
  values.push_back(std::move(value));
  links.emplace_back();
  return static_cast<unsigned>(values.size()) - 1;
}

unsigned PropagationGraph::addNode(Node node) {
  const auto index = static_cast<unsigned>(nodes.size());
  assert(node.operands.size() == node.rule.operands.size() && "one list of factors per operand");
  assert(node.results.size() == node.rule.results.size() && "one list of factors per result");
  assert((node.terms.empty() || node.terms.size() == node.operands.size()) &&
         "one term per operand");
  for (unsigned operand : node.operands) {
    Links &link = links[operand];
    ++link.numUses;
    if (link.nodes.empty() || link.nodes.back() != index)
      link.nodes.push_back(index);
  }
  for (unsigned result : node.results) {
    Links &link = links[result];
    assert(link.nodes.empty() && "a value is produced once, before its uses");
    link.nodes.push_back(index);
  }
  nodes.push_back(std::move(node));
  return index;
}

unsigned PropagationGraph::addSink(Sink sink) {
  if (sink.sharding)
    canonicalize(*sink.sharding);
  ++links[sink.value].numUses;
  sinks.push_back(std::move(sink));
  return static_cast<unsigned>(sinks.size()) - 1;
}

//===----------------------------------------------------------------------===//
// Checking
//===----------------------------------------------------------------------===//

/// The divisors of `size` that a mesh of `devices` could use, as `1, 2, 4`.
static std::string getLegalDegrees(int64_t size, int64_t devices) {
  SmallVector<std::string> degrees;
  for (int64_t degree = 1; degree <= std::min(size, devices); ++degree)
    if (size % degree == 0)
      degrees.push_back(std::to_string(degree));
  return join(degrees, ", ");
}

std::string PropagationGraph::check(StringRef name, ArrayRef<int64_t> shape,
                                    const Sharding &sharding) const {
  const std::string place = ("'" + name + "': ").str();
  if (sharding.dimensions.size() != shape.size())
    return place + "the sharding has " + std::to_string(sharding.dimensions.size()) +
           " dimensions, the tensor " + std::to_string(shape.size());

  BitVector seen(mesh.axes.size());
  std::string problem;
  auto note = [&](ArrayRef<Axis> axes) {
    for (Axis axis : axes) {
      if (axis >= mesh.axes.size())
        problem = place + "axis " + std::to_string(axis) + " is not one of the mesh's " +
                  std::to_string(mesh.axes.size());
      else if (seen[axis])
        problem = place + "axis '" + mesh.axes[axis].name +
                  "' occurs twice in the sharding, once is legal";
      else
        seen.set(axis);
    }
  };
  for (const AxisList &axes : sharding.dimensions)
    note(axes);
  note(sharding.partial);
  note(sharding.flat);
  if (!problem.empty())
    return problem;

  int64_t devices = 1;
  for (const MeshAxis &axis : mesh.axes)
    devices *= axis.size;
  for (auto [dimension, axes] : enumerate(sharding.dimensions)) {
    const int64_t degree = mesh.getDegree(axes), size = shape[dimension];
    if (size % degree)
      return place + "dimension " + std::to_string(dimension) + " of size " + std::to_string(size) +
             " does not divide by degree " + std::to_string(degree) + " of " + mesh.getNames(axes) +
             "; legal degrees are " + getLegalDegrees(size, devices);
  }
  return {};
}

std::vector<ShardingError> PropagationGraph::verify() const {
  std::vector<ShardingError> errors;
  auto verifyOne = [&](bool isSink, size_t index, StringRef name, ArrayRef<int64_t> shape,
                       const Sharding &sharding) {
    std::string message = check(name, shape, sharding);
    if (!message.empty())
      errors.push_back({isSink, static_cast<unsigned>(index), std::move(message)});
  };
  for (auto [index, value] : enumerate(values))
    if (value.isFixed())
      verifyOne(false, index, value.name, value.shape, *value.sharding);
  for (auto [index, sink] : enumerate(sinks))
    if (sink.sharding)
      verifyOne(true, index, sink.name, values[sink.value].shape, *sink.sharding);
  return errors;
}

} // namespace titan::sharding
