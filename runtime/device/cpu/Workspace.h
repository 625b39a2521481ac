// Cuts a caller's workspace into aligned arrays.
#pragma once

#include "runtime/base/Status.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace titan::cpu {

/// Hands out pieces of a workspace in order, each on a cache line of its own. A kernel takes its
/// pieces in one function, which it also runs on an empty Workspace: usedBytes() is then the size
/// it needs, and the two cannot disagree.
class Workspace {
public:
  static constexpr int64_t kAlignment = 64;

  /// Measures only: the pieces it hands out must not be used.
  Workspace() = default;
  explicit Workspace(std::span<std::byte> bytes)
      : begin(reinterpret_cast<uintptr_t>(bytes.data())), next(begin),
        size(static_cast<int64_t>(bytes.size())) {}

  /// An error of `kernel` unless the workspace is aligned and holds `needed` bytes.
  Status check(const char *kernel, int64_t needed) const {
    if (size < needed)
      return invalidArgument(std::string(kernel) + ": the workspace has " + std::to_string(size) +
                             " bytes, needed are " + std::to_string(needed));
    if (needed > 0 && begin % kAlignment != 0)
      return invalidArgument(std::string(kernel) + ": the workspace at address " +
                             std::to_string(begin) + " must be aligned to " +
                             std::to_string(kAlignment) + " bytes");
    return okStatus();
  }

  /// The next `count` elements, uninitialized. Only after check().
  template <typename T> T *take(int64_t count) {
    uintptr_t piece = next;
    next += (count * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    return reinterpret_cast<T *>(piece);
  }

  /// The next `bytes` as a workspace of their own.
  Workspace takePart(int64_t bytes) {
    return Workspace({take<std::byte>(bytes), static_cast<size_t>(bytes)});
  }

  int64_t usedBytes() const { return static_cast<int64_t>(next - begin); }

private:
  uintptr_t begin = 0;
  uintptr_t next = 0;
  int64_t size = 0;
};

} // namespace titan::cpu
