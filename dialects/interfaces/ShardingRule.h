// The factors of an op: what ShardingRuleOpInterface answers.
#pragma once

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/OpDefinition.h"

namespace titan {

enum class FactorKind {
  passThrough,     ///< split in an operand, split in the result: no communication
  reduction,       ///< split in operands, absent from the result: the result is a partial sum
  permutation,     ///< split needs the neighbours' elements (a slice at an offset)
  needReplication, ///< must not be split
};

struct Factor {
  int64_t size;
  FactorKind kind;
};

/// The factors that make up one dimension, outermost first.
using DimensionFactors = llvm::SmallVector<unsigned, 2>;
using TensorFactors = llvm::SmallVector<DimensionFactors, 4>;

/// Example, `([b, s, k], [n, k]) -> ([b, s, n])`: factors b, s, n pass through and k is reduced;
/// operands {{{0}, {1}, {3}}, {{2}, {3}}}, results {{{0}, {1}, {2}}}. A reshape of [b, s, h * d]
/// to [b, s, h, d] has the operand {{0}, {1}, {2, 3}} and the result {{0}, {1}, {2}, {3}}.
struct ShardingRule {
  llvm::SmallVector<Factor> factors;
  llvm::SmallVector<TensorFactors> operands;
  llvm::SmallVector<TensorFactors> results;

  /// Whether the op commutes with sums over devices: with *each*, in any of the operands named by
  /// `linear` while the others are complete; with *together*, when all of those are partial sums
  /// over the same axes. A result is then a partial sum over these axes too.
  enum class Linearity { each, together };
  Linearity linearity = Linearity::each;
  llvm::SmallVector<unsigned, 2> linear;
  /// Results (first) that are complete although a reduction factor (second) is split: they do not
  /// depend on it, or the op communicates itself.
  llvm::SmallVector<std::pair<unsigned, unsigned>, 2> complete;
  /// The results are zero, hence partial sums over any axes as they are.
  bool isZero = false;

  unsigned addFactor(int64_t size, FactorKind kind = FactorKind::passThrough) {
    factors.push_back({size, kind});
    return static_cast<unsigned>(factors.size()) - 1;
  }
};

/// Every operand and result has the same shape, one factor a dimension.
ShardingRule getPointwiseRule(mlir::Operation *op);
/// The same for an op that is linear in its operands.
ShardingRule getLinearPointwiseRule(mlir::Operation *op, ShardingRule::Linearity linearity);

/// Checks that the factors of every dimension multiply to its size; the first violation as text,
/// empty when there is none.
std::string verifyShardingRule(mlir::Operation *op, const ShardingRule &rule);

} // namespace titan

#include "dialects/interfaces/ShardingRule.h.inc"
