// The letters of an einsum equation, sorted into the groups of a matrix product.
#pragma once

#include "dialects/titan/TitanDialect.h"

#include <string>

namespace titan {

/// Example, "bsn,bsd->nd" (a weight gradient): batch "", m "n", n "d", k "bs"; the left operand is
/// stored [K, M], so it is transposed.
struct EinsumSpec {
  std::string lhs, rhs, out;
  std::string batch, m, n, k;
  bool transposeLhs = false; ///< the left operand is stored [batch, K, M]
  bool transposeRhs = false; ///< the right operand is stored [batch, N, K]
};

/// Parses and groups an equation; on failure returns why as text in `error`.
std::optional<EinsumSpec> parseEinsum(llvm::StringRef equation, std::string &error);

/// The sizes of the four groups.
struct EinsumSizes {
  int64_t batch, m, n, k;
};
EinsumSizes getEinsumSizes(const EinsumSpec &spec, mlir::RankedTensorType lhs,
                           mlir::RankedTensorType rhs);

} // namespace titan
