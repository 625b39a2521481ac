// A device: memory, queues, and instructions prepared once and run many times.
//
// Everything that can fail or allocate happens when a program is loaded: memory is allocated,
// images are loaded, instructions are prepared for the very addresses they will use. A step then
// only submits prepared instructions to queues.
#pragma once

#include "runtime/base/FunctionRef.h"
#include "runtime/base/Status.h"
#include "runtime/format/Program.h"

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace titan {

/// Memory of a device, zeroed, aligned to 64 bytes; released with the object.
class DeviceMemory {
public:
  virtual ~DeviceMemory() = default;

  std::byte *data() const { return address; }
  int64_t size() const { return bytes; }

protected:
  DeviceMemory(std::byte *address, int64_t bytes) : address(address), bytes(bytes) {}

  std::byte *address;
  int64_t bytes;
};

/// A buffer of a function at its address.
struct Operand {
  std::byte *data = nullptr;
  const format::View *view = nullptr;
};

/// An instruction that is ready to run on fixed addresses.
class Plan {
public:
  virtual ~Plan() = default;

  /// Bytes of workspace that it needs while it runs, beyond what the program planned for it.
  virtual int64_t workspaceBytes() const { return 0; }
  /// Gives it that workspace, aligned to 64, which plans of one queue share. Called once, before
  /// the first submit.
  virtual void setWorkspace(std::span<std::byte> workspace) {}
};

/// Work done in order. On a CPU the calling thread does it, and it is done on return.
class Queue {
public:
  virtual ~Queue() = default;

  /// Runs a plan of the queue's device after everything submitted before. Allocates nothing.
  virtual Status submit(Plan &plan) = 0;
  /// Returns when everything submitted is done, with the first failure.
  virtual Status synchronize() = 0;
};

/// A point in a queue that other queues, or the host, can wait for.
class Event {
public:
  virtual ~Event() = default;

  virtual Status record(Queue &queue) = 0;
  /// Work submitted to `queue` from now on waits for the recorded point.
  virtual Status wait(Queue &queue) = 0;
  /// Whether the recorded point has been reached.
  virtual StatusOr<bool> poll() = 0;
};

/// The kernels of a program, loaded from its images.
class KernelTable {
public:
  virtual ~KernelTable() = default;
};

enum class QueueKind { compute, copy, communication };

class Device {
public:
  virtual ~Device() = default;

  /// For messages, such as "cpu, 2 threads, avx2 (AMD EPYC-Milan Processor)".
  virtual std::string describe() const = 0;
  /// Bytes of memory that the device has in all, and how many the process has taken: at most so far
  /// on a CPU, now on a GPU.
  virtual int64_t memoryCapacity() const = 0;
  virtual int64_t memoryUsed() const = 0;

  virtual StatusOr<std::unique_ptr<Queue>> createQueue(QueueKind kind, int priority) = 0;
  virtual StatusOr<std::unique_ptr<Event>> createEvent() = 0;

  /// Only while a program is loaded. Fails (unavailable) when there is not so much.
  virtual StatusOr<std::unique_ptr<DeviceMemory>> allocate(format::Space space, int64_t bytes) = 0;

  /// Loads what `program.kernels` name. Fails when the program is for another target, the processor
  /// lacks a feature of an image (named in the message), or an image lacks a symbol.
  virtual StatusOr<std::unique_ptr<KernelTable>> loadKernels(const format::Program &program) = 0;

  /// Prepares an instruction; `operands` are all buffers of its function. Fails (invalid argument)
  /// when the device has no implementation for the element types.
  virtual StatusOr<std::unique_ptr<Plan>> prepare(const format::Instruction &instruction,
                                                  std::span<const Operand> operands,
                                                  const format::Program &program,
                                                  KernelTable &kernels) = 0;

  /// Prepared plans of the compute queue as one plan that does the same in one submit, or null
  /// where that gains nothing. The plans have their workspaces, and outlive it. A failure that
  /// shows later says that it was in `name`.
  virtual StatusOr<std::unique_ptr<Plan>> combine(std::span<Plan *const> plans,
                                                  const std::string &name) {
    return std::unique_ptr<Plan>();
  }

  /// What the calling thread submits until endRange() stands under `name` on a profiler's timeline;
  /// ranges nest.
  virtual void beginRange(const char *name) {}
  virtual void endRange() {}

  /// Copies between host memory and the device's, after all work submitted to compute queues before
  /// and before all that comes later. On return the host's memory is free, or filled; a failure of
  /// earlier work may show here.
  virtual Status copyToDevice(std::byte *device, std::span<const std::byte> host) = 0;
  virtual Status copyToHost(std::span<std::byte> host, const std::byte *device) = 0;
  /// Sets every byte, in the same order.
  virtual Status fillBytes(std::byte *device, int64_t bytes, uint8_t value) = 0;

  /// Calls body(begin, end) on ranges of [0, blocks), on the host's threads that serve the device.
  virtual void hostParallelFor(int64_t blocks,
                               FunctionRef<void(int64_t begin, int64_t end)> body) = 0;
  /// Their number.
  virtual int hostThreads() const = 0;
};

} // namespace titan
