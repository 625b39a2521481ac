#include "runtime/device/cpu/AttentionInternal.h"
#include "runtime/device/cpu/BFloat16.h"
#include "runtime/device/cpu/ThreadPool.h"

#include <algorithm>

namespace titan::cpu {

namespace {

/// [batch, length, heads, dim] without gaps.
HeadStrides compact(int64_t length, int64_t heads, int64_t dim) {
  return {length * heads * dim, heads * dim, dim};
}

/// Calls convert(rows, from, to) for the heads of each position, `from` and `to` being offsets.
template <typename Convert>
void forEachPosition(int64_t batch, int64_t length, int64_t heads, int64_t dim,
                     const HeadStrides &from, const HeadStrides &to, Convert convert) {
  // Where heads stand side by side in both, a batch entry is one block of rows.
  const bool dense = from.head == dim && to.head == dim;
  for (int64_t entry = 0; entry < batch; ++entry) {
    if (dense) {
      convert(RowBlock{length, heads * dim, from.row, to.row}, entry * from.batch,
              entry * to.batch);
      continue;
    }
    for (int64_t head = 0; head < heads; ++head)
      convert(RowBlock{length, dim, from.row, to.row}, entry * from.batch + head * from.head,
              entry * to.batch + head * to.head);
  }
}

/// A tensor widened into the workspace.
struct Wide {
  int64_t batch, length, heads, dim;
  HeadStrides narrow;
  float *data;

  Wide(Workspace &space, int64_t batch, int64_t length, int64_t heads, int64_t dim,
       const HeadStrides &narrow)
      : batch(batch), length(length), heads(heads), dim(dim), narrow(narrow),
        data(space.take<float>(std::max<int64_t>(batch * length * heads * dim, 0))) {}

  HeadStrides strides() const { return compact(length, heads, dim); }

  const float *load(ThreadPool &pool, const uint16_t *from) const {
    forEachPosition(batch, length, heads, dim, narrow, strides(),
                    [&](const RowBlock &rows, int64_t at, int64_t to) {
                      widenRows(pool, rows, from + at, data + to);
                    });
    return data;
  }
  void store(ThreadPool &pool, uint16_t *to) const {
    forEachPosition(batch, length, heads, dim, strides(), narrow,
                    [&](const RowBlock &rows, int64_t from, int64_t at) {
                      narrowRows(pool, rows, data + from, to + at);
                    });
  }
};

/// The tensors of the forward, and the shape of attention on them.
struct WideForward {
  Wide q, k, v, out;
  AttentionShape shape;

  WideForward(Workspace &space, const AttentionShape &narrow)
      : q(space, narrow.batch, narrow.queryLength, narrow.heads, narrow.headDim, narrow.q),
        k(space, narrow.batch, narrow.keyLength, narrow.kvHeads, narrow.headDim, narrow.k),
        v(space, narrow.batch, narrow.keyLength, narrow.kvHeads, narrow.headDim, narrow.v),
        out(space, narrow.batch, narrow.queryLength, narrow.heads, narrow.headDim, narrow.out),
        shape(narrow) {
    shape.q = q.strides();
    shape.k = k.strides();
    shape.v = v.strides();
    shape.out = out.strides();
  }

  AttentionInputs load(ThreadPool &pool, const AttentionBf16Inputs &inputs) const {
    return {q.load(pool, inputs.q), k.load(pool, inputs.k), v.load(pool, inputs.v),
            inputs.queryPositions, inputs.keyPositions};
  }
};

struct WideBackward {
  WideForward forward;
  Wide outGrad, qGrad, kGrad, vGrad;
  AttentionGradShape shape;

  WideBackward(Workspace &space, const AttentionGradShape &narrow)
      : forward(space, narrow.forward), outGrad(like(space, forward.out, narrow.outGrad)),
        qGrad(like(space, forward.q, narrow.qGrad)), kGrad(like(space, forward.k, narrow.kGrad)),
        vGrad(like(space, forward.v, narrow.vGrad)),
        shape{forward.shape, outGrad.strides(), qGrad.strides(), kGrad.strides(), vGrad.strides()} {
  }

private:
  static Wide like(Workspace &space, const Wide &tensor, const HeadStrides &narrow) {
    return {space, tensor.batch, tensor.length, tensor.heads, tensor.dim, narrow};
  }
};

std::span<std::byte> takeBytes(Workspace &space, int64_t bytes) {
  return {space.take<std::byte>(bytes), static_cast<size_t>(bytes)};
}

} // namespace

int64_t attentionBf16WorkspaceBytes(const AttentionShape &shape, int threads, Isa isa) {
  Workspace measured;
  const WideForward wide(measured, shape);
  return measured.usedBytes() + attentionWorkspaceBytes(wide.shape, threads, isa);
}

Status attentionBf16(ThreadPool &pool, const AttentionShape &shape,
                     const AttentionBf16Inputs &inputs, uint16_t *out, float *lse,
                     std::span<std::byte> workspace, Isa isa) {
  Workspace space(workspace);
  TITAN_RETURN_IF_ERROR(
      space.check("attention", attentionBf16WorkspaceBytes(shape, pool.size(), isa)));
  const WideForward wide(space, shape);
  const auto inner = takeBytes(space, attentionWorkspaceBytes(wide.shape, pool.size(), isa));
  TITAN_RETURN_IF_ERROR(
      attention(pool, wide.shape, wide.load(pool, inputs), wide.out.data, lse, inner, isa));
  wide.out.store(pool, out);
  return okStatus();
}

int64_t attentionBf16GradWorkspaceBytes(const AttentionGradShape &shape, int threads, Isa isa) {
  Workspace measured;
  const WideBackward wide(measured, shape);
  return measured.usedBytes() + attentionGradWorkspaceBytes(wide.shape, threads, isa);
}

Status attentionBf16Grad(ThreadPool &pool, const AttentionGradShape &shape,
                         const AttentionBf16GradInputs &inputs, uint16_t *qGrad, uint16_t *kGrad,
                         uint16_t *vGrad, std::span<std::byte> workspace, Isa isa) {
  Workspace space(workspace);
  TITAN_RETURN_IF_ERROR(
      space.check("attention gradient", attentionBf16GradWorkspaceBytes(shape, pool.size(), isa)));
  const WideBackward wide(space, shape);
  const auto inner = takeBytes(space, attentionGradWorkspaceBytes(wide.shape, pool.size(), isa));
  const AttentionGradInputs given{wide.forward.load(pool, inputs.forward),
                                  wide.forward.out.load(pool, inputs.out), inputs.lse,
                                  wide.outGrad.load(pool, inputs.outGrad)};
  TITAN_RETURN_IF_ERROR(attentionGrad(pool, wide.shape, given, wide.qGrad.data, wide.kGrad.data,
                                      wide.vGrad.data, inner, isa));
  wide.qGrad.store(pool, qGrad);
  wide.kGrad.store(pool, kGrad);
  wide.vGrad.store(pool, vGrad);
  return okStatus();
}

} // namespace titan::cpu
