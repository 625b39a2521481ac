// What the implementations of gemm() share.
#pragma once

#include "runtime/device/cpu/Gemm.h"

namespace titan::cpu {

/// Whether the sizes and leading dimensions of a shape are legal.
Status checkGemmShape(const GemmShape &shape);

/// C of a product without terms (k == 0): zero, or unchanged when accumulating.
void clearGemmResult(const GemmShape &shape, float *c);

} // namespace titan::cpu
