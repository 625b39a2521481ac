#include "dialects/titan/Partition.h"

#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;

namespace titan {
namespace {

using Axes = SmallVector<StringAttr>;

std::string toText(ArrayRef<StringAttr> axes) {
  return "{" + llvm::join(llvm::map_range(axes, [](StringAttr axis) { return axis.str(); }), ", ") +
         "}";
}

/// Checks one op. Factors get their axes from the first tensor that has them; all others must
/// agree.
class LayoutCheck {
public:
  LayoutCheck(Operation *op, const ShardingRule &rule, const MeshShape &mesh)
      : op(op), rule(rule), mesh(mesh) {}

  std::string run() {
    for (auto [i, type] : llvm::enumerate(op->getOperandTypes()))
      if (!addTensor("operand", i, type, rule.operands[i]))
        return error;
    for (auto [i, type] : llvm::enumerate(op->getResultTypes()))
      if (!addTensor("result", i, type, rule.results[i]))
        return error;
    if (!checkFactors() || !checkFlat() || !checkPartial())
      return error;
    return {};
  }

private:
  bool fail(std::string text) {
    error = std::move(text);
    return false;
  }

  /// The axes of a list that split anything.
  Axes drop(ArrayRef<StringAttr> axes) const {
    return llvm::to_vector(
        llvm::make_filter_range(axes, [&](StringAttr axis) { return mesh.getSize(axis) > 1; }));
  }

  /// Hands a dimension's axes to its factors, outermost first.
  bool addDimension(const DimensionFactors &factors, Axes axes, SmallVectorImpl<Axes> &split) {
    unsigned position = 0;
    for (unsigned factor : factors) {
      Axes own;
      int64_t rest = rule.factors[factor].size;
      while (position < axes.size() && rest % mesh.getSize(axes[position]) == 0) {
        own.push_back(axes[position]);
        rest /= mesh.getSize(axes[position++]);
      }
      split.push_back(own);
      // An inner factor's blocks are contiguous only within one index of the outer one.
      if (rest != 1)
        break;
    }
    return position == axes.size();
  }

  bool addTensor(const char *what, unsigned index, Type type, const TensorFactors &dimensions) {
    ShardingAttr sharding = getSharding(type);
    for (auto [i, factors] : llvm::enumerate(dimensions)) {
      const Axes axes = sharding ? drop(sharding.getAxes(i)) : Axes();
      SmallVector<Axes> split;
      if (!addDimension(factors, axes, split))
        return fail(llvm::formatv("{0} {1}, dimension {2}: axes {3} split no factor of the op",
                                  what, index, i, toText(axes)));
      split.resize(factors.size());
      for (auto [factor, own] : llvm::zip_equal(factors, split)) {
        auto [known, isNew] = axesOf.insert({factor, own});
        if (!isNew && known->second != own)
          return fail(llvm::formatv("{0} {1}, dimension {2} is split over {3}, but over {4} in "
                                    "another operand or result",
                                    what, index, i, toText(own), toText(known->second)));
      }
    }
    return true;
  }

  bool checkFactors() {
    for (auto &[factor, axes] : axesOf) {
      const Factor &properties = rule.factors[factor];
      if (axes.empty())
        continue;
      if (properties.kind == FactorKind::permutation ||
          properties.kind == FactorKind::needReplication)
        return fail(llvm::formatv("a dimension of size {0} must be whole, found it split over {1}",
                                  properties.size, toText(axes)));
      splitting.insert(axes.begin(), axes.end());
    }
    return true;
  }

  static bool isScalar(Type type) { return cast<RankedTensorType>(type).getRank() == 0; }

  Axes getFlat(Type type) const {
    ShardingAttr sharding = getSharding(type);
    return sharding ? drop(sharding.getFlat()) : Axes();
  }

  /// Flat tensors are for ops that treat all elements alike: those of flat tensors at one place
  /// together. Results are flat too, or scalars, to which operands of any storage add up.
  bool checkFlat() {
    ShardingAttr flat;
    auto note = [&](Type type) {
      ShardingAttr sharding = getSharding(type);
      if (!sharding || !sharding.isFlat())
        return;
      flat = sharding;
      const Axes axes = getFlat(type);
      splitting.insert(axes.begin(), axes.end());
    };
    llvm::for_each(op->getOperandTypes(), note);
    llvm::for_each(op->getResultTypes(), note);
    if (!flat || llvm::all_of(op->getResultTypes(), isScalar))
      return true;
    auto check = [&](Type type) {
      ShardingAttr sharding = getSharding(type);
      if (isScalar(type) || (sharding && sharding.getFlat() == flat.getFlat() &&
                             sharding.getGranule() == flat.getGranule()))
        return true;
      return fail(llvm::formatv("{0} stands beside flat storage over {1}, and is not stored so",
                                type, toText(flat.getFlat())));
    };
    return llvm::all_of(op->getOperandTypes(), check) && llvm::all_of(op->getResultTypes(), check);
  }

  Axes getPartial(Type type) const {
    ShardingAttr sharding = getSharding(type);
    return sharding ? drop(sharding.getPartial()) : Axes();
  }

  /// Axes over which every result is a partial sum because operands are.
  bool addLinear(llvm::SetVector<StringAttr> &partial) {
    const bool together = rule.linearity == ShardingRule::Linearity::together;
    for (auto [i, type] : llvm::enumerate(op->getOperandTypes())) {
      const Axes axes = getPartial(type);
      const bool isLinear = llvm::is_contained(rule.linear, i);
      if (!isLinear && !axes.empty())
        return fail(llvm::formatv("operand {0} is a partial sum over {1}, which the op does not "
                                  "commute with",
                                  i, toText(axes)));
      for (StringAttr axis : axes)
        if (!partial.insert(axis) && !together)
          return fail(llvm::formatv("two operands are partial sums over {0}", axis.getValue()));
    }
    for (unsigned i : rule.linear)
      if (together && getPartial(op->getOperand(i).getType()).size() != partial.size())
        return fail(llvm::formatv("operand {0} is not a partial sum over {1} as others are", i,
                                  toText(partial.getArrayRef())));
    for (StringAttr axis : partial)
      if (splitting.contains(axis))
        return fail(llvm::formatv("axis {0} splits a factor of an op on partial sums over it",
                                  axis.getValue()));
    return true;
  }

  bool checkPartial() {
    llvm::SetVector<StringAttr> linear;
    if (!addLinear(linear))
      return false;
    for (auto [i, type] : llvm::enumerate(op->getResultTypes())) {
      if (rule.isZero)
        continue;
      llvm::SetVector<StringAttr> expected = linear;
      if (!addReductions(i, expected))
        return false;
      const Axes found = getPartial(type);
      if (found.size() != expected.size() ||
          !llvm::all_of(found, [&](StringAttr axis) { return expected.contains(axis); }))
        return fail(llvm::formatv("result {0} is a partial sum over {1}, its type says {2}", i,
                                  toText(expected.getArrayRef()), toText(found)));
    }
    return true;
  }

  /// Whether a split of a factor makes a result a partial sum.
  bool isReduced(unsigned factor, unsigned result) const {
    return rule.factors[factor].kind == FactorKind::reduction &&
           llvm::none_of(
               rule.results[result],
               [&](const auto &dimension) { return llvm::is_contained(dimension, factor); }) &&
           !llvm::is_contained(rule.complete, std::pair<unsigned, unsigned>(result, factor));
  }

  /// The axes over which an operand's elements are spread that a result adds up; nothing if the
  /// result does not add up the operand's elements.
  std::optional<Axes> getAddends(unsigned operand, unsigned result) {
    // A term of a sum is added up even if it is one number.
    bool isAdded = rule.linearity == ShardingRule::Linearity::together &&
                   !llvm::is_contained(rule.linear, operand);
    Axes axes;
    for (const DimensionFactors &factors : rule.operands[operand])
      for (unsigned factor : factors)
        if (isReduced(factor, result)) {
          isAdded = true;
          llvm::append_range(axes, axesOf[factor]);
        }
    // All elements of storage go into a scalar.
    if (isScalar(op->getResultTypes()[result]))
      llvm::append_range(axes, getFlat(op->getOperandTypes()[operand]));
    return isAdded ? std::optional<Axes>(axes) : std::nullopt;
  }

  /// Adds the axes over which the result is a partial sum. Every operand that is added up must be
  /// spread over all of them: each rank would add it once more.
  bool addReductions(unsigned result, llvm::SetVector<StringAttr> &partial) {
    llvm::SetVector<StringAttr> reduced;
    for (unsigned i = 0; i < op->getNumOperands(); ++i)
      if (std::optional<Axes> axes = getAddends(i, result))
        reduced.insert(axes->begin(), axes->end());
    for (unsigned i = 0; i < op->getNumOperands(); ++i)
      if (std::optional<Axes> axes = getAddends(i, result))
        for (StringAttr axis : reduced)
          if (!llvm::is_contained(*axes, axis))
            return fail(llvm::formatv("operand {0} is split over {1}, and the result a partial sum "
                                      "over {2}",
                                      i, toText(*axes), toText(reduced.getArrayRef())));
    partial.insert(reduced.begin(), reduced.end());
    return true;
  }

  Operation *op;
  const ShardingRule &rule;
  const MeshShape &mesh;
  llvm::MapVector<unsigned, Axes> axesOf;
  llvm::SetVector<StringAttr> splitting;
  std::string error;
};

bool isFlat(Type type) {
  ShardingAttr sharding = getSharding(type);
  return sharding && sharding.isFlat();
}

/// Whether an op treats all elements alike: tensors but scalars have the same factors, or all
/// results are scalars and no attribute says what becomes of which dimension.
bool treatsElementsAlike(Operation *op, const ShardingRule &rule) {
  const TensorFactors *shared = nullptr;
  for (const TensorFactors &result : rule.results)
    if (!result.empty())
      shared = &result;
  for (const TensorFactors &result : rule.results)
    if (!result.empty() && result != *shared)
      return false;
  for (const TensorFactors &operand : rule.operands)
    if (!operand.empty() && shared && operand != *shared)
      return false;
  return op->getAttrs().empty() || shared;
}

} // namespace

std::string checkLayouts(Operation *op, const ShardingRule &rule, const MeshShape &mesh) {
  return LayoutCheck(op, rule, mesh).run();
}

void cloneLocal(Operation *op, PartitionContext &context, ValueRange operands,
                SmallVectorImpl<Value> &results) {
  // A region holds scalars: it is the same for a part of the elements.
  Operation *local = context.getBuilder().insert(op->clone());
  local->setOperands(operands);
  for (Value result : local->getResults()) {
    result.setType(context.getLocalType(result.getType()));
    results.push_back(result);
  }
}

LogicalResult buildLocalByFactors(Operation *op, const ShardingRule &rule,
                                  PartitionContext &context, ValueRange operands,
                                  SmallVectorImpl<Value> &results) {
  auto refuse = [&](const Twine &why) {
    return op->emitOpError() << "cannot be partitioned: " << why
                             << ", and it does not implement PartitionOpInterface";
  };
  const bool hasFlat =
      llvm::any_of(op->getOperandTypes(), isFlat) || llvm::any_of(op->getResultTypes(), isFlat);
  if (hasFlat && !treatsElementsAlike(op, rule))
    return refuse("it looks at the dimensions of flat storage");
  for (auto [result, factor] : rule.complete)
    for (auto [operand, dimensions] : llvm::zip(op->getOperandTypes(), rule.operands))
      for (auto [i, factors] : llvm::enumerate(dimensions))
        if (ShardingAttr sharding = getSharding(operand);
            sharding && llvm::is_contained(factors, factor) && !sharding.getAxes(i).empty())
          return refuse("ranks exchange something in it when a dimension of size " +
                        Twine(rule.factors[factor].size) + " is split");
  cloneLocal(op, context, operands, results);
  return success();
}

} // namespace titan
