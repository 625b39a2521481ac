// When collectives start and when they are awaited: the algorithm of titan-schedule-instructions.
#pragma once

#include <cstdint>
#include <vector>

namespace titan {

/// A collective of a function. Positions count the function's ops from 0; the last one, its end, is
/// the number of ops before the terminator.
struct Transfer {
  int64_t key = 0;      ///< of one kind and over the same axes
  int64_t position = 0; ///< where it stands: operands are ready
  int64_t firstUse = 0; ///< the first op that needs a result where it stands; the end if none does
  bool early = false;   ///< its operands are there at entry, and nothing writes them
  /// What uses it may wait until the end.
  bool late = false;
};

/// Both stand before the op at the position; of several at one position, awaits come first.
struct TransferPlan {
  int64_t start = 0;
  int64_t await = 0;
};

/// Plans one function's collectives, which stand in the order of their positions.
///
/// An early one (the gather of a layer's weights) is awaited at its first use. It starts where the
/// `distance`-th early one before it of the same key is awaited, so that it runs while `distance`
/// layers compute, and no more than distance + 1 layers' weights are alive; the first ones start at
/// the function's begin. A late one (the reduction of a layer's gradients) starts where it stands
/// and is awaited where the `distance`-th late one after it of the same key starts; the last ones
/// at the end. All others start where they stand and are awaited at their first use. A distance of
/// 0 overlaps nothing.
std::vector<TransferPlan> planTransfers(const std::vector<Transfer> &transfers, int64_t distance,
                                        int64_t end);

} // namespace titan
