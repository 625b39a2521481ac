#include "test/bench/KernelReference.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace titan::bench {

void normForward(int64_t rows, int64_t dim, const float *__restrict x, const float *__restrict w,
                 float *__restrict y, float *__restrict rstd) {
  for (int64_t row = 0; row < rows; ++row, x += dim, y += dim) {
    float sum = 0;
    for (int64_t i = 0; i < dim; ++i)
      sum += x[i] * x[i];
    const float r = 1 / std::sqrt(sum / static_cast<float>(dim) + 1e-5f);
    rstd[row] = r;
    for (int64_t i = 0; i < dim; ++i)
      y[i] = x[i] * r * w[i];
  }
}

void residualNorm(int64_t rows, int64_t dim, const float *__restrict x,
                  const float *__restrict residual, const float *__restrict w,
                  float *__restrict total, float *__restrict y, float *__restrict rstd) {
  for (int64_t row = 0; row < rows; ++row, x += dim, residual += dim, total += dim, y += dim) {
    float sum = 0;
    for (int64_t i = 0; i < dim; ++i) {
      const float value = x[i] + residual[i];
      total[i] = value;
      sum += value * value;
    }
    const float r = 1 / std::sqrt(sum / static_cast<float>(dim) + 1e-5f);
    rstd[row] = r;
    for (int64_t i = 0; i < dim; ++i)
      y[i] = total[i] * r * w[i];
  }
}

void normBackward(int64_t rows, int64_t dim, const float *__restrict dy, const float *__restrict x,
                  const float *__restrict w, const float *__restrict rstd, float *__restrict dx,
                  float *__restrict dw) {
  for (int64_t row = 0; row < rows; ++row, x += dim, dy += dim, dx += dim) {
    float dot = 0;
    for (int64_t i = 0; i < dim; ++i)
      dot += dy[i] * w[i] * x[i];
    const float r = rstd[row], factor = dot / static_cast<float>(dim) * r * r * r;
    for (int64_t i = 0; i < dim; ++i) {
      dx[i] = dy[i] * w[i] * r - x[i] * factor;
      dw[i] += dy[i] * r * x[i];
    }
  }
}

void swigluForward(int64_t size, const float *__restrict a, const float *__restrict b,
                   float *__restrict y) {
  for (int64_t i = 0; i < size; ++i)
    y[i] = a[i] / (1 + std::exp(-a[i])) * b[i];
}

void swigluBackward(int64_t size, const float *__restrict dy, const float *__restrict a,
                    const float *__restrict b, float *__restrict y, float *__restrict da,
                    float *__restrict db) {
  for (int64_t i = 0; i < size; ++i) {
    const float s = 1 / (1 + std::exp(-a[i])), silu = a[i] * s;
    y[i] = silu * b[i];
    da[i] = dy[i] * b[i] * s * (1 + a[i] * (1 - s));
    db[i] = dy[i] * silu;
  }
}

void rope(int64_t positions, int64_t heads, int64_t pairs, const float *__restrict x,
          const float *__restrict cosine, const float *__restrict sine, float *__restrict y) {
  for (int64_t position = 0; position < positions; ++position, cosine += pairs, sine += pairs)
    for (int64_t head = 0; head < heads; ++head, x += 2 * pairs, y += 2 * pairs)
      for (int64_t i = 0; i < pairs; ++i) {
        y[2 * i] = x[2 * i] * cosine[i] - x[2 * i + 1] * sine[i];
        y[2 * i + 1] = x[2 * i + 1] * cosine[i] + x[2 * i] * sine[i];
      }
}

void inverseRope(int64_t positions, int64_t heads, int64_t pairs, const float *__restrict x,
                 const float *__restrict cosine, const float *__restrict sine,
                 float *__restrict y) {
  for (int64_t position = 0; position < positions; ++position, cosine += pairs, sine += pairs)
    for (int64_t head = 0; head < heads; ++head, x += 2 * pairs, y += 2 * pairs)
      for (int64_t i = 0; i < pairs; ++i) {
        y[2 * i] = x[2 * i] * cosine[i] + x[2 * i + 1] * sine[i];
        y[2 * i + 1] = x[2 * i + 1] * cosine[i] - x[2 * i] * sine[i];
      }
}

/// The logarithm of the sum of a row's exponentials.
static float logSumExp(int64_t classes, const float *logits) {
  float maximum = -std::numeric_limits<float>::max();
  for (int64_t i = 0; i < classes; ++i)
    maximum = std::max(maximum, logits[i]);
  float sum = 0;
  for (int64_t i = 0; i < classes; ++i)
    sum += std::exp(logits[i] - maximum);
  return std::log(sum) + maximum;
}

float crossEntropyLoss(int64_t rows, int64_t classes, const float *logits, const int32_t *labels) {
  float loss = 0;
  for (int64_t row = 0; row < rows; ++row, logits += classes)
    loss += logSumExp(classes, logits) - logits[labels[row]];
  return loss;
}

float crossEntropy(int64_t rows, int64_t classes, const float *logits, const int32_t *labels,
                   float scale, float *dlogits) {
  float loss = 0;
  for (int64_t row = 0; row < rows; ++row, logits += classes, dlogits += classes) {
    const float logSum = logSumExp(classes, logits);
    loss += logSum - logits[labels[row]];
#pragma clang loop vectorize(assume_safety)
    for (int64_t i = 0; i < classes; ++i)
      dlogits[i] = std::exp(logits[i] - logSum) * scale;
    dlogits[labels[row]] -= scale;
  }
  return loss;
}

float sumOfSquares(int64_t size, const float *x) {
  float sum = 0;
  for (int64_t i = 0; i < size; ++i)
    sum += x[i] * x[i];
  return sum;
}

void adam(int64_t size, float *__restrict p, const float *__restrict g, float *__restrict m,
          float *__restrict v, const AdamScalars &scalars) {
  if (scalars.finite == 0)
    return;
  const float lr = scalars.lr, scale = scalars.scale, kept = 1 - lr * scalars.decay;
  const float c1 = 1 / scalars.correction1, c2 = 1 / scalars.correction2;
  const float rate1 = scalars.rate1, rate2 = scalars.rate2, epsilon = scalars.epsilon;
  const float beta1 = 1 - rate1, beta2 = 1 - rate2;
  for (int64_t i = 0; i < size; ++i) {
    const float gradient = g[i] * scale;
    m[i] = beta1 * m[i] + rate1 * gradient;
    v[i] = beta2 * v[i] + rate2 * gradient * gradient;
    p[i] = p[i] * kept - lr * (m[i] * c1) / (std::sqrt(v[i] * c2) + epsilon);
  }
}

void triad(int64_t size, const float *__restrict a, const float *__restrict b,
           float *__restrict c) {
  for (int64_t i = 0; i < size; ++i)
    c[i] = a[i] + 3.0f * b[i];
}

} // namespace titan::bench
