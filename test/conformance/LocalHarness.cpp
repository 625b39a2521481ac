#include "runtime/collectives/local/LocalPlane.h"
#include "test/conformance/Harness.h"

#include <thread>
#include <vector>

namespace titan::test {

namespace {

class LocalHarness final : public Harness {
public:
  void run(int ranks, FunctionRef<void(DataPlane &plane)> body) override {
    const auto planes = local::createLocalPlanes(ranks);
    std::vector<std::thread> threads;
    threads.reserve(planes.size());
    for (const auto &plane : planes)
      threads.emplace_back([&] { body(*plane); });
    for (std::thread &thread : threads)
      thread.join();
  }
};

} // namespace

std::unique_ptr<Harness> createHarness() { return std::make_unique<LocalHarness>(); }

std::shared_ptr<std::byte> allocateMemory(size_t bytes) { return allocateHostMemory(bytes); }

} // namespace titan::test
