// Cuts a caller's workspace into aligned arrays.
#pragma once

#include "runtime/base/Status.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace titan::cpu {

/// Hands out pieces of a workspace in order, each on a cache line of its own. What a kernel takes
/// is bytesFor<T>(count) of each piece; the workspace itself must be aligned likewise.
class Workspace {
public:
  static constexpr int64_t kAlignment = 64;

  template <typename T> static int64_t bytesFor(int64_t count) {
    return (count * static_cast<int64_t>(sizeof(T)) + kAlignment - 1) / kAlignment * kAlignment;
  }

  explicit Workspace(std::span<std::byte> bytes) : next(bytes.data()), size(bytes.size()) {}

  /// An error of `kernel` unless the workspace is aligned and holds `needed` bytes.
  Status check(const char *kernel, int64_t needed) const {
    if (static_cast<int64_t>(size) < needed)
      return invalidArgument(std::string(kernel) + ": the workspace has " + std::to_string(size) +
                             " bytes, needed are " + std::to_string(needed));
    if (needed > 0 && reinterpret_cast<uintptr_t>(next) % kAlignment != 0)
      return invalidArgument(std::string(kernel) + ": the workspace at address " +
                             std::to_string(reinterpret_cast<uintptr_t>(next)) +
                             " must be aligned to " + std::to_string(kAlignment) + " bytes");
    return okStatus();
  }

  /// The next `count` elements, uninitialized. Only after check().
  template <typename T> T *take(int64_t count) {
    T *piece = reinterpret_cast<T *>(next);
    next += bytesFor<T>(count);
    return piece;
  }

private:
  std::byte *next;
  size_t size;
};

} // namespace titan::cpu
