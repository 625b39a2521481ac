// cuDNN's backend interface, opened at run time: descriptors, which are given typed attributes and
// then finalized.
//
// As for the driver, the declarations are ours and a test compares them with NVIDIA's headers.
#pragma once

#include "runtime/base/DynamicLibrary.h"
#include "runtime/device/cuda/DriverApi.h"

#include <memory>
#include <span>

namespace titan::cuda {

using DnnHandle = struct DnnHandleObject *;
using DnnDescriptor = void *;

inline constexpr int kDnnSuccess = 0, kDnnBadParameter = 2000, kDnnNotFinalized = 2004,
                     kDnnNotSupported = 3000;

// Types of elements, and of attributes.
inline constexpr int kDnnFloat32 = 0, kDnnInt32 = 4, kDnnBFloat16 = 9, kDnnBoolean = 11;
inline constexpr int kDnnTypeHandle = 0, kDnnTypeDataType = 1, kDnnTypeBoolean = 2,
                     kDnnTypeInt64 = 3, kDnnTypeFloat = 4, kDnnTypePointer = 6,
                     kDnnTypeHeuristicMode = 8, kDnnTypePointwiseMode = 14, kDnnTypeDescriptor = 15,
                     kDnnTypeReductionOperator = 18, kDnnTypeChar = 24;

// Descriptors.
inline constexpr int kDnnPointwise = 0, kDnnEngineConfig = 3, kDnnHeuristic = 4,
                     kDnnExecutionPlan = 5, kDnnPointwiseOperation = 13, kDnnOperationGraph = 15,
                     kDnnVariantPack = 16, kDnnTensor = 17, kDnnMatmul = 18,
                     kDnnMatmulOperation = 19, kDnnReduction = 21, kDnnReductionOperation = 22,
                     kDnnReshapeOperation = 31, kDnnDeviceProperties = 38;

// Attributes.
inline constexpr int kDnnPointwiseMode = 0, kDnnPointwisePrecision = 1, kDnnPointwiseAxis = 9;
inline constexpr int kDnnHeuristicMode = 200, kDnnHeuristicGraph = 201, kDnnHeuristicResults = 202,
                     kDnnHeuristicDevice = 204;
inline constexpr int kDnnPlanHandle = 400, kDnnPlanConfig = 401, kDnnPlanWorkspace = 402,
                     kDnnPlanDevice = 407;
inline constexpr int kDnnPointwiseDescriptor = 750, kDnnPointwiseX = 751, kDnnPointwiseB = 752,
                     kDnnPointwiseY = 753, kDnnPointwiseAlpha1 = 754, kDnnPointwiseAlpha2 = 755,
                     kDnnPointwiseT = 758;
inline constexpr int kDnnGraphHandle = 800, kDnnGraphOperations = 801;
inline constexpr int kDnnTensorAlignment = 900, kDnnTensorType = 901, kDnnTensorShape = 902,
                     kDnnTensorStrides = 903, kDnnTensorId = 906, kDnnTensorIsVirtual = 907,
                     kDnnTensorIsByValue = 908;
inline constexpr int kDnnPackIds = 1000, kDnnPackPointers = 1001, kDnnPackWorkspace = 1003;
inline constexpr int kDnnMatmulPrecision = 1500;
inline constexpr int kDnnMatmulA = 1520, kDnnMatmulB = 1521, kDnnMatmulC = 1522,
                     kDnnMatmulDescriptor = 1523;
inline constexpr int kDnnReductionOperator = 1600, kDnnReductionPrecision = 1601,
                     kDnnReductionIsDeterministic = 1602;
inline constexpr int kDnnReductionX = 1610, kDnnReductionY = 1611, kDnnReductionDescriptor = 1612;
inline constexpr int kDnnReshapeX = 2200, kDnnReshapeY = 2201;
inline constexpr int kDnnDeviceJson = 2702;

// Modes of pointwise operations, operators of reductions, and others.
inline constexpr int kDnnAdd = 0, kDnnMultiply = 1, kDnnDivide = 6, kDnnSubtract = 9, kDnnExp = 13,
                     kDnnLog = 15, kDnnIdentity = 21, kDnnGreaterOrEqual = 303,
                     kDnnGenerateIndex = 501, kDnnSelect = 601;
inline constexpr int kDnnReduceAdd = 0, kDnnReduceMax = 3;
inline constexpr int kDnnHeuristicModeA = 3;

inline constexpr const char *kDnnLibrary = "libcudnn.so.9";
/// 9.6, as cudnnGetVersion counts: the first whose gradient of attention clears its own sums.
inline constexpr size_t kOldestDnn = 90600;

class Cudnn {
public:
  /// Errors (unavailable) name the library and the version that is wanted.
  static StatusOr<std::unique_ptr<Cudnn>> open(const std::string &name);

  size_t version() const { return cudnnGetVersion(); }
  std::string describeVersion() const;
  /// Success, or `what` with the error's name and the library's own words.
  Status check(int status, const char *what) const;

#define TITAN_CUDNN(result, name, parameters) result(*name) parameters = nullptr;
#include "runtime/device/cuda/CudnnFunctions.def"
#undef TITAN_CUDNN

private:
  explicit Cudnn(DynamicLibrary library) : library(std::move(library)) {}

  Status resolve();

  DynamicLibrary library;
};

/// A descriptor that ends with it. The first failure stays: later calls do nothing, and finalize()
/// returns it. The library outlives it.
class DnnObject {
public:
  DnnObject(const Cudnn &library, int type);
  ~DnnObject();
  DnnObject(DnnObject &&other) noexcept
      : library(other.library), descriptor(std::exchange(other.descriptor, nullptr)),
        status(std::move(other.status)) {}
  DnnObject(const DnnObject &) = delete;

  /// Sets an attribute of the library's `type`, whose elements are `Value`s.
  template <typename Value> DnnObject &set(int attribute, int type, std::span<const Value> values) {
    return setRaw(attribute, type, static_cast<int64_t>(values.size()),
                  static_cast<const void *>(values.data()));
  }
  template <typename Value> DnnObject &set(int attribute, int type, const Value &value) {
    return setRaw(attribute, type, 1, static_cast<const void *>(&value));
  }
  DnnObject &set(int attribute, const DnnObject &other) {
    return set(attribute, kDnnTypeDescriptor, other.descriptor);
  }
  Status finalize();

  DnnDescriptor get() const { return descriptor; }

private:
  DnnObject &setRaw(int attribute, int type, int64_t count, const void *values);

  const Cudnn &library;
  DnnDescriptor descriptor = nullptr;
  Status status;
};

} // namespace titan::cuda
