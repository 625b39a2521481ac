// Global tensors and what ranks hold of them.
#pragma once

#include "dialects/interfaces/Reference.h"
#include "dialects/titan/Sharding.h"

namespace titan {

/// What a slice's padding is set to.
enum class Padding {
  zero,   ///< of gradients, whose padding is reduced with them and has to stay zero
  poison, ///< not a number: nothing may come to depend on it
};

/// What `rank` holds of a tensor that is laid out as `global` says. Of a partial sum the rank with
/// coordinate 0 in the partial axes has all, the others zero.
HostTensor scatterToRank(const HostTensor &tensor, mlir::RankedTensorType global,
                         const MeshShape &mesh, int64_t rank, Padding padding);

/// The first place where a rank holds another value than another rank that has to hold the same.
struct GatherError {
  int64_t first, second; ///< ranks
  int64_t element;       ///< in the global tensor, row-major
};

/// The tensor of which the ranks hold `parts`, null for ranks that do not have it: partial sums are
/// added in the order of ranks; fails when ranks that have to hold the same do not, bit for bit,
/// saying where.
std::optional<GatherError> gatherFromRanks(llvm::ArrayRef<const HostTensor *> parts,
                                           mlir::RankedTensorType global, const MeshShape &mesh,
                                           HostTensor &tensor);

/// The same check for a tensor that every rank holds whole.
std::optional<GatherError> findDifference(llvm::ArrayRef<const HostTensor *> copies);

} // namespace titan
