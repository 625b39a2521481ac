// Each kernel of a program against the reference interpreter, whose numbers KernelNumbers writes on
// a machine that has it.
//
// A kernel runs on memory of its own, of its arguments' shapes. What it only writes, its workspace,
// and what lies between the elements of its arguments begins as NaN.
#include "test/gpu/GpuTools.h"
#include "test/gpu/RandomNumbers.h"
#include "test/unit/device/Numbers.h"

#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <set>
#include <sstream>

namespace titan::gpu {
namespace {

using format::Access;

/// Of a result's samples, relative to the largest magnitude among them: sums in another order,
/// approximate instructions, and one unit in the last place of bfloat16 (2^-7); with signs, sums
/// that cancel.
double toleranceOf(DType type, bool signs) {
  return type == DType::bf16 ? 1e-2 : signs ? 2e-4 : 2e-5;
}

/// The place of an element, by its number in row-major order, in elements.
int64_t offsetOf(const format::View &view, int64_t element) {
  int64_t offset = 0;
  for (int i = view.rank; i-- > 0; element /= view.shape[i])
    offset += element % view.shape[i] * view.strides[i];
  return offset;
}

double valueAt(const std::vector<std::byte> &data, const format::View &view, int64_t element) {
  return test::numberAt(data.data() + offsetOf(view, element) * byteSize(view.type), view.type);
}

void store(double value, DType type, std::byte *place) {
  const auto number = static_cast<float>(value);
  const uint32_t bits = type == DType::bf16  ? toBFloat16(number)
                        : type == DType::f32 ? std::bit_cast<uint32_t>(number)
                                             : static_cast<uint32_t>(static_cast<int32_t>(value));
  std::memcpy(place, &bits, static_cast<size_t>(byteSize(type)));
}

/// An argument of a kernel: an operand, a result that has memory of its own, or workspace.
struct Memory {
  std::vector<std::byte> before, after;
  std::unique_ptr<DeviceMemory> device;
};

/// The largest deviation of a result's samples, of their largest magnitude, or with `signs`, where
/// differences near zero may be divided by and roots be no numbers, the largest but for one in 100,
/// and of few samples but for up to four, one in 16. Infinite where only one is a number.
double deviationOf(const std::vector<double> &found, const std::vector<double> &expected,
                   bool signs) {
  double magnitude = 1e-30;
  std::vector<double> differences(found.size());
  for (size_t i = 0; i < found.size(); ++i) {
    const double a = found[i], b = expected[i];
    if (std::isfinite(b))
      magnitude = std::max(magnitude, std::abs(b));
    differences[i] = std::isfinite(a) && std::isfinite(b)                   ? std::abs(a - b)
                     : std::isnan(a) == std::isnan(b) && (a == b || a != a) ? 0
                                                                            : HUGE_VAL;
  }
  const size_t allowed =
      signs ? std::max(differences.size() / 100, std::min<size_t>(4, differences.size() / 16)) : 0;
  const auto worst = differences.end() - 1 - static_cast<ptrdiff_t>(allowed);
  std::nth_element(differences.begin(), worst, differences.end());
  return *worst / magnitude;
}

class KernelCheck {
public:
  KernelCheck(const format::Program &program, KernelTable &table, const Safetensors &numbers,
              Device &device, uint64_t seed)
      : program(program), table(table), numbers(numbers), device(device), seed(seed) {}

  /// Whether a kernel computes what it has to of numbers of that kind.
  StatusOr<bool> run(uint32_t kernel, bool signs) {
    const std::string &name = program.kernels[kernel].name;
    TITAN_RETURN_IF_ERROR(readTies(kernel).withContext("kernel '" + name + "'"));
    std::vector<Memory> memories(program.kernels[kernel].arguments.size());
    fill(kernel, memories, signs);
    TITAN_RETURN_IF_ERROR(launch(kernel, memories).withContext("kernel '" + name + "'"));
    std::vector<std::string> wrong;
    for (size_t i = 0; i < operands; ++i)
      if (program.kernels[kernel].arguments[i].access == Access::read &&
          memories[i].before != memories[i].after)
        wrong.push_back("operand " + std::to_string(i) + " was written");
    for (size_t i = 0; i < ties.size(); ++i) {
      const size_t place = ties[i] < 0 ? operands + i : static_cast<size_t>(ties[i]);
      TITAN_RETURN_IF_ERROR(compare(kernel, i, memories[place].after, signs, wrong)
                                .withContext("kernel '" + name + "', result " + std::to_string(i)));
    }
    for (const std::string &it : wrong)
      std::printf("WRONG: kernel '%s', %s numbers: %s\n", name.c_str(),
                  signs ? "signed" : "positive", it.c_str());
    return wrong.empty();
  }

  double worst = 0; ///< of the tolerance

private:
  /// Arguments are operands, then results, then workspace, which lies in bytes.
  Status readTies(uint32_t kernel) {
    const auto &arguments = program.kernels[kernel].arguments;
    const std::string name = program.kernels[kernel].name + "/ties";
    const int64_t any[] = {-1};
    TITAN_ASSIGN_OR_RETURN(const TensorView *tensor, numbers.get(name, DType::i32, any));
    ties.resize(static_cast<size_t>(tensor->shape[0]));
    std::memcpy(ties.data(), tensor->bytes.data(), tensor->bytes.size());
    size_t others = arguments.size();
    while (others > 0 && arguments[others - 1].view.type == DType::i8)
      --others;
    if (ties.size() > others)
      return differs();
    operands = others - ties.size();
    for (size_t i = 0; i < ties.size(); ++i) {
      const format::Argument &result = arguments[operands + i];
      if (ties[i] >= static_cast<int32_t>(operands) || result.access == Access::read ||
          (ties[i] >= 0 && arguments[static_cast<size_t>(ties[i])].view != result.view))
        return differs();
    }
    for (size_t i = 0; i < others; ++i)
      if (const DType type = arguments[i].view.type;
          type != DType::f32 && type != DType::bf16 && type != DType::i32)
        return invalidArgument("argument " + std::to_string(i) + " is of type " +
                               std::string(toString(type)) + ", which is not compared");
    return okStatus();
  }

  void fill(uint32_t kernel, std::vector<Memory> &memories, bool signs) {
    for (size_t i = 0; i < memories.size(); ++i) {
      const format::View &view = program.kernels[kernel].arguments[i].view;
      std::vector<std::byte> &bytes = memories[i].before;
      bytes.assign(static_cast<size_t>(view.span() * byteSize(view.type)), std::byte{0xff});
      if (i >= operands)
        continue;
      const RandomOperand random(seed, program.kernels[kernel].name, i, view.type, signs);
      constexpr int64_t kBlock = 1 << 16;
      device.hostParallelFor((view.numElements() + kBlock - 1) / kBlock, [&](int64_t begin,
                                                                             int64_t end) {
        end = std::min(end * kBlock, view.numElements());
        for (int64_t at = begin * kBlock; at < end; ++at)
          store(random.at(at), view.type, bytes.data() + offsetOf(view, at) * byteSize(view.type));
      });
    }
  }

  Status launch(uint32_t kernel, std::vector<Memory> &memories) {
    format::Launch launch{kernel, {}};
    std::vector<Operand> places;
    for (size_t i = 0; i < memories.size(); ++i) {
      Memory &it = memories[i];
      TITAN_ASSIGN_OR_RETURN(it.device, device.allocate(format::Space::device,
                                                        static_cast<int64_t>(it.before.size())));
      TITAN_RETURN_IF_ERROR(device.copyToDevice(it.device->data(), it.before));
      launch.buffers.push_back(static_cast<uint32_t>(i));
      places.push_back({it.device->data(), &program.kernels[kernel].arguments[i].view});
    }
    for (size_t i = 0; i < ties.size(); ++i)
      if (ties[i] >= 0)
        places[operands + i].data = places[static_cast<size_t>(ties[i])].data;
    TITAN_ASSIGN_OR_RETURN(const auto queue, device.createQueue(QueueKind::compute, 0));
    TITAN_ASSIGN_OR_RETURN(const auto plan, device.prepare(launch, places, program, table));
    TITAN_RETURN_IF_ERROR(queue->submit(*plan));
    TITAN_RETURN_IF_ERROR(queue->synchronize());
    for (Memory &it : memories) {
      it.after.resize(it.before.size());
      TITAN_RETURN_IF_ERROR(device.copyToHost(it.after, it.device->data()));
    }
    return okStatus();
  }

  Status compare(uint32_t kernel, size_t result, const std::vector<std::byte> &data, bool signs,
                 std::vector<std::string> &wrong) {
    const format::View &view = program.kernels[kernel].arguments[operands + result].view;
    const Samples samples(seed, view.numElements(), ties.size());
    const int64_t shape[] = {samples.count()};
    TITAN_ASSIGN_OR_RETURN(
        const TensorView *tensor,
        numbers.get(samplesName(program.kernels[kernel].name, result, signs), DType::f32, shape));
    std::vector<double> found, expected;
    for (int64_t i = 0; i < samples.count(); ++i) {
      float value = 0;
      std::memcpy(&value, tensor->bytes.data() + static_cast<size_t>(i) * sizeof(value),
                  sizeof(value));
      expected.push_back(static_cast<double>(value));
      found.push_back(valueAt(data, view, samples.at(i)));
    }
    // Of numbers above zero, every element is a number, also between the samples.
    std::atomic<int64_t> unwritten{0};
    if (!signs)
      device.hostParallelFor(view.numElements(), [&](int64_t begin, int64_t end) {
        int64_t here = 0;
        for (int64_t i = begin; i < end; ++i)
          here += !std::isfinite(valueAt(data, view, i));
        unwritten += here;
      });
    const double deviation = deviationOf(found, expected, signs),
                 tolerance = toleranceOf(view.type, signs);
    worst = std::max(worst, deviation / tolerance);
    char text[200];
    std::snprintf(
        text, sizeof(text),
        "result %zu (%s, %lld elements) deviates by %.2e, at most %.2e; %lld elements are "
        "no numbers",
        result, std::string(toString(view.type)).c_str(),
        static_cast<long long>(view.numElements()), deviation, tolerance,
        static_cast<long long>(unwritten.load()));
    if (!(deviation <= tolerance) || unwritten > 0)
      wrong.emplace_back(text);
    return okStatus();
  }

  static Status differs() { return invalidArgument("the numbers are of another program"); }

  const format::Program &program;
  KernelTable &table;
  const Safetensors &numbers;
  Device &device;
  const uint64_t seed;
  size_t operands = 0;       ///< of the kernel at hand
  std::vector<int32_t> ties; ///< of its results
};

} // namespace

StatusOr<bool> checkKernels(const format::Program &program, const Safetensors &numbers,
                            Device &device) {
  const auto seed = numbers.metadata().find("seed"), left = numbers.metadata().find("left");
  if (seed == numbers.metadata().end() || left == numbers.metadata().end())
    return invalidArgument(numbers.name() + ": is no file of KernelNumbers");
  std::istringstream names(left->second);
  const std::set<std::string> tooLarge{std::istream_iterator<std::string>(names), {}};
  TITAN_ASSIGN_OR_RETURN(const auto table, device.loadKernels(program));
  KernelCheck check(program, *table, numbers, device,
                    std::strtoull(seed->second.c_str(), nullptr, 10));
  int right = 0, wrong = 0;
  for (uint32_t kernel = 0; kernel < program.kernels.size(); ++kernel) {
    if (tooLarge.contains(program.kernels[kernel].name))
      continue;
    bool isRight = true;
    for (const bool signs : kSigns) {
      TITAN_ASSIGN_OR_RETURN(const bool same, check.run(kernel, signs));
      isRight &= same;
    }
    ++(isRight ? right : wrong);
  }
  std::printf("kernels: %d right, %d wrong, %zu too large; worst deviation %.2f of its tolerance; "
              "seed %s\n",
              right, wrong, tooLarge.size(), check.worst, seed->second.c_str());
  return wrong == 0 && right > 0;
}

} // namespace titan::gpu
