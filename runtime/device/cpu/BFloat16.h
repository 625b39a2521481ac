// Kernels on bfloat16 tensors: operands are widened to float32, block by block where they are
// large, computed with the float32 kernels, and results are rounded once. Products and sums are
// therefore as exact as float32's on every CPU.
#pragma once

#include "runtime/base/DType.h"
#include "runtime/device/cpu/Attention.h"
#include "runtime/device/cpu/Gemm.h"

namespace titan::cpu {

/// `count` rows of `width` adjacent elements; strides in elements.
struct RowBlock {
  int64_t count = 0;
  int64_t width = 0;
  int64_t fromStride = 0;
  int64_t toStride = 0;
};

/// float32 from bfloat16, which is exact.
void widenRows(ThreadPool &pool, const RowBlock &rows, const uint16_t *from, float *to);
/// bfloat16 from float32, to nearest even; a NaN stays one.
void narrowRows(ThreadPool &pool, const RowBlock &rows, const float *from, uint16_t *to);

/// A matrix of float32 or bfloat16.
struct MatrixData {
  DType type = DType::f32;
  void *data = nullptr;
};

/// Bytes of workspace, aligned to 64, that gemmMixed() needs on a pool of `threads`.
int64_t gemmMixedWorkspaceBytes(const GemmShape &shape, DType a, DType b, DType c, int threads,
                                Isa isa = bestIsa());

/// gemm() on any mix of float32 and bfloat16. Sums, and a bfloat16 C that is accumulated to, are
/// float32 until the end. Errors as gemm().
Status gemmMixed(ThreadPool &pool, const GemmShape &shape, const MatrixData &a, const MatrixData &b,
                 const MatrixData &c, std::span<std::byte> workspace, Isa isa = bestIsa());

/// attention() and attentionGrad() on bfloat16 tensors; lse is float32. Data is given as there,
/// with bfloat16 elements behind the pointers.
struct AttentionBf16Inputs {
  const uint16_t *q = nullptr;
  const uint16_t *k = nullptr;
  const uint16_t *v = nullptr;
  const int32_t *queryPositions = nullptr;
  const int32_t *keyPositions = nullptr;
};

int64_t attentionBf16WorkspaceBytes(const AttentionShape &shape, int threads, Isa isa = bestIsa());

Status attentionBf16(ThreadPool &pool, const AttentionShape &shape,
                     const AttentionBf16Inputs &inputs, uint16_t *out, float *lse,
                     std::span<std::byte> workspace, Isa isa = bestIsa());

struct AttentionBf16GradInputs {
  AttentionBf16Inputs forward;
  const uint16_t *out = nullptr;
  const float *lse = nullptr;
  const uint16_t *outGrad = nullptr;
};

int64_t attentionBf16GradWorkspaceBytes(const AttentionGradShape &shape, int threads,
                                        Isa isa = bestIsa());

Status attentionBf16Grad(ThreadPool &pool, const AttentionGradShape &shape,
                         const AttentionBf16GradInputs &inputs, uint16_t *qGrad, uint16_t *kGrad,
                         uint16_t *vGrad, std::span<std::byte> workspace, Isa isa = bestIsa());

} // namespace titan::cpu
