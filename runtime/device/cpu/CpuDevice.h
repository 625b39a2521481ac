// The CPU as a device: one thread pool, memory that the host sees, plans that call the kernels of
// this folder and the machine code of the program.
#pragma once

#include "runtime/device/Device.h"
#include "runtime/device/cpu/CpuFeatures.h"
#include "runtime/device/cpu/ThreadPool.h"

namespace titan::cpu {

class CpuDevice final : public Device {
public:
  /// `threads` workers; 0 means one per core that the process may use.
  explicit CpuDevice(int threads);

  std::string describe() const override;
  int64_t memoryCapacity() const override;
  int64_t memoryUsed() const override;
  StatusOr<std::unique_ptr<Queue>> createQueue(QueueKind kind, int priority) override;
  StatusOr<std::unique_ptr<Event>> createEvent() override;
  StatusOr<std::unique_ptr<DeviceMemory>> allocate(format::Space space, int64_t bytes) override;
  StatusOr<std::unique_ptr<KernelTable>> loadKernels(const format::Program &program) override;
  StatusOr<std::unique_ptr<Plan>> prepare(const format::Instruction &instruction,
                                          std::span<const Operand> operands,
                                          const format::Program &program,
                                          KernelTable &kernels) override;
  Status copyToDevice(std::byte *device, std::span<const std::byte> host) override;
  Status copyToHost(std::span<std::byte> host, const std::byte *device) override;
  Status fillBytes(std::byte *device, int64_t bytes, uint8_t value) override;
  void hostParallelFor(int64_t blocks, FunctionRef<void(int64_t begin, int64_t end)> body) override;

  int hostThreads() const override { return threads.size(); }
  ThreadPool &pool() { return threads; }

private:
  ThreadPool threads;
  CpuFeatures features;
};

/// Cores that this process may run on.
int availableCores();

} // namespace titan::cpu
