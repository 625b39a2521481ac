#include "runtime/format/Program.h"

#include <algorithm>

namespace titan::format {
namespace {

template <typename E, size_t N>
std::string_view nameOf(E value, const std::array<std::string_view, N> &names) {
  const auto index = static_cast<size_t>(value);
  return index < N ? names[index] : "?";
}

} // namespace

std::string_view toString(Space value) {
  static constexpr std::array<std::string_view, 3> names = {"device", "pinned", "host"};
  return nameOf(value, names);
}

std::string_view toString(Role value) {
  static constexpr std::array<std::string_view, 7> names = {
      "parameter", "optimizer_state", "gradient", "derived", "counter", "input", "output"};
  return nameOf(value, names);
}

std::string_view toString(Access value) {
  static constexpr std::array<std::string_view, 3> names = {"read", "write", "readwrite"};
  return nameOf(value, names);
}

std::string_view toString(Distribution value) {
  static constexpr std::array<std::string_view, 6> names = {
      "constant", "normal", "truncated_normal", "rope_cosine", "rope_sine", "axis_index"};
  return nameOf(value, names);
}

std::string_view toString(Collective value) {
  static constexpr std::array<std::string_view, 7> names = {
      "all_gather", "reduce_scatter", "all_reduce", "all_to_all", "broadcast", "send", "receive"};
  return nameOf(value, names);
}

std::string_view toString(Reduction value) {
  static constexpr std::array<std::string_view, 3> names = {"none", "sum", "max"};
  return nameOf(value, names);
}

std::string_view toString(Letter value) {
  static constexpr std::array<std::string_view, 11> names = {"P", "U", "F", "B", "I", "W",
                                                             "R", "G", "S", "V", "O"};
  return nameOf(value, names);
}

std::string_view toString(Mode value) {
  static constexpr std::array<std::string_view, 3> names = {"run", "start", "await"};
  return nameOf(value, names);
}

int numNumbers(Distribution distribution) {
  switch (distribution) {
  case Distribution::constant:
  case Distribution::axisIndex:
    return 1;
  case Distribution::normal:
    return 2;
  case Distribution::truncatedNormal:
    return 4;
  case Distribution::ropeCosine:
  case Distribution::ropeSine:
    return 5;
  }
  return 0;
}

std::string_view mnemonic(const Instruction &instruction) {
  static constexpr std::array<std::string_view, std::variant_size_v<Instruction>> names = {
      "launch", "gemm", "attention",    "attention_grad", "embedding", "embedding_grad",
      "fill",   "copy", "check_finite", "start",          "await"};
  return names[instruction.index()];
}

std::string describeInstruction(const Program &program, const Function &function, size_t index) {
  const Instruction &instruction = function.instructions[index];
  const uint32_t source = function.sources.empty() ? kNone : function.sources[index];
  std::string text(mnemonic(instruction));
  if (const auto *launch = std::get_if<Launch>(&instruction))
    text += " of kernel '" + program.kernels[launch->kernel].name + "'";
  if (source != kNone)
    text += (text.find(' ') == std::string::npos ? " of " : ", ") + program.sources[source];
  return text;
}

std::optional<int64_t> numCoordinates(const std::vector<Axis> &mesh,
                                      const std::vector<std::string> &axes) {
  int64_t count = 1;
  for (auto axis = axes.begin(); axis != axes.end(); ++axis) {
    const uint32_t found = findByName(mesh, *axis);
    if (found == kNone || std::find(axes.begin(), axis, *axis) != axis ||
        __builtin_mul_overflow(count, mesh[found].size, &count) || count > (int64_t{1} << 31))
      return std::nullopt;
  }
  return count;
}

int64_t View::numElements() const {
  int64_t count = 1;
  for (int i = 0; i < rank; ++i)
    count *= shape[i];
  return count;
}

int64_t View::span() const {
  int64_t last = 0;
  for (int i = 0; i < rank; ++i)
    last += (shape[i] - 1) * strides[i];
  return last + 1;
}

bool View::isContiguous() const {
  int64_t expected = 1;
  for (int i = rank - 1; i >= 0; --i) {
    if (shape[i] != 1 && strides[i] != expected)
      return false;
    expected *= shape[i];
  }
  return true;
}

View denseView(DType type, const int64_t *shape, int rank) {
  View view;
  view.type = type;
  view.rank = static_cast<uint8_t>(rank);
  std::copy_n(shape, rank, view.shape.begin());
  int64_t stride = 1;
  for (int i = rank - 1; i >= 0; --i) {
    view.strides[i] = stride;
    stride *= view.shape[i];
  }
  return view;
}

View denseView(DType type, std::initializer_list<int64_t> shape) {
  return denseView(type, shape.begin(), static_cast<int>(shape.size()));
}

int64_t numPipelineRanks(const std::vector<Axis> &mesh) {
  for (const Axis &axis : mesh)
    if (axis.name == kPipelineAxis)
      return axis.size;
  return 1;
}

} // namespace titan::format
