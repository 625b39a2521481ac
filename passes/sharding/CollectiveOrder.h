// Do all ranks issue the collectives that they share in one order?
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace titan {

/// A collective as one party issues it. A party is a rank or, since all ranks of a stage run one
/// program, a stage.
struct IssuedCollective {
  std::vector<int64_t> parties; ///< who takes part, ascending; the issuer is among them
  std::string what;             ///< what must agree: kind, group, sizes
};

/// Where a sequence of collectives cannot go on: `party` waits at place `index` of its sequence for
/// `other`, which waits at another one, at `otherIndex` of its own, or has come to its end.
struct OrderConflict {
  int64_t party = 0;
  size_t index = 0;
  int64_t other = 0;
  std::optional<size_t> otherIndex;
};

/// Finds whether parties that issue the sequences, number i the i-th, and wait for each other in
/// every collective could all come to the end. Then any two groups' shared collectives are in one
/// order on all their ranks, since otherwise two parties wait for each other. Takes time linear in
/// the sequences' length times the parties of a collective.
std::optional<OrderConflict>
findOrderConflict(const std::vector<std::vector<IssuedCollective>> &sequences);

} // namespace titan
