// Counts the heap and mmap calls of this process: the test binary replaces them.
#pragma once

#include <cstdint>

namespace titan {

/// Calls of malloc, calloc, realloc, memalign and mmap by any thread since the process began;
/// operator new calls malloc.
int64_t allocationCount();

} // namespace titan
