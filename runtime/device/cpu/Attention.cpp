#include "runtime/device/cpu/Attention.h"
#include "runtime/device/cpu/AttentionInternal.h"
#include "runtime/device/cpu/ThreadPool.h"

#include <algorithm>

namespace titan::cpu {

static Status checkShape(const AttentionShape &shape) {
  if (std::min({shape.batch, shape.queryLength, shape.keyLength, shape.heads, shape.kvHeads,
                shape.headDim}) < 0)
    return invalidArgument(
        "attention: batch " + std::to_string(shape.batch) + ", lengths " +
        std::to_string(shape.queryLength) + " and " + std::to_string(shape.keyLength) + ", heads " +
        std::to_string(shape.heads) + " and " + std::to_string(shape.kvHeads) +
        " and head dimension " + std::to_string(shape.headDim) + " must not be negative");
  if (std::max(shape.queryLength, shape.keyLength) > INT32_MAX)
    return invalidArgument("attention: lengths " + std::to_string(shape.queryLength) + " and " +
                           std::to_string(shape.keyLength) + " do not fit int32 positions");
  if (shape.kvHeads == 0 ? shape.heads != 0 : shape.heads % shape.kvHeads != 0)
    return invalidArgument("attention: " + std::to_string(shape.heads) +
                           " heads are not a multiple of " + std::to_string(shape.kvHeads) +
                           " key heads");
  return okStatus();
}

int64_t attentionWorkspaceBytes(const AttentionShape &shape, int threads, Isa isa) {
  return checkShape(shape).ok() ? attentionForward(isa).workspaceBytes(shape, threads) : 0;
}

Status attention(ThreadPool &pool, const AttentionShape &shape, const AttentionInputs &inputs,
                 float *out, float *lse, std::span<std::byte> workspace, Isa isa) {
  TITAN_RETURN_IF_ERROR(checkShape(shape));
  const AttentionForward &kernel = attentionForward(isa);
  Workspace space(workspace);
  TITAN_RETURN_IF_ERROR(space.check("attention", kernel.workspaceBytes(shape, pool.size())));
  if (shape.batch * shape.heads * shape.queryLength > 0)
    kernel.run(pool, shape, inputs, out, lse, space);
  return okStatus();
}

int64_t attentionGradWorkspaceBytes(const AttentionGradShape &shape, int threads, Isa isa) {
  return checkShape(shape.forward).ok() ? attentionBackward(isa).workspaceBytes(shape, threads) : 0;
}

Status attentionGrad(ThreadPool &pool, const AttentionGradShape &shape,
                     const AttentionGradInputs &inputs, float *qGrad, float *kGrad, float *vGrad,
                     std::span<std::byte> workspace, Isa isa) {
  TITAN_RETURN_IF_ERROR(checkShape(shape.forward));
  const AttentionBackward &kernel = attentionBackward(isa);
  Workspace space(workspace);
  TITAN_RETURN_IF_ERROR(
      space.check("attention gradient", kernel.workspaceBytes(shape, pool.size())));
  if (shape.forward.batch * shape.forward.kvHeads > 0)
    kernel.run(pool, shape, inputs, qGrad, kGrad, vGrad, space);
  return okStatus();
}

} // namespace titan::cpu
