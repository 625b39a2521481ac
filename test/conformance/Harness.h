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

  /// Whether ranks share a process, and with it a communicator's failures.
  virtual bool isShared() const = 0;
};

std::unique_ptr<Harness> createHarness();

} // namespace titan::test
