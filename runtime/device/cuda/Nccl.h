// NCCL, opened at run time.
//
// As for the driver, the declarations are ours and a test compares them with NVIDIA's header.
#pragma once

#include "runtime/base/DType.h"
#include "runtime/base/DynamicLibrary.h"
#include "runtime/device/cuda/DriverApi.h"

#include <climits>
#include <memory>
#include <span>
#include <utility>

namespace titan::cuda {

using NcclHandle = struct NcclHandleObject *;

/// What rank 0 of a communicator makes and all others are told.
struct NcclId {
  char bytes[128];
};

/// As NCCL 2.14 has it; newer versions go by `size` and `version`.
struct NcclConfig {
  size_t size = sizeof(NcclConfig);
  unsigned magic = 0xcafebeef;
  unsigned version = 21400;
  int blocking = 0;
};

inline constexpr int kNcclSuccess = 0, kNcclInvalidArgument = 4, kNcclInvalidUsage = 5,
                     kNcclRemoteError = 6, kNcclInProgress = 7;
inline constexpr int kNcclSum = 0, kNcclMax = 2;
inline constexpr int kNcclInt8 = 0, kNcclUint8 = 1, kNcclInt32 = 2, kNcclInt64 = 4,
                     kNcclFloat16 = 6, kNcclFloat32 = 7, kNcclFloat64 = 8, kNcclBFloat16 = 9;

/// Where the library is looked for; then in CUDA's and pip's folders.
inline constexpr const char *kNcclLibrary = "libnccl.so.2";
/// 2.14, which came with communicators that do not block, as ncclGetVersion counts.
inline constexpr int kOldestNccl = 21400;

/// The types that NCCL can reduce.
inline constexpr std::pair<DType, int> kNcclTypes[] = {
    {DType::f32, kNcclFloat32}, {DType::f64, kNcclFloat64}, {DType::bf16, kNcclBFloat16},
    {DType::f16, kNcclFloat16}, {DType::i32, kNcclInt32},   {DType::i64, kNcclInt64}};

/// The type whose elements are moved, or reduced, as those of `type` are: all that is not reduced
/// is moved as it is.
int ncclType(DType type);

class Nccl {
public:
  /// Errors (unavailable) name the library and the version that is wanted. `name` is empty for
  /// kNcclLibrary.
  static StatusOr<std::unique_ptr<Nccl>> open(const std::string &name);

  /// Ok also while something is in progress. `communicator` may be null.
  Status check(int result, const char *what, NcclHandle communicator) const;
  std::string describeVersion() const;
  /// Ends communicators of one rank, whose operations then leave the GPU. All at once: one that
  /// frees memory of the GPU waits for the others' kernels, which only their own end stops.
  void abortAll(std::span<const NcclHandle> communicators) const;

#define TITAN_NCCL(result, name, parameters) result(*name) parameters = nullptr;
#include "runtime/device/cuda/NcclFunctions.def"
#undef TITAN_NCCL

private:
  explicit Nccl(DynamicLibrary library) : library(std::move(library)) {}

  DynamicLibrary library;
  int version = 0;
};

} // namespace titan::cuda
