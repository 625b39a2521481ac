#include "runtime/device/cuda/CudnnGraph.h"

#include <vector>

namespace titan::cuda {
namespace {

constexpr int64_t kAlignment = 16; ///< of tensors, in bytes
/// Tensors that nobody gives have ids from here on.
constexpr int64_t kFirstInner = 1000;

} // namespace

//===----------------------------------------------------------------------===//
// Tensors
//===----------------------------------------------------------------------===//

DnnGraph::Shape DnnGraph::denseStrides(const Shape &shape) {
  return {shape[1] * shape[2] * shape[3], shape[2] * shape[3], shape[3], 1};
}

DnnObject &DnnGraph::keep(DnnObject &object) {
  const Status finalized = object.finalize();
  if (status.ok())
    status = finalized;
  return object;
}

/// `kind` is the attribute that sets the tensor apart, or 0.
DnnGraph::Tensor DnnGraph::addTensor(int64_t id, int type, const Shape &shape, const Shape &strides,
                                     int kind) {
  DnnObject &tensor = tensors.emplace_back(library, kDnnTensor);
  tensor.set(kDnnTensorType, kDnnTypeDataType, type)
      .set(kDnnTensorShape, kDnnTypeInt64, std::span<const int64_t>(shape))
      .set(kDnnTensorStrides, kDnnTypeInt64, std::span<const int64_t>(strides))
      .set(kDnnTensorId, kDnnTypeInt64, id)
      .set(kDnnTensorAlignment, kDnnTypeInt64, kAlignment);
  if (kind)
    tensor.set(kind, kDnnTypeBoolean, true);
  keep(tensor);
  return tensors.size() - 1;
}

DnnGraph::Tensor DnnGraph::memory(int64_t id, int type, const Shape &shape, const Shape &strides) {
  return addTensor(id, type, shape, strides, 0);
}

DnnGraph::Tensor DnnGraph::number(int64_t id) {
  return addTensor(id, kDnnFloat32, {1, 1, 1, 1}, {1, 1, 1, 1}, kDnnTensorIsByValue);
}

DnnGraph::Tensor DnnGraph::inner(int type, const Shape &shape, const Shape &strides) {
  return addTensor(kFirstInner + static_cast<int64_t>(tensors.size()), type, shape, strides,
                   kDnnTensorIsVirtual);
}

//===----------------------------------------------------------------------===//
// Operations
//===----------------------------------------------------------------------===//

DnnGraph::Tensor DnnGraph::addPointwise(int mode, int precision, const int64_t *axis,
                                        std::initializer_list<std::pair<int, Tensor>> operands) {
  DnnObject &description = modes.emplace_back(library, kDnnPointwise);
  description.set(kDnnPointwiseMode, kDnnTypePointwiseMode, mode)
      .set(kDnnPointwisePrecision, kDnnTypeDataType, precision);
  if (axis)
    description.set(kDnnPointwiseAxis, kDnnTypeInt64, *axis);
  keep(description);
  DnnObject &operation = operations.emplace_back(library, kDnnPointwiseOperation);
  operation.set(kDnnPointwiseDescriptor, description)
      .set(kDnnPointwiseAlpha1, kDnnTypeFloat, 1.0f)
      .set(kDnnPointwiseAlpha2, kDnnTypeFloat, 1.0f);
  for (const auto &[attribute, tensor] : operands)
    operation.set(attribute, tensors[tensor]);
  keep(operation);
  return std::prev(operands.end())->second;
}

DnnGraph::Tensor DnnGraph::pointwise(int mode, Tensor x, Tensor y) {
  return addPointwise(mode, kDnnFloat32, nullptr, {{kDnnPointwiseX, x}, {kDnnPointwiseY, y}});
}

DnnGraph::Tensor DnnGraph::pointwise(int mode, Tensor x, Tensor b, Tensor y) {
  return addPointwise(mode, kDnnFloat32, nullptr,
                      {{kDnnPointwiseX, x}, {kDnnPointwiseB, b}, {kDnnPointwiseY, y}});
}

DnnGraph::Tensor DnnGraph::compare(int mode, Tensor x, Tensor b, Tensor y) {
  return addPointwise(mode, kDnnBoolean, nullptr,
                      {{kDnnPointwiseX, x}, {kDnnPointwiseB, b}, {kDnnPointwiseY, y}});
}

DnnGraph::Tensor DnnGraph::index(int64_t axis, Tensor x, Tensor y) {
  return addPointwise(kDnnGenerateIndex, kDnnFloat32, &axis,
                      {{kDnnPointwiseX, x}, {kDnnPointwiseY, y}});
}

DnnGraph::Tensor DnnGraph::select(Tensor x, Tensor b, Tensor condition, Tensor y) {
  return addPointwise(
      kDnnSelect, kDnnFloat32, nullptr,
      {{kDnnPointwiseX, x}, {kDnnPointwiseB, b}, {kDnnPointwiseT, condition}, {kDnnPointwiseY, y}});
}

DnnGraph::Tensor DnnGraph::matmul(Tensor a, Tensor b, Tensor c) {
  DnnObject &description = modes.emplace_back(library, kDnnMatmul);
  keep(description.set(kDnnMatmulPrecision, kDnnTypeDataType, kDnnFloat32));
  DnnObject &operation = operations.emplace_back(library, kDnnMatmulOperation);
  operation.set(kDnnMatmulA, tensors[a])
      .set(kDnnMatmulB, tensors[b])
      .set(kDnnMatmulC, tensors[c])
      .set(kDnnMatmulDescriptor, description);
  keep(operation);
  return c;
}

DnnGraph::Tensor DnnGraph::reduce(int reduction, Tensor x, Tensor y) {
  DnnObject &description = modes.emplace_back(library, kDnnReduction);
  keep(description.set(kDnnReductionOperator, kDnnTypeReductionOperator, reduction)
           .set(kDnnReductionPrecision, kDnnTypeDataType, kDnnFloat32)
           .set(kDnnReductionIsDeterministic, kDnnTypeBoolean, false));
  DnnObject &operation = operations.emplace_back(library, kDnnReductionOperation);
  operation.set(kDnnReductionX, tensors[x])
      .set(kDnnReductionY, tensors[y])
      .set(kDnnReductionDescriptor, description);
  keep(operation);
  return y;
}

DnnGraph::Tensor DnnGraph::reshape(Tensor x, Tensor y) {
  DnnObject &operation = operations.emplace_back(library, kDnnReshapeOperation);
  operation.set(kDnnReshapeX, tensors[x]).set(kDnnReshapeY, tensors[y]);
  keep(operation);
  return y;
}

//===----------------------------------------------------------------------===//
// Plans
//===----------------------------------------------------------------------===//

/// The heuristic's configurations.
Status DnnGraph::findConfigs(const DnnTarget &target) {
  DnnObject heuristic(library, kDnnHeuristic);
  heuristic.set(kDnnHeuristicGraph, *graph)
      .set(kDnnHeuristicMode, kDnnTypeHeuristicMode, kDnnHeuristicModeA);
  if (target.device)
    heuristic.set(kDnnHeuristicDevice, kDnnTypeDescriptor, target.device);
  TITAN_RETURN_IF_ERROR(heuristic.finalize());
  int64_t count = 0;
  TITAN_RETURN_IF_ERROR(
      library.check(library.cudnnBackendGetAttribute(heuristic.get(), kDnnHeuristicResults,
                                                     kDnnTypeDescriptor, 0, &count, nullptr),
                    "cudnnBackendGetAttribute"));
  std::vector<DnnDescriptor> handles;
  for (int64_t i = 0; i < count; ++i) {
    handles.push_back(configs.emplace_back(library, kDnnEngineConfig).get());
    if (!handles.back())
      return internalError("cudnnBackendCreateDescriptor: no engine configuration");
  }
  int64_t found = 0;
  TITAN_RETURN_IF_ERROR(library.check(
      library.cudnnBackendGetAttribute(heuristic.get(), kDnnHeuristicResults, kDnnTypeDescriptor,
                                       count, &found, static_cast<void *>(handles.data())),
      "cudnnBackendGetAttribute"));
  while (static_cast<int64_t>(configs.size()) > found)
    configs.pop_back();
  return okStatus();
}

StatusOr<DnnPlan> DnnGraph::planOf(const DnnTarget &target, const DnnObject &config,
                                   int64_t maxWorkspace) {
  DnnPlan plan{DnnObject(library, kDnnExecutionPlan)};
  if (target.device)
    plan.descriptor.set(kDnnPlanDevice, kDnnTypeDescriptor, target.device);
  else
    plan.descriptor.set(kDnnPlanHandle, kDnnTypeHandle, target.handle);
  TITAN_RETURN_IF_ERROR(plan.descriptor.set(kDnnPlanConfig, config).finalize());
  int64_t count = 0;
  TITAN_RETURN_IF_ERROR(library.check(
      library.cudnnBackendGetAttribute(plan.descriptor.get(), kDnnPlanWorkspace, kDnnTypeInt64, 1,
                                       &count, &plan.workspaceBytes),
      "cudnnBackendGetAttribute"));
  if (plan.workspaceBytes > maxWorkspace)
    return unavailable("it needs " + std::to_string(plan.workspaceBytes) +
                       " bytes of workspace, more than " + std::to_string(maxWorkspace));
  return plan;
}

StatusOr<DnnPlan> DnnGraph::plan(const DnnTarget &target, int64_t maxWorkspace) {
  std::vector<DnnDescriptor> handles;
  for (const DnnObject &operation : operations)
    handles.push_back(operation.get());
  graph.emplace(library, kDnnOperationGraph);
  if (target.handle)
    graph->set(kDnnGraphHandle, kDnnTypeHandle, target.handle);
  keep(
      graph->set(kDnnGraphOperations, kDnnTypeDescriptor, std::span<const DnnDescriptor>(handles)));
  TITAN_RETURN_IF_ERROR(status);
  TITAN_RETURN_IF_ERROR(findConfigs(target));
  Status failure = unavailable("no engine runs it on this GPU");
  for (const DnnObject &config : configs) {
    auto plan = planOf(target, config, maxWorkspace);
    if (plan.ok())
      return plan;
    if (&config == &configs.front())
      failure = plan.status();
  }
  return failure;
}

} // namespace titan::cuda
