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

  unsigned addFactor(int64_t size, FactorKind kind = FactorKind::passThrough) {
    factors.push_back({size, kind});
    return static_cast<unsigned>(factors.size()) - 1;
  }
};

/// Every operand and result has the same shape, one factor a dimension.
ShardingRule getPointwiseRule(mlir::Operation *op);

/// Checks that the factors of every dimension multiply to its size; the first violation as text,
/// empty when there is none.
std::string verifyShardingRule(mlir::Operation *op, const ShardingRule &rule);

} // namespace titan

#include "dialects/interfaces/ShardingRule.h.inc"
