// How long an op takes, in one unit for products, passes over memory and collectives.
#pragma once

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace titan {

/// What a machine computes, in flops of its matrix products, while it moves one byte. The defaults
/// are measured on a core of a Sapphire Rapids CPU in float32 (docs/benchmarks.md): products at 158
/// GF/s, kernels beyond the caches at 16 to 22 GB/s, collectives between threads at 1.1 to 2.2
/// GB/s.
struct MachineBalance {
  double flopsPerByte = 10;         ///< of memory
  double flopsPerNetworkByte = 100; ///< sent to, and received from, other ranks
};

/// The time of an op in flops: its own (CostOpInterface), or if they are more those that the
/// machine could do while it moves the op's bytes; of a collective, over a ring. A view takes none,
/// and a pointwise function, which is fused with what reads it, its flops alone.
int64_t estimateWork(mlir::Operation *op, const MachineBalance &balance = {});

/// That of all its ops, one after another.
double estimateWork(mlir::func::FuncOp function, const MachineBalance &balance = {});

} // namespace titan
