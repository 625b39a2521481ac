#include "dialects/titan/ops/HostLoops.h"

using namespace mlir;

namespace titan {

SmallVector<int64_t> getRowMajorStrides(ArrayRef<int64_t> shape) {
  SmallVector<int64_t> strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;)
    strides[i - 1] = strides[i] * shape[i];
  return strides;
}

static void gatherInto(const double *source, ArrayRef<int64_t> shape, ArrayRef<int64_t> strides,
                       std::vector<double> &result) {
  if (shape.empty()) {
    result.push_back(*source);
    return;
  }
  for (int64_t i = 0; i < shape.front(); ++i)
    gatherInto(source + i * strides.front(), shape.drop_front(), strides.drop_front(), result);
}

std::vector<double> gather(ArrayRef<double> source, ArrayRef<int64_t> shape,
                           ArrayRef<int64_t> strides) {
  std::vector<double> result;
  int64_t size = 1;
  for (int64_t extent : shape)
    size *= extent;
  result.reserve(static_cast<size_t>(size));
  if (size > 0)
    gatherInto(source.data(), shape, strides, result);
  return result;
}

Rows::Rows(ArrayRef<int64_t> shape) : count(1), width(shape.empty() ? 1 : shape.back()) {
  for (int64_t extent : shape.drop_back(shape.empty() ? 0 : 1))
    count *= extent;
}

} // namespace titan
