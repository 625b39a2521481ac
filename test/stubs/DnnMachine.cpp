#include "test/stubs/DnnMachine.h"

#include "runtime/base/DType.h"
#include "runtime/device/cuda/Cudnn.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>

namespace titan::stub {
namespace {

using namespace titan::cuda;
using Index = std::array<int64_t, 4>;

const char *nameOfType(int type) {
  switch (type) {
  case kDnnFloat32:
    return "f32";
  case kDnnInt32:
    return "i32";
  case kDnnBFloat16:
    return "bf16";
  case kDnnBoolean:
    return "bool";
  default:
    return "unknown";
  }
}

std::string nameOf(const DnnOperationInfo &operation) {
  static const std::map<int, std::string> pointwise = {{kDnnAdd, "add"},
                                                       {kDnnMultiply, "multiply"},
                                                       {kDnnDivide, "divide"},
                                                       {kDnnSubtract, "subtract"},
                                                       {kDnnExp, "exp"},
                                                       {kDnnLog, "log"},
                                                       {kDnnIdentity, "identity"},
                                                       {kDnnGreaterOrEqual, "greater_or_equal"},
                                                       {kDnnGenerateIndex, "index"},
                                                       {kDnnSelect, "select"}};
  switch (operation.kind) {
  case DnnOperationKind::pointwise: {
    const auto found = pointwise.find(operation.mode);
    return found == pointwise.end() ? "unknown" : found->second;
  }
  case DnnOperationKind::matmul:
    return "matmul";
  case DnnOperationKind::reduce:
    return operation.mode == kDnnReduceAdd   ? "reduce_add"
           : operation.mode == kDnnReduceMax ? "reduce_max"
                                             : "unknown";
  case DnnOperationKind::reshape:
    return "reshape";
  }
  return "unknown";
}

size_t inputsOf(const DnnOperationInfo &operation) {
  const std::string name = nameOf(operation);
  if (name == "select")
    return 3;
  return operation.kind == DnnOperationKind::matmul || name == "add" || name == "multiply" ||
                 name == "divide" || name == "subtract" || name == "greater_or_equal"
             ? 2
             : 1;
}

int64_t offsetOf(const DnnTensorInfo &tensor, const Index &index) {
  int64_t offset = 0;
  for (size_t i = 0; i < 4; ++i)
    offset += index[i] * tensor.strides[i];
  return offset;
}

/// Calls `body` with every index of a shape.
template <typename Body> void forEach(const Index &shape, Body body) {
  Index index;
  for (index[0] = 0; index[0] < shape[0]; ++index[0])
    for (index[1] = 0; index[1] < shape[1]; ++index[1])
      for (index[2] = 0; index[2] < shape[2]; ++index[2])
        for (index[3] = 0; index[3] < shape[3]; ++index[3])
          body(index);
}

/// The place in a tensor of `shape` of an index in one of `from`: dimensions are grouped.
Index grouped(const Index &index, const Index &from, const Index &shape) {
  Index result;
  for (size_t i = 0; i < 4; ++i)
    result[i] = index[i] * shape[i] / from[i];
  return result;
}

/// The index of an element by its place, where no two have the same.
Index indexAt(const DnnTensorInfo &tensor, int64_t offset) {
  std::array<size_t, 4> order = {0, 1, 2, 3};
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return tensor.strides[a] > tensor.strides[b]; });
  Index index{};
  for (const size_t i : order)
    if (tensor.shape[i] > 1) {
      index[i] = offset / tensor.strides[i];
      offset %= tensor.strides[i];
    }
  return index;
}

/// A graph that is being run. Strides of virtual tensors matter to reshapes alone: those that
/// cudnn-frontend gives the products of dO and O overlap.
class Run {
public:
  Run(const std::map<int64_t, void *> &memory) : memory(memory) {}

  void execute(const DnnOperationInfo &operation) {
    const DnnTensorInfo &y = operation.output;
    if (y.isVirtual)
      inner[y.id].assign(static_cast<size_t>(y.shape[0] * y.shape[1] * y.shape[2] * y.shape[3]), 0);
    switch (operation.kind) {
    case DnnOperationKind::pointwise:
      return forEach(y.shape,
                     [&](const Index &index) { write(y, index, apply(operation, index)); });
    case DnnOperationKind::matmul:
      return multiply(operation.inputs[0], operation.inputs[1], y);
    case DnnOperationKind::reduce:
      return reduce(operation.mode, operation.inputs[0], y);
    case DnnOperationKind::reshape:
      return forEach(y.shape, [&](const Index &index) {
        const DnnTensorInfo &x = operation.inputs[0];
        write(y, index, read(x, indexAt(x, offsetOf(y, index))));
      });
    }
  }

private:
  /// The place of an element, in memory or among the values of a virtual tensor.
  static int64_t placeOf(const DnnTensorInfo &tensor, const Index &index) {
    const Index &shape = tensor.shape;
    return tensor.isVirtual
               ? ((index[0] * shape[1] + index[1]) * shape[2] + index[2]) * shape[3] + index[3]
               : offsetOf(tensor, index);
  }

  double read(const DnnTensorInfo &tensor, const Index &index) const {
    const int64_t offset = placeOf(tensor, index);
    if (tensor.isVirtual)
      return inner.at(tensor.id)[static_cast<size_t>(offset)];
    const void *data = memory.at(tensor.id);
    if (tensor.type == kDnnBFloat16)
      return static_cast<double>(fromBFloat16(static_cast<const uint16_t *>(data)[offset]));
    return static_cast<double>(static_cast<const float *>(data)[offset]);
  }

  void write(const DnnTensorInfo &tensor, const Index &index, double value) {
    const int64_t offset = placeOf(tensor, index);
    const auto single = static_cast<float>(value);
    const uint16_t half = toBFloat16(single);
    if (tensor.isVirtual)
      inner.at(tensor.id)[static_cast<size_t>(offset)] =
          static_cast<double>(tensor.type == kDnnBFloat16 ? fromBFloat16(half) : single);
    else if (tensor.type == kDnnBFloat16)
      static_cast<uint16_t *>(memory.at(tensor.id))[offset] = half;
    else
      static_cast<float *>(memory.at(tensor.id))[offset] = single;
  }

  double apply(const DnnOperationInfo &operation, const Index &index) const {
    const auto input = [&](size_t i) {
      const DnnTensorInfo &tensor = operation.inputs[i];
      return read(tensor, grouped(index, operation.output.shape, tensor.shape));
    };
    switch (operation.mode) {
    case kDnnAdd:
      return input(0) + input(1);
    case kDnnMultiply:
      return input(0) * input(1);
    case kDnnDivide:
      return input(0) / input(1);
    case kDnnSubtract:
      return input(0) - input(1);
    case kDnnExp:
      return std::exp(input(0));
    case kDnnLog:
      return std::log(input(0));
    case kDnnGreaterOrEqual:
      return input(0) >= input(1) ? 1 : 0;
    case kDnnGenerateIndex:
      return static_cast<double>(index[static_cast<size_t>(operation.axis)]);
    case kDnnSelect:
      return input(2) != 0 ? input(0) : input(1);
    default:
      return input(0);
    }
  }

  void multiply(const DnnTensorInfo &a, const DnnTensorInfo &b, const DnnTensorInfo &c) {
    forEach(c.shape, [&](const Index &index) {
      const int64_t head = index[1] * b.shape[1] / c.shape[1];
      double sum = 0;
      for (int64_t k = 0; k < a.shape[3]; ++k)
        sum += read(a, {index[0], index[1], index[2], k}) * read(b, {index[0], head, k, index[3]});
      write(c, index, sum);
    });
  }

  void reduce(int mode, const DnnTensorInfo &x, const DnnTensorInfo &y) {
    const double first = mode == kDnnReduceMax ? -std::numeric_limits<double>::infinity() : 0;
    std::map<Index, double> results;
    forEach(x.shape, [&](const Index &index) {
      double &result = results.try_emplace(grouped(index, x.shape, y.shape), first).first->second;
      const double value = read(x, index);
      if (mode == kDnnReduceAdd)
        result += value;
      else if (std::isnan(value) || value > result)
        result = value;
    });
    for (const auto &[index, result] : results)
      write(y, index, result);
  }

  const std::map<int64_t, void *> &memory;
  std::map<int64_t, std::vector<double>> inner;
};

std::string list(const Index &numbers) {
  std::string text;
  for (const int64_t number : numbers)
    text += (text.empty() ? "" : ",") + std::to_string(number);
  return text;
}

/// Whether each dimension of `from` divides `shape`'s.
bool groups(const Index &shape, const Index &from) {
  for (size_t i = 0; i < 4; ++i)
    if (from[i] < 1 || shape[i] % from[i] != 0)
      return false;
  return true;
}

std::string checkShapes(const DnnOperationInfo &operation) {
  const Index &y = operation.output.shape;
  const auto in = [&](size_t i) -> const Index & { return operation.inputs[i].shape; };
  switch (operation.kind) {
  case DnnOperationKind::pointwise:
    for (const DnnTensorInfo &input : operation.inputs)
      for (size_t i = 0; i < 4; ++i)
        if (input.shape[i] != y[i] && input.shape[i] != 1)
          return "operands of other shapes";
    return operation.mode == kDnnGenerateIndex && (operation.axis < 0 || operation.axis > 3)
               ? "an index of no dimension"
               : "";
  case DnnOperationKind::matmul:
    return in(0)[0] == y[0] && in(0)[1] == y[1] && in(0)[2] == y[2] && in(0)[3] == in(1)[2] &&
                   in(1)[0] == y[0] && in(1)[3] == y[3] && y[1] % in(1)[1] == 0
               ? ""
               : "factors of other shapes";
  case DnnOperationKind::reduce:
    return groups(in(0), y) ? "" : "a reduction to another shape";
  case DnnOperationKind::reshape:
    return operation.inputs[0].span() == operation.output.span() ? "" : "a reshape of another size";
  }
  return "an unknown operation";
}

} // namespace

int64_t DnnTensorInfo::span() const {
  int64_t last = 0;
  for (size_t i = 0; i < 4; ++i)
    last += (shape[i] - 1) * strides[i];
  return last + 1;
}

int64_t DnnTensorInfo::bytes() const { return span() * (type == kDnnBFloat16 ? 2 : 4); }

std::string describe(const DnnGraphInfo &graph) {
  std::map<int64_t, size_t> numbers;
  std::string text;
  const auto add = [&](const DnnTensorInfo &tensor) {
    const auto [found, isNew] = numbers.try_emplace(tensor.id, numbers.size());
    text += " #" + std::to_string(found->second);
    if (isNew)
      text += "=" + std::string(nameOfType(tensor.type)) + "[" + list(tensor.shape) + "]{" +
              list(tensor.strides) + "}" +
              (tensor.isByValue   ? "value"
               : tensor.isVirtual ? "inner"
                                  : "memory") +
              std::to_string(tensor.alignment);
  };
  for (const DnnOperationInfo &operation : graph) {
    text += nameOf(operation);
    if (operation.axis >= 0)
      text += "(" + std::to_string(operation.axis) + ")";
    if (operation.kind != DnnOperationKind::reshape)
      text += std::string(" in ") + nameOfType(operation.precision);
    text += ":";
    for (const DnnTensorInfo &input : operation.inputs)
      add(input);
    text += " ->";
    add(operation.output);
    text += "\n";
  }
  return text;
}

std::string check(const DnnGraphInfo &graph) {
  std::map<int64_t, DnnTensorInfo> known;
  std::set<int64_t> written;
  for (const DnnOperationInfo &operation : graph) {
    if (nameOf(operation) == "unknown" || operation.inputs.size() != inputsOf(operation))
      return "an unknown operation";
    std::vector<DnnTensorInfo> all = operation.inputs;
    all.push_back(operation.output);
    for (const DnnTensorInfo &tensor : all)
      if (known.try_emplace(tensor.id, tensor).first->second != tensor)
        return "two tensors of one id";
    for (const DnnTensorInfo &input : operation.inputs)
      if (input.isVirtual && !written.count(input.id))
        return "an inner tensor that nothing writes";
    if (operation.output.isByValue || !written.insert(operation.output.id).second)
      return "a tensor that is written twice, or a number that is written";
    if (const std::string wrong = checkShapes(operation); !wrong.empty())
      return wrong;
  }
  return graph.empty() ? "no operation" : "";
}

void run(const DnnGraphInfo &graph, const std::map<int64_t, void *> &memory) {
  Run now(memory);
  for (const DnnOperationInfo &operation : graph)
    now.execute(operation);
}

} // namespace titan::stub
