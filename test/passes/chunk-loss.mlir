// RUN: titan-opt %s -titan-chunk-loss="chunks=2" | FileCheck %s
// RUN: titan-opt %s -titan-chunk-loss="chunks=1" | FileCheck %s --check-prefix=ONE
// RUN: titan-opt %s -titan-chunk-loss="tokens-per-chunk=3" | FileCheck %s
// RUN: titan-opt %s -titan-chunk-loss="tokens-per-chunk=5" | FileCheck %s --check-prefix=ONE
// RUN: not titan-opt %s -titan-chunk-loss="chunks=0" 2>&1 | FileCheck %s --check-prefix=ZERO
// ZERO: expects at least 1 chunk, found 0
// RUN: not titan-opt %s -titan-chunk-loss="tokens-per-chunk=-1" 2>&1 | FileCheck %s --check-prefix=LESS
// LESS: expects chunks of at least 1 token, or 0 for a number of chunks, found -1

// Five tokens in two chunks: three and two. The first chunk's logits are dead before the second's
// are made.
// CHECK-LABEL: func.func @forward
// CHECK: titan.slice %{{.*}} at 0 : tensor<5x4xf32> -> tensor<3x4xf32>
// CHECK: titan.einsum "td,vd->tv" {{.*}} -> tensor<3x9xf32>
// CHECK: titan.cross_entropy
// CHECK: titan.slice %{{.*}} at 3 : tensor<5x4xf32> -> tensor<2x4xf32>
// CHECK: titan.einsum "td,vd->tv" {{.*}} -> tensor<2x9xf32>
// CHECK: titan.cross_entropy
// CHECK: titan.add
// ONE-LABEL: func.func @forward
// ONE-NOT: titan.slice
// ONE: titan.einsum "td,vd->tv" {{.*}} -> tensor<5x9xf32>
func.func @forward(%x: tensor<1x5x4xf32>, %w: tensor<9x4xf32>, %l: tensor<1x5xi32>) -> tensor<f32> {
  %a, %v = titan.head_loss %x, %w, %l : (tensor<1x5x4xf32>, tensor<9x4xf32>, tensor<1x5xi32>) -> (tensor<f32>, tensor<f32>)
  return %a : tensor<f32>
}

// The weight's gradient is one accumulator through all chunks; the input's parts stand one after
// another.
// CHECK-LABEL: func.func @backward
// CHECK: %[[DX0:.*]] = titan.einsum "tv,vd->td"
// CHECK: %[[DW0:.*]] = titan.einsum "tv,td->vd"
// CHECK: %[[DX1:.*]] = titan.einsum "tv,vd->td"
// CHECK: %[[DW1:.*]] = titan.einsum "tv,td->vd" {{.*}} acc(%[[DW0]]
// CHECK: titan.concat %[[DX0]], %[[DX1]]
func.func @backward(%x: tensor<1x5x4xf32>, %w: tensor<9x4xf32>, %l: tensor<1x5xi32>, %d: tensor<f32>) -> (tensor<1x5x4xf32>, tensor<9x4xf32>) {
  %a, %v, %dx, %dw = titan.head_loss_grad %x, %w, %l, %d : (tensor<1x5x4xf32>, tensor<9x4xf32>, tensor<1x5xi32>, tensor<f32>) -> (tensor<f32>, tensor<f32>, tensor<1x5x4xf32>, tensor<9x4xf32>)
  return %dx, %dw : tensor<1x5x4xf32>, tensor<9x4xf32>
}
