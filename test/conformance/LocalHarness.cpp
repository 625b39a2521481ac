#include "runtime/collectives/local/LocalPlane.h"
#include "test/conformance/Harness.h"

#include <barrier>
#include <optional>
#include <thread>
#include <vector>

namespace titan::test {

namespace {

class LocalHarness final : public Harness {
public:
  void run(int ranks, FunctionRef<void(DataPlane &plane)> body) override {
    const auto planes = local::createLocalPlanes(ranks);
    barrier.emplace(ranks);
    std::vector<std::thread> threads;
    threads.reserve(planes.size());
    for (const auto &plane : planes)
      threads.emplace_back([&] { body(*plane); });
    for (std::thread &thread : threads)
      thread.join();
  }
  void meet() override { barrier->arrive_and_wait(); }

private:
  std::optional<std::barrier<>> barrier; ///< of the ranks that run
};

} // namespace

std::unique_ptr<Harness> createHarness() { return std::make_unique<LocalHarness>(); }

std::shared_ptr<std::byte> allocateMemory(size_t bytes) { return allocateHostMemory(bytes); }

} // namespace titan::test
