// Operation graphs of cuDNN and the plans that run them.
#pragma once

#include "runtime/device/cuda/Cudnn.h"

#include <array>
#include <deque>
#include <optional>
#include <utility>

namespace titan::cuda {

/// What a plan is for: the GPU of a handle, or one that is described and need not be here.
struct DnnTarget {
  DnnHandle handle = nullptr;
  DnnDescriptor device = nullptr; ///< properties; null: those of the handle
};

/// An executable plan. The library and the graph outlive it.
struct DnnPlan {
  DnnObject descriptor;
  int64_t workspaceBytes = 0;
};

class DnnGraph {
public:
  using Shape = std::array<int64_t, 4>;
  /// The number of a tensor within the graph.
  using Tensor = size_t;

  explicit DnnGraph(const Cudnn &library) : library(library) {}

  /// A tensor in memory that is given under `id`, 1 or more, when a plan runs; aligned to 16 bytes.
  /// Strides count elements.
  Tensor memory(int64_t id, int type, const Shape &shape, const Shape &strides);
  /// A float32 that is given by a pointer of the host's under `id` when a plan runs.
  Tensor number(int64_t id);
  /// A tensor between operations, which is never in memory.
  Tensor inner(int type, const Shape &shape, const Shape &strides);
  /// Likewise, with the last dimension adjacent.
  Tensor inner(int type, const Shape &shape) { return inner(type, shape, denseStrides(shape)); }

  // Operations. Each returns its result, the last parameter. Reductions and products are float32;
  // dimensions of one element stand for as many as the result has, and heads of the right side of
  // a product for groups of heads.
  Tensor pointwise(int mode, Tensor x, Tensor y);
  Tensor pointwise(int mode, Tensor x, Tensor b, Tensor y);
  Tensor compare(int mode, Tensor x, Tensor b, Tensor y);
  /// Each element's place along a dimension.
  Tensor index(int64_t axis, Tensor x, Tensor y);
  /// x where `condition` holds, else b.
  Tensor select(Tensor x, Tensor b, Tensor condition, Tensor y);
  Tensor matmul(Tensor a, Tensor b, Tensor c);
  Tensor reduce(int reduction, Tensor x, Tensor y);
  Tensor reshape(Tensor x, Tensor y);

  /// The first plan, in the order in which cuDNN expects them to be fast, that can be built and
  /// needs no more bytes of workspace; called once. Fails with the reason of the very first.
  StatusOr<DnnPlan> plan(const DnnTarget &target, int64_t maxWorkspace);

  static Shape denseStrides(const Shape &shape);

private:
  Tensor addTensor(int64_t id, int type, const Shape &shape, const Shape &strides, int kind);
  Tensor addPointwise(int mode, int precision, const int64_t *axis,
                      std::initializer_list<std::pair<int, Tensor>> operands);
  /// Keeps a descriptor, finalized; its failure is that of the graph.
  DnnObject &keep(DnnObject &object);
  Status findConfigs(const DnnTarget &target);
  StatusOr<DnnPlan> planOf(const DnnTarget &target, const DnnObject &config, int64_t maxWorkspace);

  const Cudnn &library;
  Status status;
  // What an execution plan says nothing about keeping alive is kept.
  std::deque<DnnObject> tensors, modes, operations;
  std::optional<DnnObject> graph;
  std::deque<DnnObject> configs;
};

} // namespace titan::cuda
