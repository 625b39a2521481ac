// Ranks agree that they run the same program before they run it.
#pragma once

#include "runtime/world/World.h"

#include <cstdint>
#include <span>
#include <string_view>

namespace titan {

struct NamedHash {
  std::string_view name; ///< "program", "collective sequence"
  uint64_t value;
};

/// Compares hashes over all ranks; every rank calls it with the same names in the same order.
/// Where they differ, every rank gets the same error, of code invalidArgument, which names for the
/// first hash that differs its values and the ranks that have each.
Status exchangeHashes(World &world, std::span<const NamedHash> hashes, Duration timeout);

} // namespace titan
