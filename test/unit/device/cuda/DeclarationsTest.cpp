// Titan's declarations of NVIDIA's interfaces against NVIDIA's headers. Built where those are
// found. cuda.h renames functions to their newest versions by macros: it stands first, so that
// Titan's members are renamed alike.
#include <cublasLt.h>
#include <cuda.h>
#include <cudnn.h>
#include <nccl.h>
#include <nvtx3/nvToolsExt.h>

#include "runtime/device/cuda/BlasLt.h"
#include "runtime/device/cuda/Cudnn.h"
#include "runtime/device/cuda/Nccl.h"
#include "runtime/device/cuda/Nvtx.h"

#include <gtest/gtest.h>

namespace {

namespace ours = titan::cuda;

/// Types are passed alike: both pointers, or of one size and both integers (enumerations count as
/// such), or both floating point.
template <typename A, typename B> constexpr bool passesAlike() {
  if constexpr (std::is_pointer_v<A> || std::is_pointer_v<B>)
    return std::is_pointer_v<A> && std::is_pointer_v<B>;
  else if constexpr (std::is_void_v<A> || std::is_void_v<B>)
    return std::is_void_v<A> && std::is_void_v<B>;
  else
    return sizeof(A) == sizeof(B) && std::is_floating_point_v<A> == std::is_floating_point_v<B>;
}

template <typename R, typename... A, typename S, typename... B>
constexpr bool sameSignature(R (*)(A...), S (*)(B...)) {
  if constexpr (sizeof...(A) != sizeof...(B))
    return false;
  else
    return passesAlike<R, S>() && (passesAlike<A, B>() && ...);
}

#define TITAN_DRIVER(name, parameters)                                                             \
  static_assert(sameSignature(decltype(&::name){}, decltype(ours::Driver::name){}), #name);
#include "runtime/device/cuda/DriverFunctions.def"
#undef TITAN_DRIVER

#define TITAN_BLASLT(result, name, parameters)                                                     \
  static_assert(sameSignature(decltype(&::name){}, decltype(ours::BlasLt::name){}), #name);
#include "runtime/device/cuda/BlasLtFunctions.def"
#undef TITAN_BLASLT

#define TITAN_CUDNN(result, name, parameters)                                                      \
  static_assert(sameSignature(decltype(&::name){}, decltype(ours::Cudnn::name){}), #name);
#include "runtime/device/cuda/CudnnFunctions.def"
#undef TITAN_CUDNN

#define TITAN_NCCL(result, name, parameters)                                                       \
  static_assert(sameSignature(decltype(&::name){}, decltype(ours::Nccl::name){}), #name);
#include "runtime/device/cuda/NcclFunctions.def"
#undef TITAN_NCCL

static_assert(sizeof(ours::NvtxCallbackTable) == sizeof(NvtxExportTableCallbacks));
static_assert(offsetof(ours::NvtxCallbackTable, getModule) ==
              offsetof(NvtxExportTableCallbacks, GetModuleFunctionTable));
static_assert(sizeof(ours::NvtxVersionTable) == sizeof(NvtxExportTableVersionInfo));
static_assert(offsetof(ours::NvtxVersionTable, version) ==
              offsetof(NvtxExportTableVersionInfo, version));
static_assert(sizeof(ours::NcclId) == sizeof(ncclUniqueId));
static_assert(offsetof(ours::NcclConfig, magic) == offsetof(ncclConfig_t, magic));
static_assert(offsetof(ours::NcclConfig, version) == offsetof(ncclConfig_t, version));
static_assert(offsetof(ours::NcclConfig, blocking) == offsetof(ncclConfig_t, blocking));
static_assert(sizeof(ours::DeviceUuid) == sizeof(CUuuid));
static_assert(sizeof(ours::AllocationProperties) == sizeof(CUmemAllocationProp));
static_assert(offsetof(ours::AllocationProperties, location) ==
              offsetof(CUmemAllocationProp, location));
static_assert(offsetof(ours::AllocationProperties, win32HandleMetaData) ==
              offsetof(CUmemAllocationProp, win32HandleMetaData));
static_assert(sizeof(ours::AccessDescription) == sizeof(CUmemAccessDesc));
static_assert(offsetof(ours::AccessDescription, flags) == offsetof(CUmemAccessDesc, flags));
static_assert(sizeof(ours::LtAlgorithm) == sizeof(cublasLtMatmulAlgo_t));
static_assert(sizeof(ours::LtChoice) == sizeof(cublasLtMatmulHeuristicResult_t));
static_assert(offsetof(ours::LtChoice, workspaceBytes) ==
              offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize));
static_assert(offsetof(ours::LtChoice, state) == offsetof(cublasLtMatmulHeuristicResult_t, state));

TEST(DeclarationsTest, ConstantsOfTheDriver) {
  EXPECT_EQ(ours::kSuccess, CUDA_SUCCESS);
  EXPECT_EQ(ours::kInvalidValue, CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(ours::kOutOfMemory, CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(ours::kNoDevice, CUDA_ERROR_NO_DEVICE);
  EXPECT_EQ(ours::kInvalidContext, CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(ours::kInvalidHandle, CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(ours::kNotFound, CUDA_ERROR_NOT_FOUND);
  EXPECT_EQ(ours::kNotReady, CUDA_ERROR_NOT_READY);
  EXPECT_EQ(ours::kIllegalAddress, CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_EQ(ours::kCaptureUnsupported, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_EQ(ours::kMajorAttribute, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
  EXPECT_EQ(ours::kMinorAttribute, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
  EXPECT_EQ(ours::kProcessorsAttribute, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
  EXPECT_EQ(ours::kVirtualMemoryAttribute, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED);
  EXPECT_EQ(ours::kRemoteAccessAttribute,
            CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WITH_CUDA_VMM_SUPPORTED);
  EXPECT_EQ(ours::kPinnedAllocation, CU_MEM_ALLOCATION_TYPE_PINNED);
  EXPECT_EQ(ours::kDeviceLocation, CU_MEM_LOCATION_TYPE_DEVICE);
  EXPECT_EQ(ours::kReadWrite, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
  EXPECT_EQ(ours::kMinimumGranularity, CU_MEM_ALLOC_GRANULARITY_MINIMUM);
  EXPECT_EQ(ours::kPortable, CU_MEMHOSTALLOC_PORTABLE);
  EXPECT_EQ(ours::kDeviceMap, CU_MEMHOSTALLOC_DEVICEMAP);
  EXPECT_EQ(ours::kNonBlocking, CU_STREAM_NON_BLOCKING);
  EXPECT_EQ(ours::kDisableTiming, CU_EVENT_DISABLE_TIMING);
  EXPECT_EQ(ours::kRelaxedCapture, CU_STREAM_CAPTURE_MODE_RELAXED);
  EXPECT_EQ(ours::kErrorLogBuffer, CU_JIT_ERROR_LOG_BUFFER);
  EXPECT_EQ(ours::kErrorLogBufferBytes, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES);
  EXPECT_EQ(ours::kRegistersAttribute, CU_FUNC_ATTRIBUTE_NUM_REGS);
}

TEST(DeclarationsTest, ConstantsOfBlasLt) {
  EXPECT_EQ(ours::kLtSuccess, CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(ours::kLtInvalidValue, CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(ours::kLtNotSupported, CUBLAS_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(ours::kLtFloat32, CUDA_R_32F);
  EXPECT_EQ(ours::kLtBFloat16, CUDA_R_16BF);
  EXPECT_EQ(ours::kLtComputeFloat32, CUBLAS_COMPUTE_32F);
  EXPECT_EQ(ours::kLtTransposeA, CUBLASLT_MATMUL_DESC_TRANSA);
  EXPECT_EQ(ours::kLtTransposeB, CUBLASLT_MATMUL_DESC_TRANSB);
  EXPECT_EQ(ours::kLtNoTranspose, CUBLAS_OP_N);
  EXPECT_EQ(ours::kLtTranspose, CUBLAS_OP_T);
  EXPECT_EQ(ours::kLtBatchCount, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT);
  EXPECT_EQ(ours::kLtBatchStride, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET);
  EXPECT_EQ(ours::kLtMaxWorkspace, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES);
  EXPECT_EQ(ours::kLtReductionSchemes, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK);
  EXPECT_EQ(ours::kLtAlignmentA, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES);
  EXPECT_EQ(ours::kLtAlignmentB, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES);
  EXPECT_EQ(ours::kLtAlignmentC, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES);
  EXPECT_EQ(ours::kLtAlignmentD, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES);
}

TEST(DeclarationsTest, ConstantsOfCudnn) {
  EXPECT_EQ(ours::kDnnSuccess, CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(ours::kDnnBadParameter, CUDNN_STATUS_BAD_PARAM);
  EXPECT_EQ(ours::kDnnNotFinalized, CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED);
  EXPECT_EQ(ours::kDnnNotSupported, CUDNN_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(ours::kDnnFloat32, CUDNN_DATA_FLOAT);
  EXPECT_EQ(ours::kDnnInt32, CUDNN_DATA_INT32);
  EXPECT_EQ(ours::kDnnBFloat16, CUDNN_DATA_BFLOAT16);
  EXPECT_EQ(ours::kDnnBoolean, CUDNN_DATA_BOOLEAN);
  EXPECT_EQ(ours::kDnnTypeHandle, CUDNN_TYPE_HANDLE);
  EXPECT_EQ(ours::kDnnTypeDataType, CUDNN_TYPE_DATA_TYPE);
  EXPECT_EQ(ours::kDnnTypeBoolean, CUDNN_TYPE_BOOLEAN);
  EXPECT_EQ(ours::kDnnTypeInt64, CUDNN_TYPE_INT64);
  EXPECT_EQ(ours::kDnnTypeFloat, CUDNN_TYPE_FLOAT);
  EXPECT_EQ(ours::kDnnTypePointer, CUDNN_TYPE_VOID_PTR);
  EXPECT_EQ(ours::kDnnTypeHeuristicMode, CUDNN_TYPE_HEUR_MODE);
  EXPECT_EQ(ours::kDnnTypePointwiseMode, CUDNN_TYPE_POINTWISE_MODE);
  EXPECT_EQ(ours::kDnnTypeDescriptor, CUDNN_TYPE_BACKEND_DESCRIPTOR);
  EXPECT_EQ(ours::kDnnTypeReductionOperator, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE);
  EXPECT_EQ(ours::kDnnTypeChar, CUDNN_TYPE_CHAR);
  EXPECT_EQ(ours::kDnnPointwise, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  EXPECT_EQ(ours::kDnnEngineConfig, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  EXPECT_EQ(ours::kDnnHeuristic, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  EXPECT_EQ(ours::kDnnExecutionPlan, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  EXPECT_EQ(ours::kDnnPointwiseOperation, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  EXPECT_EQ(ours::kDnnOperationGraph, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  EXPECT_EQ(ours::kDnnVariantPack, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  EXPECT_EQ(ours::kDnnTensor, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  EXPECT_EQ(ours::kDnnMatmul, CUDNN_BACKEND_MATMUL_DESCRIPTOR);
  EXPECT_EQ(ours::kDnnMatmulOperation, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
  EXPECT_EQ(ours::kDnnReduction, CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
  EXPECT_EQ(ours::kDnnReductionOperation, CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
  EXPECT_EQ(ours::kDnnReshapeOperation, CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
  EXPECT_EQ(ours::kDnnDeviceProperties, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  EXPECT_EQ(ours::kDnnPointwiseMode, CUDNN_ATTR_POINTWISE_MODE);
  EXPECT_EQ(ours::kDnnPointwisePrecision, CUDNN_ATTR_POINTWISE_MATH_PREC);
  EXPECT_EQ(ours::kDnnPointwiseAxis, CUDNN_ATTR_POINTWISE_AXIS);
  EXPECT_EQ(ours::kDnnHeuristicMode, CUDNN_ATTR_ENGINEHEUR_MODE);
  EXPECT_EQ(ours::kDnnHeuristicGraph, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
  EXPECT_EQ(ours::kDnnHeuristicResults, CUDNN_ATTR_ENGINEHEUR_RESULTS);
  EXPECT_EQ(ours::kDnnHeuristicDevice, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP);
  EXPECT_EQ(ours::kDnnPlanHandle, CUDNN_ATTR_EXECUTION_PLAN_HANDLE);
  EXPECT_EQ(ours::kDnnPlanConfig, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
  EXPECT_EQ(ours::kDnnPlanWorkspace, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
  EXPECT_EQ(ours::kDnnPlanDevice, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP);
  EXPECT_EQ(ours::kDnnPointwiseDescriptor, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
  EXPECT_EQ(ours::kDnnPointwiseX, CUDNN_ATTR_OPERATION_POINTWISE_XDESC);
  EXPECT_EQ(ours::kDnnPointwiseB, CUDNN_ATTR_OPERATION_POINTWISE_BDESC);
  EXPECT_EQ(ours::kDnnPointwiseY, CUDNN_ATTR_OPERATION_POINTWISE_YDESC);
  EXPECT_EQ(ours::kDnnPointwiseAlpha1, CUDNN_ATTR_OPERATION_POINTWISE_ALPHA1);
  EXPECT_EQ(ours::kDnnPointwiseAlpha2, CUDNN_ATTR_OPERATION_POINTWISE_ALPHA2);
  EXPECT_EQ(ours::kDnnPointwiseT, CUDNN_ATTR_OPERATION_POINTWISE_TDESC);
  EXPECT_EQ(ours::kDnnGraphHandle, CUDNN_ATTR_OPERATIONGRAPH_HANDLE);
  EXPECT_EQ(ours::kDnnGraphOperations, CUDNN_ATTR_OPERATIONGRAPH_OPS);
  EXPECT_EQ(ours::kDnnTensorAlignment, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT);
  EXPECT_EQ(ours::kDnnTensorType, CUDNN_ATTR_TENSOR_DATA_TYPE);
  EXPECT_EQ(ours::kDnnTensorShape, CUDNN_ATTR_TENSOR_DIMENSIONS);
  EXPECT_EQ(ours::kDnnTensorStrides, CUDNN_ATTR_TENSOR_STRIDES);
  EXPECT_EQ(ours::kDnnTensorId, CUDNN_ATTR_TENSOR_UNIQUE_ID);
  EXPECT_EQ(ours::kDnnTensorIsVirtual, CUDNN_ATTR_TENSOR_IS_VIRTUAL);
  EXPECT_EQ(ours::kDnnTensorIsByValue, CUDNN_ATTR_TENSOR_IS_BY_VALUE);
  EXPECT_EQ(ours::kDnnPackIds, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
  EXPECT_EQ(ours::kDnnPackPointers, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
  EXPECT_EQ(ours::kDnnPackWorkspace, CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
  EXPECT_EQ(ours::kDnnMatmulPrecision, CUDNN_ATTR_MATMUL_COMP_TYPE);
  EXPECT_EQ(ours::kDnnMatmulA, CUDNN_ATTR_OPERATION_MATMUL_ADESC);
  EXPECT_EQ(ours::kDnnMatmulB, CUDNN_ATTR_OPERATION_MATMUL_BDESC);
  EXPECT_EQ(ours::kDnnMatmulC, CUDNN_ATTR_OPERATION_MATMUL_CDESC);
  EXPECT_EQ(ours::kDnnMatmulDescriptor, CUDNN_ATTR_OPERATION_MATMUL_DESC);
  EXPECT_EQ(ours::kDnnReductionOperator, CUDNN_ATTR_REDUCTION_OPERATOR);
  EXPECT_EQ(ours::kDnnReductionPrecision, CUDNN_ATTR_REDUCTION_COMP_TYPE);
  EXPECT_EQ(ours::kDnnReductionIsDeterministic, CUDNN_ATTR_REDUCTION_IS_DETERMINISTIC);
  EXPECT_EQ(ours::kDnnReductionX, CUDNN_ATTR_OPERATION_REDUCTION_XDESC);
  EXPECT_EQ(ours::kDnnReductionY, CUDNN_ATTR_OPERATION_REDUCTION_YDESC);
  EXPECT_EQ(ours::kDnnReductionDescriptor, CUDNN_ATTR_OPERATION_REDUCTION_DESC);
  EXPECT_EQ(ours::kDnnReshapeX, CUDNN_ATTR_OPERATION_RESHAPE_XDESC);
  EXPECT_EQ(ours::kDnnReshapeY, CUDNN_ATTR_OPERATION_RESHAPE_YDESC);
  EXPECT_EQ(ours::kDnnDeviceJson, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION);
  EXPECT_EQ(ours::kDnnAdd, CUDNN_POINTWISE_ADD);
  EXPECT_EQ(ours::kDnnMultiply, CUDNN_POINTWISE_MUL);
  EXPECT_EQ(ours::kDnnDivide, CUDNN_POINTWISE_DIV);
  EXPECT_EQ(ours::kDnnSubtract, CUDNN_POINTWISE_SUB);
  EXPECT_EQ(ours::kDnnExp, CUDNN_POINTWISE_EXP);
  EXPECT_EQ(ours::kDnnLog, CUDNN_POINTWISE_LOG);
  EXPECT_EQ(ours::kDnnIdentity, CUDNN_POINTWISE_IDENTITY);
  EXPECT_EQ(ours::kDnnGreaterOrEqual, CUDNN_POINTWISE_CMP_GE);
  EXPECT_EQ(ours::kDnnGenerateIndex, CUDNN_POINTWISE_GEN_INDEX);
  EXPECT_EQ(ours::kDnnSelect, CUDNN_POINTWISE_BINARY_SELECT);
  EXPECT_EQ(ours::kDnnReduceAdd, CUDNN_REDUCE_TENSOR_ADD);
  EXPECT_EQ(ours::kDnnReduceMax, CUDNN_REDUCE_TENSOR_MAX);
  EXPECT_EQ(ours::kDnnHeuristicModeA, CUDNN_HEUR_MODE_A);
}

TEST(DeclarationsTest, ConstantsOfNvtx) {
  EXPECT_EQ(ours::kNvtxCore, static_cast<unsigned>(NVTX_CB_MODULE_CORE));
  EXPECT_EQ(ours::kNvtxModules, static_cast<unsigned>(NVTX_CB_MODULE_SIZE));
  EXPECT_EQ(ours::kNvtxRangePush, static_cast<unsigned>(NVTX_CBID_CORE_RangePushA));
  EXPECT_EQ(ours::kNvtxRangePop, static_cast<unsigned>(NVTX_CBID_CORE_RangePop));
  EXPECT_EQ(ours::kNvtxFunctions, static_cast<unsigned>(NVTX_CBID_CORE_SIZE));
  EXPECT_EQ(ours::kNvtxFunctions, static_cast<unsigned>(NVTX_CBID_CORE2_SIZE));
  EXPECT_GE(ours::kNvtxFunctions, static_cast<unsigned>(NVTX_CBID_OPENCL_SIZE));
  EXPECT_EQ(ours::kNvtxCallbacks, static_cast<uint32_t>(NVTX_ETID_CALLBACKS));
  EXPECT_EQ(ours::kNvtxVersionInfo, static_cast<uint32_t>(NVTX_ETID_VERSIONINFO));
  EXPECT_EQ(ours::kNvtxVersion, static_cast<uint32_t>(NVTX_VERSION));
}

TEST(DeclarationsTest, ConstantsOfNccl) {
  EXPECT_EQ(ours::kNcclSuccess, ncclSuccess);
  EXPECT_EQ(ours::kNcclInvalidArgument, ncclInvalidArgument);
  EXPECT_EQ(ours::kNcclInvalidUsage, ncclInvalidUsage);
  EXPECT_EQ(ours::kNcclRemoteError, ncclRemoteError);
  EXPECT_EQ(ours::kNcclInProgress, ncclInProgress);
  EXPECT_EQ(ours::kNcclSum, ncclSum);
  EXPECT_EQ(ours::kNcclMax, ncclMax);
  EXPECT_EQ(ours::kNcclInt8, ncclInt8);
  EXPECT_EQ(ours::kNcclUint8, ncclUint8);
  EXPECT_EQ(ours::kNcclInt32, ncclInt32);
  EXPECT_EQ(ours::kNcclInt64, ncclInt64);
  EXPECT_EQ(ours::kNcclFloat16, ncclFloat16);
  EXPECT_EQ(ours::kNcclFloat32, ncclFloat32);
  EXPECT_EQ(ours::kNcclFloat64, ncclFloat64);
  EXPECT_EQ(ours::kNcclBFloat16, ncclBfloat16);
  const ncclConfig_t theirs = NCCL_CONFIG_INITIALIZER;
  EXPECT_EQ(ours::NcclConfig().magic, theirs.magic);
}

} // namespace
