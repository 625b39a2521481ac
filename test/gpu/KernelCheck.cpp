// Each kernel of a program for GPUs against the same kernel of the program for CPUs, whose machine
// code is tested against the reference interpreter.
//
// The programs are of one job: their instructions are the same, one for one, but that a launch on a
// GPU may be a batch of the next launches on CPUs, and compute all that they compute. A kernel runs
// on the shapes of the first instruction that launches it, twice: on numbers from 0 to 1, of which
// all functions are finite, and on numbers from -1 to 1. What it only writes, and its workspace,
// begins as NaN.
#include "runtime/device/cpu/CpuDevice.h"
#include "runtime/exec/Liveness.h"
#include "test/gpu/GpuTools.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <set>

namespace titan::gpu {
namespace {

using format::Access;
using format::kNone;

/// Of what one launch touches at most; larger ones differ from others in size alone.
constexpr int64_t kMostBytes = int64_t{1} << 31;
/// Labels and coordinates.
constexpr uint64_t kIntegers = 5;

/// Deviations, of the largest magnitude of a buffer: sums in another order, approximate
/// instructions, and one unit in the last place of bfloat16; with signs, sums that cancel.
double toleranceOf(DType type, bool signs) { return type == DType::f32 && !signs ? 5e-5 : 1e-2; }

/// What a launch has at one place; operands that are the same memory share one.
struct Memory {
  const format::View *view = nullptr;
  bool isRead = false, isWritten = false, isScratch = false;
  std::vector<std::byte> content; ///< before the kernel

  int64_t bytes() const { return view->span() * byteSize(view->type); }
};

using Launches = std::vector<const format::Launch *>;

/// The places of some launches: those of all operands, then of all results, as a batch has them,
/// then workspaces; and for each launch which of its buffers has which.
struct Layout {
  std::vector<Memory> memories;
  std::vector<std::vector<size_t>> ofBuffers;
};

size_t countResults(const format::Program &program, const format::Launch &launch) {
  const std::vector<Touch> touches = touchesOf(program, format::Instruction(launch));
  return static_cast<size_t>(std::count_if(touches.begin(), touches.end(), [](const Touch &touch) {
    return touch.access == Access::write;
  }));
}

Layout layoutOf(const format::Program &program, const format::Function &function,
                const Launches &launches) {
  Layout layout;
  layout.ofBuffers.resize(launches.size());
  // Partial results of blocks are of one launch; all else may be of several.
  std::map<std::tuple<uint32_t, uint32_t, int64_t, size_t>, size_t> places;
  auto add = [&](size_t number, size_t i, Access access) {
    const format::Buffer &buffer = function.buffers[launches[number]->buffers[i]];
    const format::Place &place = buffer.place;
    // They lie in bytes; the devices have different numbers of them.
    const bool isScratch = buffer.view.type == DType::i8;
    const auto [found, isNew] = places.try_emplace(
        {place.segment, place.residualClass, place.offset, isScratch ? number + 1 : 0},
        layout.memories.size());
    if (isNew)
      layout.memories.emplace_back().view = &buffer.view;
    Memory &memory = layout.memories[found->second];
    if (buffer.view.span() > memory.view->span())
      memory.view = &buffer.view;
    memory.isScratch |= isScratch;
    memory.isRead |= access != Access::write && !isScratch;
    memory.isWritten |= access != Access::read;
    layout.ofBuffers[number][i] = found->second;
  };
  for (const int round : {0, 1, 2})
    for (size_t number = 0; number < launches.size(); ++number) {
      const format::Launch &launch = *launches[number];
      const std::vector<Touch> touches = touchesOf(program, format::Instruction(launch));
      layout.ofBuffers[number].resize(launch.buffers.size());
      for (size_t i = 0; i < launch.buffers.size(); ++i) {
        const bool isScratch = function.buffers[launch.buffers[i]].view.type == DType::i8;
        if (round == (isScratch ? 2 : touches[i].access == Access::write ? 1 : 0))
          add(number, i, touches[i].access);
      }
    }
  return layout;
}

void fill(Memory &memory, uint64_t seed, bool signs) {
  memory.content.assign(static_cast<size_t>(memory.bytes()), std::byte{0xff});
  if (!memory.isRead)
    return;
  const int64_t element = byteSize(memory.view->type);
  for (int64_t i = 0; i < memory.view->span(); ++i) {
    const uint64_t hash = randomBits(seed, static_cast<uint64_t>(i));
    const float number = signs ? 2 * unitOf(hash) - 1 : unitOf(hash);
    uint64_t bits = std::bit_cast<uint32_t>(number);
    if (memory.view->type == DType::bf16)
      bits = toBFloat16(number);
    else if (memory.view->type != DType::f32)
      bits = hash % kIntegers;
    std::memcpy(memory.content.data() + i * element, &bits, static_cast<size_t>(element));
  }
}

StatusOr<std::vector<std::vector<std::byte>>> runOn(Device &device, const format::Program &program,
                                                    KernelTable &kernels, const Layout &layout,
                                                    const Launches &launches) {
  std::vector<std::unique_ptr<DeviceMemory>> memory;
  for (const Memory &it : layout.memories) {
    TITAN_ASSIGN_OR_RETURN(memory.emplace_back(),
                           device.allocate(format::Space::device, it.bytes()));
    TITAN_RETURN_IF_ERROR(device.copyToDevice(memory.back()->data(), it.content));
  }
  TITAN_ASSIGN_OR_RETURN(const std::unique_ptr<Queue> queue,
                         device.createQueue(QueueKind::compute, 0));
  for (size_t number = 0; number < launches.size(); ++number) {
    format::Launch launch = *launches[number];
    std::vector<Operand> operands;
    for (size_t i = 0; i < launch.buffers.size(); ++i) {
      const size_t place = layout.ofBuffers[number][i];
      operands.push_back({memory[place]->data(), layout.memories[place].view});
      launch.buffers[i] = static_cast<uint32_t>(i);
    }
    TITAN_ASSIGN_OR_RETURN(const std::unique_ptr<Plan> plan,
                           device.prepare(launch, operands, program, kernels));
    TITAN_RETURN_IF_ERROR(queue->submit(*plan));
    TITAN_RETURN_IF_ERROR(queue->synchronize());
  }
  std::vector<std::vector<std::byte>> after;
  for (const auto &it : memory) {
    after.emplace_back(static_cast<size_t>(it->size()));
    TITAN_RETURN_IF_ERROR(device.copyToHost(after.back(), it->data()));
  }
  return after;
}

double valueAt(const std::byte *data, DType type, int64_t index) {
  uint64_t bits = 0;
  const int64_t element = byteSize(type);
  std::memcpy(&bits, data + index * element, static_cast<size_t>(element));
  if (type == DType::f32)
    return static_cast<double>(std::bit_cast<float>(static_cast<uint32_t>(bits)));
  if (type == DType::bf16)
    return static_cast<double>(fromBFloat16(static_cast<uint16_t>(bits)));
  return static_cast<double>(bits);
}

/// The deviations of a buffer's elements, of its largest magnitude: the largest, or with `signs`,
/// where differences near zero may be divided by and roots be no numbers, the largest of 99 in 100.
/// Infinite where only one is a number, or nothing is though it has to be.
double deviationOf(const std::byte *found, const std::byte *expected, const format::View &view,
                   bool signs) {
  double magnitude = 1e-30;
  bool hasNumbers = signs;
  std::vector<double> differences(static_cast<size_t>(view.span()));
  for (int64_t i = 0; i < view.span(); ++i) {
    const double a = valueAt(found, view.type, i), b = valueAt(expected, view.type, i);
    double &difference = differences[static_cast<size_t>(i)];
    if (std::isfinite(a) && std::isfinite(b)) {
      difference = std::abs(a - b);
      magnitude = std::max(magnitude, std::abs(b));
      hasNumbers = true;
    } else if (std::isnan(a) != std::isnan(b) || (std::isinf(b) && a != b)) {
      difference = HUGE_VAL;
    }
  }
  if (!hasNumbers)
    return HUGE_VAL;
  if (!signs)
    return *std::max_element(differences.begin(), differences.end()) / magnitude;
  const auto worst = differences.end() - 1 - static_cast<ptrdiff_t>(differences.size()) / 100;
  std::nth_element(differences.begin(), worst, differences.end());
  return *worst / magnitude;
}

/// One kernel on both devices.
class KernelCheck {
public:
  KernelCheck(const format::Program &cpuProgram, const format::Program &gpuProgram,
              Device &cpuDevice, Device &gpuDevice, KernelTable &cpuKernels,
              KernelTable &gpuKernels, uint64_t seed)
      : cpuProgram(cpuProgram), gpuProgram(gpuProgram), cpuDevice(cpuDevice), gpuDevice(gpuDevice),
        cpuKernels(cpuKernels), gpuKernels(gpuKernels), seed(seed) {}

  /// Whether the kernel of a launch computes what launches on the CPU compute, of numbers of that
  /// kind.
  StatusOr<bool> run(size_t function, size_t instruction, const Launches &cpuLaunches, bool signs) {
    const auto &onCpu = cpuProgram.functions[function], &onGpu = gpuProgram.functions[function];
    const auto &gpuLaunch = std::get<format::Launch>(onGpu.instructions[instruction]);
    Layout cpu = layoutOf(cpuProgram, onCpu, cpuLaunches);
    Layout gpu = layoutOf(gpuProgram, onGpu, {&gpuLaunch});
    const std::string &name = gpuProgram.kernels[gpuLaunch.kernel].name;
    if (withoutScratch(cpu) != withoutScratch(gpu))
      return invalidArgument("kernel '" + name + "' has other operands in the program for CPUs");
    int64_t bytes = 0;
    for (size_t i = 0; i < gpu.memories.size(); ++i) {
      bytes += gpu.memories[i].bytes();
      if (bytes > kMostBytes) {
        ++left;
        return true;
      }
      fill(gpu.memories[i], randomBits(seed, i + 100 * function + 10000 * instruction + signs),
           signs);
    }
    for (size_t i = 0; i < cpu.memories.size(); ++i) {
      if (cpu.memories[i].isScratch)
        fill(cpu.memories[i], 0, false);
      else
        cpu.memories[i].content = gpu.memories[i].content;
    }
    TITAN_ASSIGN_OR_RETURN(const auto expected,
                           runOn(cpuDevice, cpuProgram, cpuKernels, cpu, cpuLaunches));
    TITAN_ASSIGN_OR_RETURN(const auto found,
                           runOn(gpuDevice, gpuProgram, gpuKernels, gpu, {&gpuLaunch}));
    bool isRight = true;
    for (size_t i = 0; i < gpu.memories.size(); ++i) {
      const Memory &memory = gpu.memories[i];
      if (memory.isScratch || !memory.isWritten)
        continue;
      const double deviation =
          deviationOf(found[i].data(), expected[i].data(), *memory.view, signs);
      const double tolerance = toleranceOf(memory.view->type, signs);
      worst = std::max(worst, deviation / tolerance);
      if (deviation <= tolerance)
        continue;
      isRight = false;
      std::printf("WRONG: kernel '%s' of function '%s', instruction %zu, place %zu (%s, %lld "
                  "elements): %.2e, at most %.2e\n",
                  name.c_str(), onGpu.name.c_str(), instruction, i,
                  std::string(toString(memory.view->type)).c_str(),
                  static_cast<long long>(memory.view->numElements()), deviation, tolerance);
    }
    return isRight;
  }

  double worst = 0; ///< of the tolerance
  int left = 0;     ///< too large

private:
  static std::vector<std::pair<DType, int64_t>> withoutScratch(const Layout &layout) {
    std::vector<std::pair<DType, int64_t>> list;
    for (const Memory &it : layout.memories)
      if (!it.isScratch)
        list.emplace_back(it.view->type, it.view->span());
    return list;
  }

  const format::Program &cpuProgram, &gpuProgram;
  Device &cpuDevice, &gpuDevice;
  KernelTable &cpuKernels, &gpuKernels;
  const uint64_t seed;
};

/// The next launches that have so many results together, or past one other instruction where that
/// is none; moves `next` behind them.
StatusOr<Launches> takeLaunches(const format::Program &program,
                                std::span<const format::Instruction> instructions, size_t &next,
                                size_t results) {
  Launches launches;
  size_t found = 0;
  do {
    const auto *launch =
        next < instructions.size() ? std::get_if<format::Launch>(&instructions[next]) : nullptr;
    if (next >= instructions.size() || (launch != nullptr) != (results > 0))
      return invalidArgument("the programs are of different jobs");
    ++next;
    if (launch) {
      launches.push_back(launch);
      found += countResults(program, *launch);
    }
  } while (found < results);
  return launches;
}

} // namespace

StatusOr<bool> checkKernels(const format::Program &cpuProgram, const format::Program &gpuProgram,
                            Device &gpuDevice, uint64_t seed) {
  cpu::CpuDevice cpuDevice(0);
  TITAN_ASSIGN_OR_RETURN(const auto cpuKernels, cpuDevice.loadKernels(cpuProgram));
  TITAN_ASSIGN_OR_RETURN(const auto gpuKernels, gpuDevice.loadKernels(gpuProgram));
  if (cpuProgram.functions.size() != gpuProgram.functions.size())
    return invalidArgument("the programs are of different jobs");
  KernelCheck check(cpuProgram, gpuProgram, cpuDevice, gpuDevice, *cpuKernels, *gpuKernels, seed);
  std::set<uint32_t> seen;
  int wrong = 0;
  for (size_t f = 0; f < gpuProgram.functions.size(); ++f) {
    const auto &instructions = gpuProgram.functions[f].instructions;
    const auto &others = cpuProgram.functions[f].instructions;
    size_t next = 0; // of `others`
    for (size_t i = 0; i < instructions.size(); ++i) {
      const auto *launch = std::get_if<format::Launch>(&instructions[i]);
      TITAN_ASSIGN_OR_RETURN(
          const Launches same,
          takeLaunches(cpuProgram, others, next, launch ? countResults(gpuProgram, *launch) : 0));
      if (!launch || !seen.insert(launch->kernel).second)
        continue;
      for (const bool signs : {false, true}) {
        TITAN_ASSIGN_OR_RETURN(const bool isRight, check.run(f, i, same, signs));
        wrong += !isRight;
      }
    }
  }
  std::printf(
      "kernels: %zu, %d wrong, %d too large; worst deviation %.2f of its tolerance; seed %llu\n",
      seen.size(), wrong, check.left / 2, check.worst, static_cast<unsigned long long>(seed));
  return wrong == 0;
}

} // namespace titan::gpu
