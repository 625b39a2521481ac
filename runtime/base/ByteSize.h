// Amounts of memory, as people write them.
#pragma once

#include "runtime/base/Status.h"

#include <cstdint>
#include <string_view>

namespace titan {

/// Bytes of "40GiB", "1.5 GiB", "80GB" or "4096": units of 1024 (KiB to TiB) and 1000 (KB to TB).
/// The error names the text and the rule.
StatusOr<int64_t> parseByteSize(std::string_view text);

/// Bytes of memory that this machine has.
int64_t physicalMemory();

} // namespace titan
