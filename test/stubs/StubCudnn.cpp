// cuDNN without a GPU: libcudnn.so.9 for tests. It knows the descriptors that graphs of attention
// are made of, refuses those that are not whole, and graphs whose operations do not fit each other,
// and runs graphs on the host. It may be asked for the latest graph as text.
//
// Its heuristic names two engines, of which the first cannot be built.
//
// Environment: TITAN_STUB_CUDNN (its version, 91900), TITAN_STUB_CUDNN_WORKSPACE (that plans say
// they need, 512 bytes).
#include "runtime/device/cuda/Cudnn.h"
#include "test/stubs/DnnMachine.h"
#include "test/stubs/StubDriver.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <stdexcept>

using namespace titan::cuda;
using namespace titan::stub;

namespace titan::cuda {
struct DnnHandleObject {
  Stream stream = nullptr;
};
} // namespace titan::cuda

namespace {

constexpr int kEngines = 2, kBroken = 0;
constexpr int64_t kWorkspace = 256;

struct Descriptor {
  struct Attribute {
    int type = 0;
    int64_t count = 0;
    std::vector<std::byte> bytes;
    std::vector<std::shared_ptr<Descriptor>> descriptors;
  };

  int type = 0;
  bool isFinal = false;
  std::map<int, Attribute> attributes;
  // What it means, once it is final.
  DnnTensorInfo tensor;
  DnnOperationInfo operation;
  std::shared_ptr<DnnGraphInfo> graph;
  int engine = 0;

  /// The only value of an attribute, or nothing.
  template <typename T> std::optional<T> value(int name) const {
    const auto found = attributes.find(name);
    if (found == attributes.end() || found->second.bytes.size() != sizeof(T))
      return std::nullopt;
    T result;
    std::memcpy(&result, found->second.bytes.data(), sizeof(T));
    return result;
  }
  template <typename T> std::vector<T> values(int name) const {
    std::vector<T> result;
    if (const auto found = attributes.find(name); found != attributes.end()) {
      result.resize(found->second.bytes.size() / sizeof(T));
      std::memcpy(result.data(), found->second.bytes.data(), result.size() * sizeof(T));
    }
    return result;
  }
  std::shared_ptr<Descriptor> descriptor(int name) const {
    const auto found = attributes.find(name);
    return found == attributes.end() || found->second.descriptors.size() != 1
               ? nullptr
               : found->second.descriptors.front();
  }
};

struct Library {
  std::map<void *, std::shared_ptr<Descriptor>> descriptors;
  std::string text, reason;

  std::shared_ptr<Descriptor> find(void *handle) const {
    const auto found = descriptors.find(handle);
    return found == descriptors.end() ? nullptr : found->second;
  }
};

Library &library() {
  static Library it;
  return it;
}

/// Ranks may be threads of one process.
std::lock_guard<std::recursive_mutex> lock() {
  return std::lock_guard<std::recursive_mutex>(*titanStubMutex());
}

int refuse(int status, const std::string &reason) {
  library().reason = reason;
  return status;
}

size_t bytesOf(int type) {
  switch (type) {
  case kDnnTypeBoolean:
  case kDnnTypeChar:
    return 1;
  case kDnnTypeHandle:
  case kDnnTypeInt64:
  case kDnnTypePointer:
  case kDnnTypeDescriptor:
    return 8;
  default:
    return 4;
  }
}

//===----------------------------------------------------------------------===//
// What finalized descriptors mean
//===----------------------------------------------------------------------===//

bool readTensor(Descriptor &it) {
  const auto type = it.value<int>(kDnnTensorType);
  const auto id = it.value<int64_t>(kDnnTensorId),
             alignment = it.value<int64_t>(kDnnTensorAlignment);
  const auto shape = it.value<std::array<int64_t, 4>>(kDnnTensorShape);
  const auto strides = it.value<std::array<int64_t, 4>>(kDnnTensorStrides);
  if (!type || !id || !alignment || !shape || !strides)
    return false;
  it.tensor = {*id,
               *alignment,
               *type,
               *shape,
               *strides,
               it.value<bool>(kDnnTensorIsVirtual) == true,
               it.value<bool>(kDnnTensorIsByValue) == true};
  for (size_t i = 0; i < 4; ++i)
    if (it.tensor.shape[i] < 1 || it.tensor.strides[i] < 1)
      return false;
  return !(it.tensor.isVirtual && it.tensor.isByValue);
}

/// The tensors under those attributes, in order, but for those that are absent.
bool readTensors(Descriptor &it, std::initializer_list<int> inputs, int output) {
  for (const int name : inputs)
    if (const auto tensor = it.descriptor(name); tensor && tensor->type == kDnnTensor)
      it.operation.inputs.push_back(tensor->tensor);
  const auto result = it.descriptor(output);
  if (!result || result->type != kDnnTensor)
    return false;
  it.operation.output = result->tensor;
  return true;
}

bool readPointwise(Descriptor &it) {
  const auto description = it.descriptor(kDnnPointwiseDescriptor);
  if (!description || description->type != kDnnPointwise ||
      it.value<float>(kDnnPointwiseAlpha1) != 1.0f || it.value<float>(kDnnPointwiseAlpha2) != 1.0f)
    return false;
  const auto mode = description->value<int>(kDnnPointwiseMode);
  const auto precision = description->value<int>(kDnnPointwisePrecision);
  it.operation.kind = DnnOperationKind::pointwise;
  it.operation.axis = description->value<int64_t>(kDnnPointwiseAxis).value_or(-1);
  if (!mode || !precision)
    return false;
  it.operation.mode = *mode;
  it.operation.precision = *precision;
  return readTensors(it, {kDnnPointwiseX, kDnnPointwiseB, kDnnPointwiseT}, kDnnPointwiseY);
}

bool readOperation(Descriptor &it) {
  switch (it.type) {
  case kDnnPointwiseOperation:
    return readPointwise(it);
  case kDnnMatmulOperation: {
    const auto description = it.descriptor(kDnnMatmulDescriptor);
    it.operation.kind = DnnOperationKind::matmul;
    if (!description || description->type != kDnnMatmul)
      return false;
    it.operation.precision = description->value<int>(kDnnMatmulPrecision).value_or(-1);
    return readTensors(it, {kDnnMatmulA, kDnnMatmulB}, kDnnMatmulC);
  }
  case kDnnReductionOperation: {
    const auto description = it.descriptor(kDnnReductionDescriptor);
    it.operation.kind = DnnOperationKind::reduce;
    if (!description || description->type != kDnnReduction)
      return false;
    it.operation.mode = description->value<int>(kDnnReductionOperator).value_or(-1);
    it.operation.precision = description->value<int>(kDnnReductionPrecision).value_or(-1);
    return readTensors(it, {kDnnReductionX}, kDnnReductionY);
  }
  default:
    it.operation.kind = DnnOperationKind::reshape;
    return readTensors(it, {kDnnReshapeX}, kDnnReshapeY);
  }
}

bool readGraph(Descriptor &it) {
  const auto found = it.attributes.find(kDnnGraphOperations);
  if (found == it.attributes.end() || !it.value<DnnHandle>(kDnnGraphHandle))
    return false;
  it.graph = std::make_shared<DnnGraphInfo>();
  for (const auto &operation : found->second.descriptors)
    it.graph->push_back(operation->operation);
  library().text = describe(*it.graph);
  library().reason = check(*it.graph);
  return library().reason.empty();
}

bool readPlan(Descriptor &it) {
  const auto config = it.descriptor(kDnnPlanConfig);
  if (!config || !it.value<DnnHandle>(kDnnPlanHandle))
    return false;
  it.graph = config->graph;
  library().reason = "an engine that cannot be built";
  return config->engine != kBroken;
}

bool read(Descriptor &it) {
  switch (it.type) {
  case kDnnTensor:
    return readTensor(it);
  case kDnnPointwiseOperation:
  case kDnnMatmulOperation:
  case kDnnReductionOperation:
  case kDnnReshapeOperation:
    return readOperation(it);
  case kDnnOperationGraph:
    return readGraph(it);
  case kDnnHeuristic: {
    const auto graph = it.descriptor(kDnnHeuristicGraph);
    if (!graph || it.value<int>(kDnnHeuristicMode) != kDnnHeuristicModeA)
      return false;
    it.graph = graph->graph;
    return true;
  }
  case kDnnExecutionPlan:
    return readPlan(it);
  case kDnnVariantPack:
    return it.values<int64_t>(kDnnPackIds).size() == it.values<void *>(kDnnPackPointers).size();
  default:
    return true;
  }
}

//===----------------------------------------------------------------------===//
// Execution
//===----------------------------------------------------------------------===//

/// The addresses of a graph's tensors, once all of them are found to be right.
std::map<int64_t, void *> addressesOf(const DnnGraphInfo &graph, const Descriptor &pack) {
  const auto ids = pack.values<int64_t>(kDnnPackIds);
  const auto pointers = pack.values<void *>(kDnnPackPointers);
  std::map<int64_t, void *> addresses;
  for (size_t i = 0; i < ids.size(); ++i)
    addresses[ids[i]] = pointers[i];
  const auto require = [&](const DnnTensorInfo &tensor) {
    if (tensor.isVirtual)
      return;
    const auto found = addresses.find(tensor.id);
    if (found == addresses.end())
      throw std::runtime_error("tensor " + std::to_string(tensor.id) + " has no address");
    const auto address = reinterpret_cast<uint64_t>(found->second);
    if (!tensor.isByValue &&
        (address % static_cast<uint64_t>(tensor.alignment) ||
         !titanStubIsValid(address, static_cast<uint64_t>(tensor.bytes()), titanStubCurrentGpu())))
      throw std::runtime_error("tensor " + std::to_string(tensor.id) +
                               " is not aligned, or not in memory that is allocated");
  };
  for (const DnnOperationInfo &operation : graph) {
    for (const DnnTensorInfo &input : operation.inputs)
      require(input);
    require(operation.output);
  }
  return addresses;
}

std::atomic<long> executions;

int64_t setting(const char *name, int64_t otherwise) {
  const char *text = std::getenv(name);
  return text ? std::atoll(text) : otherwise;
}

} // namespace

extern "C" {

/// How often plans have been put into streams.
long titanStubDnnExecutions() { return executions; }
/// The latest graph.
const char *titanStubDnnGraph() { return library().text.c_str(); }
/// How many descriptors exist.
long titanStubDnnDescriptors() { return static_cast<long>(library().descriptors.size()); }

size_t cudnnGetVersion() { return static_cast<size_t>(setting("TITAN_STUB_CUDNN", 91900)); }
const char *cudnnGetErrorString(int) { return "a status of the stub"; }
void cudnnGetLastErrorString(char *text, size_t bytes) {
  const auto locked = lock();
  std::strncpy(text, library().reason.c_str(), bytes);
}

int cudnnCreate(DnnHandle *handle) {
  if (titanStubCurrentGpu() < 0)
    return kDnnNotSupported;
  *handle = new DnnHandleObject();
  return kDnnSuccess;
}
int cudnnDestroy(DnnHandle handle) {
  delete handle;
  return kDnnSuccess;
}
int cudnnSetStream(DnnHandle handle, Stream stream) {
  handle->stream = stream;
  return kDnnSuccess;
}

int cudnnBackendCreateDescriptor(int type, DnnDescriptor *descriptor) {
  const auto locked = lock();
  auto it = std::make_shared<Descriptor>();
  it->type = type;
  *descriptor = it.get();
  library().descriptors.emplace(it.get(), std::move(it));
  return kDnnSuccess;
}
int cudnnBackendDestroyDescriptor(DnnDescriptor descriptor) {
  const auto locked = lock();
  return library().descriptors.erase(descriptor)
             ? kDnnSuccess
             : refuse(kDnnBadParameter, "a descriptor that does not exist");
}

int cudnnBackendSetAttribute(DnnDescriptor descriptor, int attribute, int type, int64_t count,
                             const void *values) {
  const auto locked = lock();
  const auto it = library().find(descriptor);
  if (!it || it->isFinal || count < 1 || !values)
    return refuse(kDnnBadParameter, "an attribute of no descriptor, or of one that is final");
  Descriptor::Attribute &set = it->attributes[attribute];
  set = {type, count, {}, {}};
  const auto *bytes = static_cast<const std::byte *>(values);
  set.bytes.assign(bytes, bytes + static_cast<size_t>(count) * bytesOf(type));
  if (type != kDnnTypeDescriptor)
    return kDnnSuccess;
  for (int64_t i = 0; i < count; ++i) {
    const auto other = library().find(static_cast<void *const *>(values)[i]);
    if (!other || !other->isFinal)
      return refuse(kDnnNotFinalized, "a descriptor that is not final");
    set.descriptors.push_back(other);
  }
  return kDnnSuccess;
}

int cudnnBackendFinalize(DnnDescriptor descriptor) {
  const auto locked = lock();
  const auto it = library().find(descriptor);
  library().reason = "a descriptor that is not whole";
  if (!it || it->isFinal || !read(*it))
    return it && it->type == kDnnExecutionPlan ? kDnnNotSupported : kDnnBadParameter;
  it->isFinal = true;
  return kDnnSuccess;
}

int cudnnBackendGetAttribute(DnnDescriptor descriptor, int attribute, int type, int64_t requested,
                             int64_t *count, void *values) {
  const auto locked = lock();
  const auto it = library().find(descriptor);
  if (!it || !it->isFinal)
    return refuse(kDnnNotFinalized, "a descriptor that is not final");
  *count = 1;
  if (it->type == kDnnHeuristic && attribute == kDnnHeuristicResults) {
    *count = kEngines;
    for (int64_t i = 0; i < requested && i < kEngines; ++i) {
      const auto config = library().find(static_cast<void **>(values)[i]);
      if (!config || config->type != kDnnEngineConfig)
        return refuse(kDnnBadParameter, "results of another type");
      config->graph = it->graph;
      config->engine = static_cast<int>(i);
      config->isFinal = true;
    }
  } else if (it->type == kDnnExecutionPlan && attribute == kDnnPlanWorkspace) {
    const int64_t bytes = setting("TITAN_STUB_CUDNN_WORKSPACE", kWorkspace);
    std::memcpy(values, &bytes, sizeof(bytes));
  } else {
    return refuse(kDnnBadParameter, "an attribute that the stub does not know");
  }
  return kDnnSuccess;
}

int cudnnBackendExecute(DnnHandle handle, DnnDescriptor plan, DnnDescriptor pack) {
  const auto locked = lock();
  const auto what = library().find(plan), with = library().find(pack);
  if (!what || !with || what->type != kDnnExecutionPlan || with->type != kDnnVariantPack ||
      !what->isFinal || !with->isFinal)
    return refuse(kDnnBadParameter, "no plan, or no variant pack");
  const auto workspace = with->value<void *>(kDnnPackWorkspace);
  if (!workspace ||
      !titanStubIsValid(reinterpret_cast<uint64_t>(*workspace), kWorkspace, titanStubCurrentGpu()))
    return refuse(kDnnBadParameter, "no workspace");
  ++executions;
  try {
    auto addresses = addressesOf(*what->graph, *with);
    // Numbers are read at once.
    auto numbers = std::make_shared<std::map<int64_t, float>>();
    for (const DnnOperationInfo &operation : *what->graph)
      for (const DnnTensorInfo &input : operation.inputs)
        if (input.isByValue)
          std::memcpy(&(*numbers)[input.id], addresses.at(input.id), sizeof(float));
    for (auto &[id, number] : *numbers)
      addresses[id] = &number;
    return titanStubEnqueue(
        handle->stream, [graph = what->graph, addresses, numbers] { run(*graph, addresses); }, 1);
  } catch (const std::runtime_error &error) {
    return refuse(kDnnBadParameter, error.what());
  }
}
}
