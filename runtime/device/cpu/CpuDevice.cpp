#include "runtime/device/cpu/CpuDevice.h"

#include "runtime/base/ByteSize.h"
#include "runtime/base/File.h"
#include "runtime/device/cpu/CpuPlans.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sched.h>
#include <set>
#include <sstream>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

namespace titan::cpu {
namespace {

constexpr int64_t kHugePage = int64_t{2} << 20;

class CpuMemory final : public DeviceMemory {
public:
  CpuMemory(std::byte *address, int64_t bytes) : DeviceMemory(address, bytes) {}
  ~CpuMemory() override {
    if (bytes > 0)
      ::munmap(address, static_cast<size_t>(bytes));
  }
};

class CpuQueue final : public Queue {
public:
  Status submit(Plan &plan) override { return static_cast<CpuPlan &>(plan).run(); }
  Status synchronize() override { return okStatus(); }
};

/// Work is done when submit returns, so every point has been reached.
class CpuEvent final : public Event {
public:
  Status record(Queue &) override { return okStatus(); }
  Status wait(Queue &) override { return okStatus(); }
  StatusOr<bool> poll() override { return true; }
};

/// The feature names of the first processor, as Linux lists them.
std::set<std::string> processorFlags() {
  std::ifstream info("/proc/cpuinfo");
  std::string line;
  while (std::getline(info, line))
    if (line.starts_with("flags") || line.starts_with("Features")) {
      std::istringstream words(line.substr(std::min(line.find(':') + 1, line.size())));
      return {std::istream_iterator<std::string>(words), {}};
    }
  return {};
}

} // namespace

int availableCores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) == 0)
    return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN)));
}

CpuDevice::CpuDevice(int threads)
    : threads(threads > 0 ? threads : availableCores()), features(cpuFeatures()) {}

std::string CpuDevice::describe() const {
  return "cpu, " + std::to_string(threads.size()) + " threads, " + features.describe();
}

int64_t CpuDevice::memoryCapacity() const { return physicalMemory(); }

int64_t CpuDevice::memoryUsed() const {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

StatusOr<std::unique_ptr<Queue>> CpuDevice::createQueue(QueueKind, int) {
  return std::unique_ptr<Queue>(std::make_unique<CpuQueue>());
}

StatusOr<std::unique_ptr<Event>> CpuDevice::createEvent() {
  return std::unique_ptr<Event>(std::make_unique<CpuEvent>());
}

StatusOr<std::unique_ptr<DeviceMemory>> CpuDevice::allocate(format::Space, int64_t bytes) {
  if (bytes <= 0)
    return std::unique_ptr<DeviceMemory>(std::make_unique<CpuMemory>(nullptr, 0));
  void *address = ::mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED)
    return unavailable("cannot allocate " + std::to_string(bytes) +
                       " bytes of memory: " + describeErrno(errno));
  // Fewer page faults and TLB misses; the system may decline.
  if (bytes >= kHugePage)
    ::madvise(address, static_cast<size_t>(bytes), MADV_HUGEPAGE);
  return std::unique_ptr<DeviceMemory>(
      std::make_unique<CpuMemory>(static_cast<std::byte *>(address), bytes));
}

StatusOr<std::unique_ptr<KernelTable>> CpuDevice::loadKernels(const format::Program &program) {
  if (program.target != "cpu")
    return invalidArgument("the program is for target '" + program.target +
                           "', this device is 'cpu': compile the job again with --target=cpu");
  auto table = std::make_unique<CpuKernelTable>();
  const std::set<std::string> flags = processorFlags();
  for (const format::Image &image : program.images) {
    for (const std::string &feature : image.features)
      if (!flags.contains(feature))
        return invalidArgument("image '" + image.name + "' needs the processor feature '" +
                               feature +
                               "', which this machine lacks: compile the job on it, or for it");
    const auto bytes = std::as_bytes(std::span(image.contents.data(), image.contents.size()));
    TITAN_ASSIGN_OR_RETURN(DynamicLibrary library, DynamicLibrary::openImage(bytes, image.name));
    table->libraries.push_back(std::move(library));
  }
  for (const format::Kernel &kernel : program.kernels) {
    std::vector<LoadedStage> stages;
    for (const format::Stage &stage : kernel.stages) {
      TITAN_ASSIGN_OR_RETURN(
          TitanKernelStage * function,
          table->libraries[kernel.image].function<TitanKernelStage>(stage.symbol));
      stages.push_back({function, stage.blocks});
    }
    table->kernels.push_back(std::move(stages));
  }
  return std::unique_ptr<KernelTable>(std::move(table));
}

StatusOr<std::unique_ptr<Plan>> CpuDevice::prepare(const format::Instruction &instruction,
                                                   std::span<const Operand> operands,
                                                   const format::Program &program,
                                                   KernelTable &kernels) {
  if (const auto *launch = std::get_if<format::Launch>(&instruction))
    return prepareLaunch(threads, *launch, operands, static_cast<CpuKernelTable &>(kernels));
  if (std::holds_alternative<format::Fill>(instruction) ||
      std::holds_alternative<format::Copy>(instruction) ||
      std::holds_alternative<format::CheckFinite>(instruction))
    return prepareMemoryOp(threads, instruction, operands);
  if (std::holds_alternative<format::Start>(instruction) ||
      std::holds_alternative<format::Await>(instruction))
    return invalidArgument("collectives need more than one rank, and this build runs one");
  return prepareLibraryOp(threads, instruction, operands);
}

Status CpuDevice::copyToDevice(std::byte *device, std::span<const std::byte> host) {
  if (!host.empty())
    std::memcpy(device, host.data(), host.size());
  return okStatus();
}

Status CpuDevice::copyToHost(std::span<std::byte> host, const std::byte *device) {
  if (!host.empty())
    std::memcpy(host.data(), device, host.size());
  return okStatus();
}

Status CpuDevice::fillBytes(std::byte *device, int64_t bytes, uint8_t value) {
  if (bytes > 0)
    std::memset(device, value, static_cast<size_t>(bytes));
  return okStatus();
}

void CpuDevice::hostParallelFor(int64_t blocks,
                                FunctionRef<void(int64_t begin, int64_t end)> body) {
  threads.parallelFor(blocks, [&](int64_t begin, int64_t end, int) { body(begin, end); });
}

} // namespace titan::cpu
