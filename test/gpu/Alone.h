// One instruction on a device, measured by the host's clock.
#pragma once

#include "runtime/device/Device.h"
#include "test/gpu/RandomNumbers.h"

#include <algorithm>
#include <chrono>
#include <span>
#include <vector>

namespace titan::gpu {

using Clock = std::chrono::steady_clock;

inline double secondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// An instruction on buffers of its own.
class Alone {
public:
  Alone(Device &device) : device(device) { program.target = "cuda"; }

  /// On zeros.
  Status prepare(const format::Instruction &instruction, std::vector<format::View> given) {
    views = std::move(given);
    std::vector<Operand> operands;
    for (const format::View &view : views) {
      TITAN_ASSIGN_OR_RETURN(
          memory.emplace_back(),
          device.allocate(format::Space::device, view.numElements() * byteSize(view.type)));
      operands.push_back({memory.back()->data(), &view});
    }
    TITAN_ASSIGN_OR_RETURN(kernels, device.loadKernels(program));
    TITAN_ASSIGN_OR_RETURN(queue, device.createQueue(QueueKind::compute, 0));
    TITAN_ASSIGN_OR_RETURN(plan, device.prepare(instruction, operands, program, *kernels));
    TITAN_ASSIGN_OR_RETURN(workspace,
                           device.allocate(format::Space::device, plan->workspaceBytes()));
    if (plan->workspaceBytes() > 0)
      plan->setWorkspace({workspace->data(), static_cast<size_t>(plan->workspaceBytes())});
    return okStatus();
  }

  /// The shortest of some rounds, per run.
  StatusOr<double> time(int repeats) {
    double least = 1e30;
    for (int round = 0; round < 5; ++round) {
      TITAN_RETURN_IF_ERROR(queue->synchronize());
      const auto begin = Clock::now();
      for (int i = 0; i < repeats; ++i)
        TITAN_RETURN_IF_ERROR(queue->submit(*plan));
      TITAN_RETURN_IF_ERROR(queue->synchronize());
      least = std::min(least, secondsSince(begin) / repeats);
    }
    return least;
  }

  Status write(size_t buffer, std::span<const std::byte> bytes) {
    return device.copyToDevice(memory[buffer]->data(), bytes);
  }

  /// Fills a dense buffer of bfloat16 with numbers between -1 and 1, the same for the same seed.
  Status fillRandom(size_t buffer, uint64_t seed) {
    std::vector<uint16_t> numbers(static_cast<size_t>(views[buffer].numElements()));
    for (size_t i = 0; i < numbers.size(); ++i)
      numbers[i] = toBFloat16(2 * unitOf(randomBits(seed, i)) - 1);
    return write(buffer, std::as_bytes(std::span(numbers)));
  }

  /// Fills a buffer with NaN, so that what is not written shows.
  Status poison(size_t buffer) {
    return write(buffer, std::vector<std::byte>(static_cast<size_t>(memory[buffer]->size()),
                                                std::byte{0xff}));
  }

  Status run() {
    TITAN_RETURN_IF_ERROR(queue->submit(*plan));
    return queue->synchronize();
  }

  StatusOr<std::vector<std::byte>> read(size_t buffer) const {
    std::vector<std::byte> bytes(static_cast<size_t>(memory[buffer]->size()));
    TITAN_RETURN_IF_ERROR(device.copyToHost(bytes, memory[buffer]->data()));
    return bytes;
  }

private:
  Device &device;
  format::Program program;
  std::vector<format::View> views;
  std::vector<std::unique_ptr<DeviceMemory>> memory;
  std::unique_ptr<DeviceMemory> workspace;
  std::unique_ptr<KernelTable> kernels;
  std::unique_ptr<Queue> queue;
  std::unique_ptr<Plan> plan;
};

/// What attention multiplies: queries by keys they see, for each of `products` products.
template <typename Op>
double attentionFlops(const Op &op, const format::View &q, const format::View &k, int products) {
  const double pairs =
      static_cast<double>(q.shape[1]) * static_cast<double>(k.shape[1]) * (op.causal ? 0.5 : 1);
  return 2.0 * products * pairs * static_cast<double>(q.shape[0] * q.shape[2] * q.shape[3]);
}

} // namespace titan::gpu
