// What a C++ programmer writes by hand for the row kernels, as an opponent of the generated ones.
#pragma once

#include <cstdint>

namespace titan::bench {

void normForward(int64_t rows, int64_t dim, const float *x, const float *w, float *y, float *rstd);
/// sum = x + residual, y = the norm of sum
void residualNorm(int64_t rows, int64_t dim, const float *x, const float *residual, const float *w,
                  float *sum, float *y, float *rstd);
/// Adds to `dw`.
void normBackward(int64_t rows, int64_t dim, const float *dy, const float *x, const float *w,
                  const float *rstd, float *dx, float *dw);
void swigluForward(int64_t size, const float *a, const float *b, float *y);
void swigluBackward(int64_t size, const float *dy, const float *a, const float *b, float *y,
                    float *da, float *db);
void rope(int64_t positions, int64_t heads, int64_t pairs, const float *x, const float *cosine,
          const float *sine, float *y);
void inverseRope(int64_t positions, int64_t heads, int64_t pairs, const float *x,
                 const float *cosine, const float *sine, float *y);
/// Returns the loss.
float crossEntropyLoss(int64_t rows, int64_t classes, const float *logits, const int32_t *labels);
/// Returns the loss; `dlogits` may be `logits`.
float crossEntropy(int64_t rows, int64_t classes, const float *logits, const int32_t *labels,
                   float scale, float *dlogits);
float sumOfSquares(int64_t size, const float *x);
struct AdamScalars {
  float lr, scale, correction1, correction2, finite;
  float rate1, rate2, epsilon, decay; ///< 1 - beta of both moments
};
void adam(int64_t size, float *p, const float *g, float *m, float *v, const AdamScalars &scalars);
void triad(int64_t size, const float *a, const float *b, float *c);

} // namespace titan::bench
