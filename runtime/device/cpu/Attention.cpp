#include "runtime/device/cpu/Attention.h"
#include "runtime/device/cpu/ThreadPool.h"
#include "runtime/device/cpu/Workspace.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace titan::cpu {

namespace {

Status checkShape(const AttentionShape &shape) {
  if (std::min({shape.batch, shape.queryLength, shape.keyLength, shape.heads, shape.kvHeads,
                shape.headDim}) < 0)
    return invalidArgument(
        "attention: batch " + std::to_string(shape.batch) + ", lengths " +
        std::to_string(shape.queryLength) + " and " + std::to_string(shape.keyLength) + ", heads " +
        std::to_string(shape.heads) + " and " + std::to_string(shape.kvHeads) +
        " and head dimension " + std::to_string(shape.headDim) + " must not be negative");
  if (shape.heads > 0 && (shape.kvHeads == 0 || shape.heads % shape.kvHeads != 0))
    return invalidArgument("attention: " + std::to_string(shape.heads) +
                           " heads are not a multiple of " + std::to_string(shape.kvHeads) +
                           " key heads");
  return okStatus();
}

/// One head's rows within a tensor.
template <typename T> struct Rows {
  T *data;
  int64_t stride;
  T *operator[](int64_t row) const { return data + row * stride; }
};

template <typename T>
Rows<T> headRows(T *data, const HeadStrides &strides, int64_t batch, int64_t head) {
  return {data + batch * strides.batch + head * strides.head, strides.row};
}

bool sees(const AttentionShape &shape, const AttentionInputs &inputs, int64_t batch, int64_t query,
          int64_t key) {
  if (!shape.causal)
    return true;
  int64_t queryPosition =
      inputs.queryPositions ? inputs.queryPositions[batch * shape.queryLength + query] : query;
  int64_t keyPosition =
      inputs.keyPositions ? inputs.keyPositions[batch * shape.keyLength + key] : key;
  return queryPosition >= keyPosition;
}

float dot(const float *a, const float *b, int64_t n) {
  float sum = 0;
  for (int64_t i = 0; i < n; ++i)
    sum += a[i] * b[i];
  return sum;
}

void addScaled(float *target, float factor, const float *source, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    target[i] += factor * source[i];
}

} // namespace

int64_t attentionWorkspaceBytes(const AttentionShape &shape, int threads, Isa) {
  return threads * Workspace::bytesFor<float>(shape.keyLength);
}

Status attention(ThreadPool &pool, const AttentionShape &shape, const AttentionInputs &inputs,
                 float *out, float *lse, std::span<std::byte> workspace, Isa) {
  TITAN_RETURN_IF_ERROR(checkShape(shape));
  Workspace space(workspace);
  TITAN_RETURN_IF_ERROR(space.check("attention", attentionWorkspaceBytes(shape, pool.size())));
  int64_t scoreStride = Workspace::bytesFor<float>(shape.keyLength) / sizeof(float);
  float *allScores = space.take<float>(scoreStride * pool.size());
  int64_t rows = shape.batch * shape.heads * shape.queryLength;
  pool.parallelFor(rows, [&](int64_t begin, int64_t end, int worker) {
    float *scores = allScores + worker * scoreStride;
    for (int64_t row = begin; row < end; ++row) {
      int64_t query = row % shape.queryLength, head = row / shape.queryLength % shape.heads;
      int64_t batch = row / shape.queryLength / shape.heads;
      int64_t kvHead = head / (shape.heads / shape.kvHeads);
      const float *q = headRows(inputs.q, shape.q, batch, head)[query];
      auto k = headRows(inputs.k, shape.k, batch, kvHead);
      auto v = headRows(inputs.v, shape.v, batch, kvHead);
      float *o = headRows(out, shape.out, batch, head)[query];
      float largest = -std::numeric_limits<float>::infinity(), sum = 0;
      for (int64_t key = 0; key < shape.keyLength; ++key) {
        scores[key] = sees(shape, inputs, batch, query, key)
                          ? shape.scale * dot(q, k[key], shape.headDim)
                          : -std::numeric_limits<float>::infinity();
        largest = std::max(largest, scores[key]);
      }
      std::fill_n(o, shape.headDim, 0.0f);
      for (int64_t key = 0; key < shape.keyLength; ++key) {
        if (!sees(shape, inputs, batch, query, key))
          continue;
        float weight = std::exp(scores[key] - largest);
        sum += weight;
        addScaled(o, weight, v[key], shape.headDim);
      }
      for (int64_t d = 0; d < shape.headDim && sum > 0; ++d)
        o[d] /= sum;
      lse[row] = sum > 0 ? largest + std::log(sum) : -std::numeric_limits<float>::infinity();
    }
  });
  return okStatus();
}

int64_t attentionGradWorkspaceBytes(const AttentionGradShape &, int, Isa) { return 0; }

Status attentionGrad(ThreadPool &pool, const AttentionGradShape &gradShape,
                     const AttentionGradInputs &inputs, float *qGrad, float *kGrad, float *vGrad,
                     std::span<std::byte>, Isa) {
  const AttentionShape &shape = gradShape.forward;
  TITAN_RETURN_IF_ERROR(checkShape(shape));
  auto oneKeyHead = [&](int64_t batch, int64_t kvHead) {
    auto k = headRows(inputs.forward.k, shape.k, batch, kvHead);
    auto v = headRows(inputs.forward.v, shape.v, batch, kvHead);
    auto dk = headRows(kGrad, gradShape.kGrad, batch, kvHead);
    auto dv = headRows(vGrad, gradShape.vGrad, batch, kvHead);
    for (int64_t key = 0; key < shape.keyLength; ++key) {
      std::fill_n(dk[key], shape.headDim, 0.0f);
      std::fill_n(dv[key], shape.headDim, 0.0f);
    }
    int64_t group = shape.heads / shape.kvHeads;
    for (int64_t head = kvHead * group; head < (kvHead + 1) * group; ++head) {
      auto q = headRows(inputs.forward.q, shape.q, batch, head);
      auto o = headRows(inputs.out, shape.out, batch, head);
      auto dOut = headRows(inputs.outGrad, gradShape.outGrad, batch, head);
      auto dq = headRows(qGrad, gradShape.qGrad, batch, head);
      const float *lse = inputs.lse + (batch * shape.heads + head) * shape.queryLength;
      for (int64_t query = 0; query < shape.queryLength; ++query) {
        std::fill_n(dq[query], shape.headDim, 0.0f);
        float delta = dot(dOut[query], o[query], shape.headDim);
        for (int64_t key = 0; key < shape.keyLength; ++key) {
          if (!sees(shape, inputs.forward, batch, query, key))
            continue;
          float score = shape.scale * dot(q[query], k[key], shape.headDim);
          float weight = std::exp(score - lse[query]);
          float dScore = shape.scale * weight * (dot(dOut[query], v[key], shape.headDim) - delta);
          addScaled(dv[key], weight, dOut[query], shape.headDim);
          addScaled(dk[key], dScore, q[query], shape.headDim);
          addScaled(dq[query], dScore, k[key], shape.headDim);
        }
      }
    }
  };
  pool.parallelFor(
      shape.batch * shape.kvHeads,
      [&](int64_t begin, int64_t end, int) {
        for (int64_t task = begin; task < end; ++task)
          oneKeyHead(task / shape.kvHeads, task % shape.kvHeads);
      },
      /*maxRange=*/1);
  return okStatus();
}

} // namespace titan::cpu
