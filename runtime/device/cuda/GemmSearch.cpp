#include "runtime/device/cuda/GemmSearch.h"

#include "runtime/base/File.h"
#include "runtime/base/Hash.h"
#include "runtime/device/cuda/CudaDevice.h"
#include "runtime/device/cuda/CudaMemory.h"

#include <algorithm>
#include <charconv>
#include <limits>

namespace titan::cuda {
namespace {

/// What cuBLAS recommends for Hopper; the plans of a device share it.
constexpr int64_t kMaxWorkspace = int64_t{32} << 20;
/// How many of the heuristic's algorithms are tried.
constexpr int kCandidates = 16;
/// A measurement repeats a product for about so long, and at most so often.
constexpr float kMilliseconds = 1;
constexpr int kMostRepeats = 20;
/// An algorithm that takes so much longer than the best the first time is not measured.
constexpr float kHopeless = 1.5f;
constexpr std::string_view kHeader = "titan-gemm 1";
/// How long a rank waits for the one that searches.
constexpr std::chrono::minutes kSearchTime(10);

std::string hex(uint64_t number) {
  char text[17] = {};
  std::to_chars(text, text + 16, number, 16);
  return text;
}

/// The rest of a line that begins with `word`, and moves behind the line.
std::optional<std::string_view> takeLine(std::string_view &text, std::string_view word) {
  const size_t end = text.find('\n');
  if (end == std::string_view::npos || !text.starts_with(word))
    return std::nullopt;
  const std::string_view rest = text.substr(word.size(), end - word.size());
  text.remove_prefix(end + 1);
  return rest;
}

bool takeNumber(std::string_view &text, uint64_t &number) {
  while (text.starts_with(' '))
    text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, 16);
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return error == std::errc();
}

int64_t elementBytes(const LtProblem::Matrix &matrix) { return matrix.type == kLtFloat32 ? 4 : 2; }

/// Of memory, from the first element to the last.
int64_t elementsOf(const LtProblem::Matrix &matrix, int64_t batch) {
  return (batch - 1) * matrix.batchStride + (matrix.columns - 1) * matrix.leading + matrix.rows;
}

/// Events that measure, ended with it.
class Stopwatch {
public:
  explicit Stopwatch(const Driver &driver) : driver(driver) {}
  ~Stopwatch() {
    for (EventHandle event : {begin, end})
      if (event)
        driver.cuEventDestroy(event);
  }

  /// How long `repeats` products take, in milliseconds.
  StatusOr<float> time(const LtPlan &plan, const GemmOperands &operands, std::byte *workspace,
                       Stream stream, int repeats) {
    if (!begin) {
      TITAN_CUDA_CHECK(driver, cuEventCreate(&begin, 0));
      TITAN_CUDA_CHECK(driver, cuEventCreate(&end, 0));
    }
    TITAN_CUDA_CHECK(driver, cuEventRecord(begin, stream));
    for (int i = 0; i < repeats; ++i)
      TITAN_RETURN_IF_ERROR(
          plan.enqueue(operands.first, operands.second, operands.result, workspace, stream));
    TITAN_CUDA_CHECK(driver, cuEventRecord(end, stream));
    TITAN_CUDA_CHECK(driver, cuEventSynchronize(end));
    float milliseconds = 0;
    TITAN_CUDA_CHECK(driver, cuEventElapsedTime(&milliseconds, begin, end));
    return milliseconds / static_cast<float>(repeats);
  }

private:
  const Driver &driver;
  EventHandle begin = nullptr, end = nullptr;
};

} // namespace

//===----------------------------------------------------------------------===//
// Files
//===----------------------------------------------------------------------===//

std::string writeGemmChoice(const std::string &key, const LtChoice &choice) {
  std::string text = std::string(kHeader) + "\nkey " + key + "\nalgorithm";
  for (const uint64_t word : choice.algorithm.data)
    text += " " + hex(word);
  text += "\n";
  return text + "checksum " + hex(hash64(text)) + "\n";
}

std::optional<LtChoice> readGemmChoice(std::string_view text, const std::string &key) {
  const std::string_view all = text;
  LtChoice choice{};
  if (!takeLine(text, kHeader) || takeLine(text, "key ") != key)
    return std::nullopt;
  auto words = takeLine(text, "algorithm");
  if (!words)
    return std::nullopt;
  for (uint64_t &word : choice.algorithm.data)
    if (!takeNumber(*words, word))
      return std::nullopt;
  const uint64_t checksum = hash64(all.substr(0, all.size() - text.size()));
  auto written = takeLine(text, "checksum ");
  uint64_t number = 0;
  if (!written || !takeNumber(*written, number) || number != checksum || !text.empty())
    return std::nullopt;
  return choice;
}

std::string GemmSearch::keyOf(const LtProblem &problem) const {
  std::string key = device.deviceName() + ", cuBLASLt " + device.blas().describeVersion();
  for (const LtProblem::Matrix *it : {&problem.first, &problem.second, &problem.result})
    key += ", " + std::string(it->type == kLtFloat32 ? "f32 " : "bf16 ") +
           std::to_string(it->rows) + "x" + std::to_string(it->columns) + " by " +
           std::to_string(it->leading) + " and " + std::to_string(it->batchStride) + " at " +
           std::to_string(it->alignment);
  key += std::string(problem.transposeFirst ? ", T" : ", N") +
         (problem.transposeSecond ? "T" : "N") + ", batch " + std::to_string(problem.batch);
  return key + (problem.accumulate ? ", added" : "");
}

std::filesystem::path GemmSearch::fileOf(const std::string &key) const {
  return device.settings().gemmFolder / (hex(hash64(key)) + ".txt");
}

void GemmSearch::note(const std::string &text) const {
  if (device.settings().note)
    device.settings().note(text);
}

//===----------------------------------------------------------------------===//
// The search
//===----------------------------------------------------------------------===//

StatusOr<std::unique_ptr<LtPlan>> GemmSearch::plan(const LtProblem &problem,
                                                   const GemmOperands &operands) {
  const BlasLt &blas = device.blas();
  if (!device.settings().searchesGemms) {
    TITAN_ASSIGN_OR_RETURN(const std::vector<LtChoice> choices,
                           blas.choices(problem, kMaxWorkspace, 1));
    return blas.plan(problem, choices.front(), kMaxWorkspace);
  }
  const std::string key = keyOf(problem);
  auto found = known.find(key);
  if (found == known.end()) {
    TITAN_ASSIGN_OR_RETURN(const LtChoice choice, find(problem, operands, key));
    found = known.emplace(key, choice).first;
  }
  return blas.plan(problem, found->second, kMaxWorkspace);
}

/// The first rank that comes to a problem searches, and tells the others.
StatusOr<LtChoice> GemmSearch::find(const LtProblem &problem, const GemmOperands &operands,
                                    const std::string &key) {
  const KeyValueStore &store = device.settings().store;
  if (store.size == 1)
    return readOrMeasure(problem, operands, key);
  const std::string name = "titan/gemm/" + hex(hash64(key));
  TITAN_ASSIGN_OR_RETURN(const int64_t arrived, store.add(name + "/searchers", 1));
  if (arrived == 1) {
    TITAN_ASSIGN_OR_RETURN(const LtChoice choice, readOrMeasure(problem, operands, key));
    TITAN_RETURN_IF_ERROR(store.set(name, writeGemmChoice(key, choice)));
    return choice;
  }
  TITAN_ASSIGN_OR_RETURN(const std::string text, store.get(name, kSearchTime));
  if (const auto choice = readGemmChoice(text, key))
    return *choice;
  return internalError("another rank found an algorithm for another matrix product");
}

StatusOr<LtChoice> GemmSearch::readOrMeasure(const LtProblem &problem, const GemmOperands &operands,
                                             const std::string &key) {
  const bool isKept = !device.settings().gemmFolder.empty();
  std::error_code error;
  if (const auto file = fileOf(key); isKept && std::filesystem::exists(file, error)) {
    const auto text = readFile(file);
    const auto choice = text.ok() ? readGemmChoice(*text, key) : std::nullopt;
    if (choice && device.blas().plan(problem, *choice, kMaxWorkspace).ok())
      return *choice;
    note(file.string() + " is damaged or not of this library, and is ignored");
  }
  if (measured++ == 0)
    note("matrix products: the fastest algorithm for each shape is searched" +
         (isKept ? ", and kept in " + device.settings().gemmFolder.string() : std::string()));
  TITAN_ASSIGN_OR_RETURN(const LtChoice choice, measure(problem, operands));
  if (isKept)
    if (const Status status = writeFileAtomically(fileOf(key), writeGemmChoice(key, choice));
        !status.ok() && measured == 1)
      note("what was found is not kept: " + status.message());
  return choice;
}

StatusOr<LtChoice> GemmSearch::measure(const LtProblem &problem, const GemmOperands &operands) {
  const BlasLt &blas = device.blas();
  TITAN_ASSIGN_OR_RETURN(const std::vector<LtChoice> choices,
                         blas.choices(problem, kMaxWorkspace, kCandidates));
  if (choices.size() == 1)
    return choices.front();
  // A choice's check may ask for more than the heuristic said.
  TITAN_ASSIGN_OR_RETURN(const std::unique_ptr<DeviceMemory> workspace,
                         device.allocate(format::Space::device, kMaxWorkspace));
  const std::pair<std::byte *, const LtProblem::Matrix *> matrices[] = {
      {operands.first, &problem.first},
      {operands.second, &problem.second},
      {operands.result, &problem.result}};
  for (const auto &[data, matrix] : matrices)
    TITAN_RETURN_IF_ERROR(
        device.fillRandom(data, elementsOf(*matrix, problem.batch), elementBytes(*matrix)));
  Stopwatch watch(device.api());
  const LtChoice *best = nullptr;
  float least = std::numeric_limits<float>::max();
  for (const LtChoice &choice : choices) {
    // One that cannot run here is none.
    auto plan = blas.plan(problem, choice, kMaxWorkspace);
    if (!plan.ok())
      continue;
    const auto time = [&](int repeats) {
      return watch.time(**plan, operands, workspace->data(), device.computeStream(), repeats);
    };
    if (!time(1).ok()) // loads its kernels
      continue;
    TITAN_ASSIGN_OR_RETURN(float shortest, time(1));
    const int repeats =
        std::clamp(static_cast<int>(kMilliseconds / std::max(shortest, 1e-3f)), 1, kMostRepeats);
    for (int round = 0; round < 3 && shortest < kHopeless * least; ++round) {
      TITAN_ASSIGN_OR_RETURN(const float now, time(repeats));
      shortest = std::min(shortest, now);
    }
    if (shortest < least) {
      least = shortest;
      best = &choice;
    }
  }
  for (const auto &[data, matrix] : matrices)
    TITAN_RETURN_IF_ERROR(
        device.fillBytes(data, elementsOf(*matrix, problem.batch) * elementBytes(*matrix), 0));
  if (!best)
    return invalidArgument("none of cuBLASLt's algorithms for this gemm runs");
  return *best;
}

} // namespace titan::cuda
