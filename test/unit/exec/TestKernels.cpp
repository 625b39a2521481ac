// Kernels in the form that the compiler emits them: see runtime/abi/KernelAbi.h.
#include "runtime/abi/KernelAbi.h"

extern "C" {

/// out[i] = 2 in[i], one row of 8 per block.
void double_rows(void *const *arguments, int64_t begin, int64_t end) {
  const auto *in = static_cast<const float *>(arguments[0]);
  auto *out = static_cast<float *>(arguments[1]);
  for (int64_t i = begin * 8; i < end * 8; ++i)
    out[i] = 2 * in[i];
}

/// partial[block] = sum of the block's row.
void sum_rows(void *const *arguments, int64_t begin, int64_t end) {
  const auto *in = static_cast<const float *>(arguments[0]);
  auto *partial = static_cast<float *>(arguments[2]);
  for (int64_t block = begin; block < end; ++block) {
    partial[block] = 0;
    for (int64_t i = 0; i < 8; ++i)
      partial[block] += in[block * 8 + i];
  }
}

/// out = sum of the partials, in order.
void sum_partials(void *const *arguments, int64_t, int64_t) {
  auto *out = static_cast<float *>(arguments[1]);
  const auto *partial = static_cast<const float *>(arguments[2]);
  *out = 0;
  for (int64_t block = 0; block < 4; ++block)
    *out += partial[block];
}
}
