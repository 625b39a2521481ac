// Matrix products by cuBLASLt, opened at run time.
//
// As for the driver, the declarations are ours and a test compares them with NVIDIA's headers.
#pragma once

#include "runtime/base/DynamicLibrary.h"
#include "runtime/device/cuda/DriverApi.h"
#include "runtime/format/Program.h"

#include <memory>
#include <vector>

namespace titan::cuda {

using LtHandle = struct LtHandleObject *;
using LtOperation = struct LtOperationObject *;
using LtLayout = struct LtLayoutObject *;
using LtPreference = struct LtPreferenceObject *;

struct LtAlgorithm {
  uint64_t data[8];
};

struct LtChoice {
  LtAlgorithm algorithm;
  size_t workspaceBytes;
  int state;
  float waves;
  int reserved[4];
};

inline constexpr int kLtSuccess = 0, kLtInvalidValue = 7, kLtNotSupported = 15;
inline constexpr int kLtFloat32 = 0, kLtBFloat16 = 14, kLtComputeFloat32 = 68;
inline constexpr int kLtTransposeA = 3, kLtTransposeB = 4;
inline constexpr int kLtNoTranspose = 0, kLtTranspose = 1;
inline constexpr int kLtBatchCount = 5, kLtBatchStride = 6;
inline constexpr int kLtMaxWorkspace = 1, kLtReductionSchemes = 3, kLtAlignmentA = 5,
                     kLtAlignmentB = 6, kLtAlignmentC = 7, kLtAlignmentD = 8;

/// Where the library is looked for, newest first; then in CUDA's and pip's folders.
inline constexpr const char *kBlasLtLibraries[] = {"libcublasLt.so.13", "libcublasLt.so.12"};
/// 12.1, as cublasLtGetVersion counts.
inline constexpr size_t kOldestBlasLt = 120100;

/// A gemm instruction as cuBLASLt counts: column-major, so that C^T = op(B)^T op(A)^T.
///
///   instruction     C[M,N] = A[M,K] B[N,K]^T       with lda, ldb, ldc
///   here            first = B: [K,N] transposed, second = A: [K,M], result [N,M]
struct LtProblem {
  struct Matrix {
    int type;
    int64_t rows, columns, leading, batchStride;
    int64_t alignment; ///< of its address, in bytes, at most 256
    bool operator==(const Matrix &) const = default;
  };
  Matrix first, second, result;
  bool transposeFirst, transposeSecond, accumulate;
  int64_t batch;
  bool operator==(const LtProblem &) const = default;
};

/// Fails (invalid argument) on element types that cuBLASLt does not multiply.
StatusOr<LtProblem> describeGemm(const format::Gemm &op, DType a, DType b, DType c,
                                 DeviceAddress addressA, DeviceAddress addressB,
                                 DeviceAddress addressC);

/// A problem with its descriptors and the algorithm for it.
class LtPlan {
public:
  ~LtPlan();
  LtPlan(const LtPlan &) = delete;
  LtPlan &operator=(const LtPlan &) = delete;

  size_t workspaceBytes() const { return choice.workspaceBytes; }
  Status enqueue(const void *first, const void *second, void *result, void *workspace,
                 Stream stream) const;

private:
  friend class BlasLt;
  LtPlan(const class BlasLt &library, bool accumulate)
      : library(library), beta(accumulate ? 1.0f : 0.0f) {}

  const class BlasLt &library;
  LtOperation operation = nullptr;
  LtLayout first = nullptr, second = nullptr, result = nullptr;
  LtChoice choice{};
  float alpha = 1, beta;
};

class BlasLt {
public:
  /// Errors (unavailable) name the library and the version that is wanted.
  static StatusOr<std::unique_ptr<BlasLt>> open(const std::string &name);
  ~BlasLt();

  /// Describes the problem and finds up to `most` algorithms for it, in the order in which cuBLASLt
  /// expects them to be fast, of those which accumulate in float32 and need no more workspace.
  /// Fails (invalid argument) when there is none.
  StatusOr<std::vector<LtChoice>> choices(const LtProblem &problem, int64_t maxWorkspace,
                                          int most) const;
  /// The problem with an algorithm that was found before, which the library checks anew. Fails when
  /// it does not fit the problem or needs more workspace.
  StatusOr<std::unique_ptr<LtPlan>> plan(const LtProblem &problem, const LtChoice &choice,
                                         int64_t maxWorkspace) const;

  Status check(int status, const char *what) const;
  std::string describeVersion() const;

#define TITAN_BLASLT(result, name, parameters) result(*name) parameters = nullptr;
#include "runtime/device/cuda/BlasLtFunctions.def"
#undef TITAN_BLASLT

private:
  friend class LtPlan;
  explicit BlasLt(DynamicLibrary library) : library(std::move(library)) {}

  Status resolve();
  Status describe(const LtProblem &problem, LtPlan &plan) const;
  StatusOr<LtLayout> createLayout(const LtProblem::Matrix &matrix, int64_t batch) const;

  DynamicLibrary library;
  LtHandle handle = nullptr;
};

} // namespace titan::cuda
