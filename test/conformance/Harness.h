// What the conformance suite needs of a data plane: ranks that run a body.
#pragma once

#include "runtime/base/FunctionRef.h"
#include "runtime/collectives/Communicator.h"

#include <memory>

namespace titan::test {

class Harness {
public:
  virtual ~Harness() = default;

  /// Calls body(plane) on ranks 0 to ranks - 1 of a job that has at least so many, at the same
  /// time, and returns on all ranks when all are done. `ranks` is at most 9.
  virtual void run(int ranks, FunctionRef<void(DataPlane &plane)> body) = 0;

  /// Within a body, on all its ranks: returns when all have come. Whatever planes do goes on.
  virtual void meet() = 0;

  /// Whether a rank that was aborted still knows whom it waited for.
  virtual bool knowsWhoIsAwaited() const { return true; }
};

std::unique_ptr<Harness> createHarness();

/// Memory that the host sees and the plane can move; called within a body.
std::shared_ptr<std::byte> allocateMemory(size_t bytes);
/// Of planes of host memory.
inline std::shared_ptr<std::byte> allocateHostMemory(size_t bytes) {
  return {new std::byte[bytes], std::default_delete<std::byte[]>()};
}

} // namespace titan::test
