// What the implementations of gemm() share.
#pragma once

#include "runtime/device/cpu/Gemm.h"
#include "runtime/device/cpu/Workspace.h"

namespace titan::cpu {

/// Whether the sizes and leading dimensions of a shape are legal.
Status checkGemmShape(const GemmShape &shape);

/// C of a product without terms (k == 0): zero, or unchanged when accumulating.
void clearGemmResult(const GemmShape &shape, float *c);

/// Our own implementation for one instruction set; its shapes are checked and not empty.
struct GemmTiled {
  int64_t (*workspaceBytes)(const GemmShape &shape, int threads);
  void (*run)(ThreadPool &pool, const GemmShape &shape, const float *a, const float *b, float *c,
              Workspace space);
};

/// Null where there is none and oneDNN computes.
const GemmTiled *tiledGemm(Isa isa);

} // namespace titan::cpu
