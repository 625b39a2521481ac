// Causal attention with grouped queries, forward and backward, in float32 on the thread pool.
//
// Both directions work block by block and never store the score matrix: T. Dao, "FlashAttention-2:
// Faster Attention with Better Parallelism and Work Partitioning", 2023.
#pragma once

#include "runtime/base/Status.h"
#include "runtime/device/cpu/CpuFeatures.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace titan::cpu {

class ThreadPool;

/// Elements from one batch entry, row (position) and head of a tensor to the next; the elements of
/// a head are adjacent. A slice of a fused QKV has the row stride of the whole.
struct HeadStrides {
  int64_t batch = 0;
  int64_t row = 0;
  int64_t head = 0;
};

/// q, out [batch, queryLength, heads, headDim]; k, v [batch, keyLength, kvHeads, headDim]; query
/// head h reads key head h / (heads / kvHeads).
struct AttentionShape {
  int64_t batch = 0;
  int64_t queryLength = 0;
  int64_t keyLength = 0;
  int64_t heads = 0;
  int64_t kvHeads = 0; ///< divides heads
  int64_t headDim = 0;
  float scale = 1; ///< of the scores, usually 1 / sqrt(headDim)
  bool causal = true;
  HeadStrides q, k, v, out;
};

struct AttentionInputs {
  const float *q = nullptr;
  const float *k = nullptr;
  const float *v = nullptr;
  /// With causal, query i sees key j iff queryPositions[i] >= keyPositions[j]; without, every query
  /// sees every key and positions are not read. Null means 0, 1, 2, ...
  const int32_t *queryPositions = nullptr; ///< [batch, queryLength]
  const int32_t *keyPositions = nullptr;   ///< [batch, keyLength]
};

/// Bytes of workspace, aligned to 64, that attention() needs on a pool of `threads`.
int64_t attentionWorkspaceBytes(const AttentionShape &shape, int threads, Isa isa = bestIsa());

/// out = softmax(scale q k^T) v, and lse [batch, heads, queryLength], the natural logarithm of each
/// row's sum of exponentials. A query that sees no key has out 0 and lse -infinity. Allocates
/// nothing; the bits do not depend on the number of threads. Errors (invalid argument): negative
/// sizes, kvHeads that does not divide heads, a workspace that is too small.
Status attention(ThreadPool &pool, const AttentionShape &shape, const AttentionInputs &inputs,
                 float *out, float *lse, std::span<std::byte> workspace, Isa isa = bestIsa());

/// The shape of the gradient: the forward's, and the strides of what the backward adds.
struct AttentionGradShape {
  AttentionShape forward;
  HeadStrides outGrad, qGrad, kGrad, vGrad;
};

/// The forward's results and the cotangent of out.
struct AttentionGradInputs {
  AttentionInputs forward;
  const float *out = nullptr;
  const float *lse = nullptr;
  const float *outGrad = nullptr;
};

/// Bytes of workspace, aligned to 64, that attentionGrad() needs on a pool of `threads`.
int64_t attentionGradWorkspaceBytes(const AttentionGradShape &shape, int threads,
                                    Isa isa = bestIsa());

/// Writes (does not add to) the gradients of q, k and v. The gradients of the heads that share a
/// key head are added in the order of the heads; bits do not depend on the number of threads.
/// Allocates nothing. Errors as attention().
Status attentionGrad(ThreadPool &pool, const AttentionGradShape &shape,
                     const AttentionGradInputs &inputs, float *qGrad, float *kGrad, float *vGrad,
                     std::span<std::byte> workspace, Isa isa = bestIsa());

} // namespace titan::cpu
