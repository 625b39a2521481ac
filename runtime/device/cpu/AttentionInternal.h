// What the parts of attention share.
#pragma once

#include "runtime/device/cpu/Attention.h"
#include "runtime/device/cpu/Workspace.h"

namespace titan::cpu {

/// One direction of attention for one instruction set. Shapes are checked.
struct AttentionForward {
  int64_t (*workspaceBytes)(const AttentionShape &shape, int threads);
  void (*run)(ThreadPool &pool, const AttentionShape &shape, const AttentionInputs &inputs,
              float *out, float *lse, Workspace space);
};
struct AttentionBackward {
  int64_t (*workspaceBytes)(const AttentionGradShape &shape, int threads);
  void (*run)(ThreadPool &pool, const AttentionGradShape &shape, const AttentionGradInputs &inputs,
              float *qGrad, float *kGrad, float *vGrad, Workspace space);
};

const AttentionForward &attentionForward(Isa isa);
const AttentionBackward &attentionBackward(Isa isa);

/// One head's rows within a tensor.
template <typename T> struct HeadRows {
  T *data;
  int64_t stride;
  T *operator[](int64_t row) const { return data + row * stride; }
};

template <typename T>
HeadRows<T> headRows(T *data, const HeadStrides &strides, int64_t batch, int64_t head) {
  return {data + batch * strides.batch + head * strides.head, strides.row};
}

} // namespace titan::cpu
