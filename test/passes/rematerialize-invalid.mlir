// RUN: not titan-opt %s -titan-rematerialize="budget=1.5" 2>&1 | FileCheck %s --check-prefix=BUDGET
// RUN: not titan-opt %s -titan-rematerialize="every=0" 2>&1 | FileCheck %s --check-prefix=EVERY
// RUN: not titan-opt %s -titan-rematerialize="flops-per-byte=-1" 2>&1 | FileCheck %s --check-prefix=BALANCE
// RUN: not titan-opt %S/rematerialize.mlir -titan-rematerialize="mode=limit" 2>&1 | FileCheck %s --check-prefix=RANKS
// RUN: not titan-opt %S/rematerialize.mlir -titan-rematerialize="mode=limit bytes=255" 2>&1 | FileCheck %s --check-prefix=LIMIT
// RUN: titan-opt %s -titan-rematerialize -verify-diagnostics

// BUDGET: error: expects a budget from 0 to 1, found 1.5
// EVERY: error: expects every 1st or a later layer, found every 0
// BALANCE: error: expects flops per byte of at least 0
// RANKS: error: expects the bytes of each of the 1 pipeline ranks, found 0
// LIMIT: error: expects at least 256 bytes for pipeline rank 0, found 255

func.func @fwd(%x: tensor<4xf32>) -> tensor<4xf32> {
  return %x : tensor<4xf32>
}
// expected-error @+1 {{expects the arguments of @fwd, then its residuals, found '(tensor<4xf32>, tensor<8xf32>) -> ()'}}
func.func @bwd(%x: tensor<4xf32>, %y: tensor<8xf32>) {
  return
}
