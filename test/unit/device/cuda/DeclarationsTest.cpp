// Titan's declarations of NVIDIA's interfaces against NVIDIA's headers. Built where those are
// found. cuda.h renames functions to their newest versions by macros: it stands first, so that
// Titan's members are renamed alike.
#include <cublasLt.h>
#include <cuda.h>
#include <nccl.h>
#include <nvtx3/nvToolsExt.h>

#include "runtime/device/cuda/BlasLt.h"
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
