// Cuts a chain of costs into pieces of about equal cost.
#pragma once

#include "llvm/ADT/ArrayRef.h"

#include <cstdint>
#include <vector>

namespace titan {

/// The piece of each element, ascending from 0 to pieces - 1; no piece is empty. The largest sum of
/// a piece is as small as can be, and among those cuts the sum of squares is least. Costs are not
/// negative; 1 <= pieces <= costs.size(). Time O(pieces n^2).
///
///     partitionChain({1, 4, 4, 4, 4, 7}, 3)   // {0, 0, 0, 1, 1, 2}: 9, 8, 7
std::vector<int64_t> partitionChain(llvm::ArrayRef<double> costs, int64_t pieces);

} // namespace titan
