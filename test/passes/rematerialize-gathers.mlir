// RUN: titan-opt %s -split-input-file -titan-rematerialize=mode=none | FileCheck %s

// A weight whose gather says so stays from forward to backward, whatever else is recomputed.
titan.mesh @mesh [dp_shard = 2]
titan.variable parameter @w : tensor<16xf32>
titan.variable gradient @gradient.w : tensor<8x4xf32>
// CHECK-LABEL: func.func @fwd
// CHECK: %[[G:.*]] = titan.all_gather %{{.*}} over [dp_shard] dimension 0 placement per_microbatch
// CHECK: %[[W:.*]] = titan.reshape %[[G]]
// CHECK: return %{{.*}}, %[[W]] : tensor<4x8xf32>, tensor<8x4xf32>
func.func @fwd(%x: tensor<4x4xf32>) -> (tensor<4x8xf32>, tensor<8x4xf32>) {
  %s = titan.load @w : tensor<16xf32>
  %g = titan.all_gather %s over [dp_shard] dimension 0 placement per_microbatch : (tensor<16xf32>) -> tensor<32xf32>
  %w = titan.reshape %g : tensor<32xf32> -> tensor<8x4xf32>
  %h = titan.einsum "td,nd->tn" %x, %w : tensor<4x4xf32>, tensor<8x4xf32> -> tensor<4x8xf32>
  return %h, %w : tensor<4x8xf32>, tensor<8x4xf32>
}
// CHECK-LABEL: func.func @bwd
// CHECK-NOT: titan.all_gather
// CHECK: return
func.func @bwd(%x: tensor<4x4xf32>, %h: tensor<4x8xf32>, %w: tensor<8x4xf32>) {
  %y = titan.einsum "tn,nd->td" %h, %w : tensor<4x8xf32>, tensor<8x4xf32> -> tensor<4x4xf32>
  %g = titan.einsum "tn,td->nd" %h, %y : tensor<4x8xf32>, tensor<4x4xf32> -> tensor<8x4xf32>
  titan.store %g, @gradient.w : tensor<8x4xf32>
  return
}

// -----

// Otherwise it is gathered again.
titan.mesh @mesh [dp_shard = 2]
titan.variable parameter @w : tensor<16xf32>
titan.variable gradient @gradient.w : tensor<8x4xf32>
// CHECK-LABEL: func.func @fwd
// CHECK: return %{{[^,]*}} : tensor<4x8xf32>
func.func @fwd(%x: tensor<4x4xf32>) -> (tensor<4x8xf32>, tensor<8x4xf32>) {
  %s = titan.load @w : tensor<16xf32>
  %g = titan.all_gather %s over [dp_shard] dimension 0 : (tensor<16xf32>) -> tensor<32xf32>
  %w = titan.reshape %g : tensor<32xf32> -> tensor<8x4xf32>
  %h = titan.einsum "td,nd->tn" %x, %w : tensor<4x4xf32>, tensor<8x4xf32> -> tensor<4x8xf32>
  return %h, %w : tensor<4x8xf32>, tensor<8x4xf32>
}
// CHECK-LABEL: func.func @bwd
// CHECK: titan.all_gather
func.func @bwd(%x: tensor<4x4xf32>, %h: tensor<4x8xf32>, %w: tensor<8x4xf32>) {
  %y = titan.einsum "tn,nd->td" %h, %w : tensor<4x8xf32>, tensor<8x4xf32> -> tensor<4x4xf32>
  %g = titan.einsum "tn,td->nd" %h, %y : tensor<4x8xf32>, tensor<4x4xf32> -> tensor<8x4xf32>
  titan.store %g, @gradient.w : tensor<8x4xf32>
  return
}
