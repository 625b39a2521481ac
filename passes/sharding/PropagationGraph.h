// What sharding propagation works on: tensors, operations as factors, and the shardings known so
// far. A pass translates a function to it and the answer back.
#pragma once

#include "dialects/interfaces/ShardingRule.h"

#include "llvm/ADT/BitVector.h"

#include <optional>
#include <string>
#include <vector>

namespace titan::sharding {

/// Index into Mesh::axes.
using Axis = unsigned;
/// Axes that split one dimension, outer to inner; or a set of axes, then in rising order.
using AxisList = llvm::SmallVector<Axis, 2>;
/// One bit per axis.
using AxisMask = uint32_t;

struct MeshAxis {
  std::string name;
  int64_t size;
};

/// At most 32 named axes, outermost first.
struct Mesh {
  llvm::SmallVector<MeshAxis, 5> axes;

  /// The product of the axes' sizes.
  int64_t getDegree(llvm::ArrayRef<Axis> list) const;
  /// `'dp', 'tp'`.
  std::string getNames(llvm::ArrayRef<Axis> list) const;
};

/// How a tensor is laid out on a mesh; no axis occurs twice. Example, on ["dp"=4, "tp"=2]: a tensor
/// of 8 x 6 with the dimensions {{0}, {1}} is kept in blocks of 2 x 3. With the dimensions
/// {{}, {1}} and partial {0} the devices of a dp group hold different tensors of 8 x 3, whose sum
/// is the block. With the dimensions {{}, {1}} and flat {0} the block of 8 x 3 is stored as four
/// slices of 6 elements, padded where they do not divide.
struct Sharding {
  llvm::SmallVector<AxisList, 4> dimensions;
  AxisList partial; ///< a set
  AxisList flat;

  bool operator==(const Sharding &) const = default;

  static Sharding whole(size_t rank) { return {llvm::SmallVector<AxisList, 4>(rank), {}, {}}; }
};

/// `[{dp}, {}, {tp}] partial {tp} flat {dp}`, the last two only where there are such axes.
std::string toString(const Mesh &mesh, const Sharding &sharding);

/// Where a sharding comes from. An earlier origin is propagated as far as it goes before a later
/// one begins: the axis that splits a weight is not available for the activations next to it.
enum class Origin : uint8_t {
  variable,   ///< how variables and inputs are stored
  annotation, ///< asked for at a value in the middle, or handed over by another function
  seed,       ///< a suggestion, from which propagation may deviate
};

struct TensorValue {
  std::string name; ///< for messages
  llvm::SmallVector<int64_t, 4> shape;
  std::optional<Sharding> sharding;
  Origin origin = Origin::annotation;

  /// Whether the value has its sharding whatever its neighbours want. The partial sums and the
  /// flat form of a seed are ignored.
  bool isFixed() const { return sharding && origin != Origin::seed; }
};

/// An operation. Its result is a sum of terms, and a term is a function of some of the operands,
/// linear in each of those that `linearOperands` names while the others stay as they are:
///
///     op                          linearOperands   terms
///     add, sub, concat (a, b)     a b              0 1
///     mul, einsum (a, b)          a b              0 0
///     einsum (a, b) acc(c)        a b c            0 0 1
///     cast, reshape, reduce (a)   a                0
///     div (a, b)                  a                0 0
///     silu_grad (x, dy)           dy               0 0
///     sum_of_squares (a, b, c)    none             0 1 2
///     rms_norm, attention, ...    none             all 0
struct Node {
  std::string name; ///< for messages
  llvm::SmallVector<unsigned, 3> operands;
  llvm::SmallVector<unsigned, 2> results;
  ShardingRule rule;
  llvm::BitVector linearOperands;       ///< may be shorter: the rest is not linear
  llvm::SmallVector<unsigned, 2> terms; ///< one per operand, numbered from 0; empty: all are 0

  bool isLinear(unsigned operand) const {
    return operand < linearOperands.size() && linearOperands[operand];
  }
  unsigned getTerm(unsigned operand) const { return terms.empty() ? 0 : terms[operand]; }

  /// Fills `linearOperands` and `terms` as the rule says: with Linearity::together every operand is
  /// a term, with Linearity::each all are one.
  void setFromRule();
};

/// A use of a value outside of all nodes: a store or a function's result.
struct Sink {
  std::string name; ///< for messages
  unsigned value;
  /// What the value must arrive as; without it as anything but a partial sum.
  std::optional<Sharding> sharding;
  Origin origin = Origin::variable;
};

/// A sharding that its tensor cannot have.
struct ShardingError {
  bool isSink;
  unsigned index; ///< of the value or the sink
  std::string message;
};

/// Values and nodes are numbered in the order in which they are added. Axes of size 1 disappear
/// from shardings: they say nothing.
class PropagationGraph {
public:
  explicit PropagationGraph(Mesh mesh) : mesh(std::move(mesh)) {}

  unsigned addValue(TensorValue value);
  /// Nodes come in a topological order; a value has at most one producer.
  unsigned addNode(Node node);
  unsigned addSink(Sink sink);

  const Mesh &getMesh() const { return mesh; }
  llvm::ArrayRef<TensorValue> getValues() const { return values; }
  llvm::ArrayRef<Node> getNodes() const { return nodes; }
  llvm::ArrayRef<Sink> getSinks() const { return sinks; }

  /// The nodes that use or produce a value, each once.
  llvm::ArrayRef<unsigned> getNeighbours(unsigned value) const { return links[value].nodes; }
  /// How many operands and sinks a value is.
  unsigned getNumUses(unsigned value) const { return links[value].numUses; }

  /// Checks all fixed shardings; empty if they are sound.
  std::vector<ShardingError> verify() const;

private:
  struct Links {
    llvm::SmallVector<unsigned, 3> nodes;
    unsigned numUses = 0;
  };

  void canonicalize(Sharding &sharding) const;
  std::string check(llvm::StringRef name, llvm::ArrayRef<int64_t> shape,
                    const Sharding &sharding) const;

  Mesh mesh;
  std::vector<TensorValue> values;
  std::vector<Node> nodes;
  std::vector<Sink> sinks;
  std::vector<Links> links;
};

} // namespace titan::sharding
