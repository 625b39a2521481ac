// Collectives start early and are awaited late: the weights of three layers, and two gradients.
// RUN: titan-opt %s -titan-bucket-collectives -titan-schedule-instructions | FileCheck %s
// RUN: titan-opt %s -titan-bucket-collectives -titan-schedule-instructions=prefetch=0 | FileCheck %s --check-prefix=NONE

titan.mesh @mesh [dp_shard = 2, tp = 2]
titan.variable parameter @layers.0.w : tensor<2048xf32>
titan.variable parameter @layers.1.w : tensor<2048xf32>
titan.variable parameter @layers.2.w : tensor<2064xf32>
titan.variable gradient @gradient.layers.1.w : tensor<2048xf32>
titan.variable gradient @gradient.layers.0.w : tensor<2048xf32>

// CHECK-LABEL: func.func @fwd
// CHECK: %[[P0:.*]] = titan.start all_gather
// CHECK: %[[W0:.*]] = titan.await %[[P0]]
// CHECK: %[[P1:.*]] = titan.start all_gather
// CHECK: titan.einsum
// CHECK: %[[W1:.*]] = titan.await %[[P1]]
// CHECK: %[[P2:.*]] = titan.start all_gather
// CHECK: titan.einsum
// CHECK: %[[W2:.*]] = titan.await %[[P2]]
// CHECK: titan.slice %[[W2]]
// CHECK: titan.einsum
// NONE-LABEL: func.func @fwd
// NONE: titan.start
// NONE-NEXT: titan.await
// NONE: titan.einsum
// NONE: titan.start
// NONE-NEXT: titan.await
// NONE: titan.einsum
func.func @fwd(%x: tensor<1x64xf32>) -> tensor<1x64xf32> {
  %s0 = titan.load @layers.0.w : tensor<2048xf32>
  %f0 = titan.all_gather %s0 over [dp_shard] dimension 0 : (tensor<2048xf32>) -> tensor<4096xf32>
  %w0 = titan.reshape %f0 : tensor<4096xf32> -> tensor<64x64xf32>
  %s1 = titan.load @layers.1.w : tensor<2048xf32>
  %f1 = titan.all_gather %s1 over [dp_shard] dimension 0 : (tensor<2048xf32>) -> tensor<4096xf32>
  %w1 = titan.reshape %f1 : tensor<4096xf32> -> tensor<64x64xf32>
  %s2 = titan.load @layers.2.w : tensor<2064xf32>
  %g2 = titan.all_gather %s2 over [dp_shard] dimension 0 : (tensor<2064xf32>) -> tensor<4128xf32>
  %f2 = titan.slice %g2 at 0 : tensor<4128xf32> -> tensor<4096xf32>
  %w2 = titan.reshape %f2 : tensor<4096xf32> -> tensor<64x64xf32>
  %a = titan.einsum "mk,nk->mn" %x, %w0 : tensor<1x64xf32>, tensor<64x64xf32> -> tensor<1x64xf32>
  %b = titan.einsum "mk,nk->mn" %a, %w1 : tensor<1x64xf32>, tensor<64x64xf32> -> tensor<1x64xf32>
  %c = titan.einsum "mk,nk->mn" %b, %w2 : tensor<1x64xf32>, tensor<64x64xf32> -> tensor<1x64xf32>
  return %c : tensor<1x64xf32>
}

// A layer's reduction runs while the next layer's gradient is computed; what is added waits for it.
// CHECK-LABEL: func.func @gradients
// CHECK: titan.einsum
// CHECK: %[[P1:.*]] = titan.start reduce_scatter
// CHECK: titan.einsum
// CHECK: %[[S1:.*]] = titan.await %[[P1]]
// CHECK: titan.einsum {{.*}} acc(
// CHECK: %[[P0:.*]] = titan.start reduce_scatter
// CHECK: %[[S0:.*]] = titan.await %[[P0]]
func.func @gradients(%x: tensor<1x64xf32>) {
  %d1 = titan.einsum "mk,mn->kn" %x, %x : tensor<1x64xf32>, tensor<1x64xf32> -> tensor<64x64xf32>
  %f1 = titan.reshape %d1 : tensor<64x64xf32> -> tensor<4096xf32>
  %r1 = titan.reduce_scatter %f1 over [dp_shard] dimension 0 : (tensor<4096xf32>) -> tensor<2048xf32>
  %m1 = titan.reshape %r1 : tensor<2048xf32> -> tensor<2048x1xf32>
  %g1 = titan.load @gradient.layers.1.w : tensor<2048xf32>
  %h1 = titan.reshape %g1 : tensor<2048xf32> -> tensor<2048x1xf32>
  %o = titan.full 1.0 : tensor<1x1xf32>
  %a1 = titan.einsum "mk,kn->mn" %m1, %o acc(%h1 : tensor<2048x1xf32>) : tensor<2048x1xf32>, tensor<1x1xf32> -> tensor<2048x1xf32>
  %t1 = titan.reshape %a1 : tensor<2048x1xf32> -> tensor<2048xf32>
  titan.store %t1, @gradient.layers.1.w : tensor<2048xf32>
  %d0 = titan.einsum "mk,mn->kn" %x, %x : tensor<1x64xf32>, tensor<1x64xf32> -> tensor<64x64xf32>
  %f0 = titan.reshape %d0 : tensor<64x64xf32> -> tensor<4096xf32>
  %r0 = titan.reduce_scatter %f0 over [dp_shard] dimension 0 : (tensor<4096xf32>) -> tensor<2048xf32>
  titan.store %r0, @gradient.layers.0.w : tensor<2048xf32>
  return
}

// An all_reduce works in the memory of an operand that dies; its result is needed at once.
// CHECK-LABEL: func.func @sums
// CHECK: titan.start all_reduce in_place
// CHECK-NEXT: titan.await %{{.*}} : (tensor<1x64xf32>) -> tensor<1x64xf32>
// CHECK: titan.start all_reduce reduction max %arg0
// CHECK-NEXT: titan.await %{{.*}} of %arg0
func.func @sums(%x: tensor<1x64xf32>) -> (tensor<1x1xf32>, tensor<1x1xf32>) {
  %a = titan.einsum "mk,nk->mn" %x, %x : tensor<1x64xf32>, tensor<1x64xf32> -> tensor<1x1xf32>
  %b = titan.einsum "mn,nk->mk" %a, %x : tensor<1x1xf32>, tensor<1x64xf32> -> tensor<1x64xf32>
  %c = titan.all_reduce sum %b over [tp] : (tensor<1x64xf32>) -> tensor<1x64xf32>
  %d = titan.einsum "mk,nk->mn" %c, %x : tensor<1x64xf32>, tensor<1x64xf32> -> tensor<1x1xf32>
  %e = titan.all_reduce max %x over [tp] : (tensor<1x64xf32>) -> tensor<1x64xf32>
  %f = titan.einsum "mk,nk->mn" %e, %e : tensor<1x64xf32>, tensor<1x64xf32> -> tensor<1x1xf32>
  return %d, %f : tensor<1x1xf32>, tensor<1x1xf32>
}

// The narrow copy of a slice is made when its gather starts, a layer ahead.
// CHECK-LABEL: func.func @narrow
// CHECK: %[[C0:.*]] = titan.cast
// CHECK: %[[P0:.*]] = titan.start all_gather %[[C0]]
// CHECK: %[[W0:.*]] = titan.await %[[P0]]
// CHECK: %[[C1:.*]] = titan.cast
// CHECK: %[[P1:.*]] = titan.start all_gather %[[C1]]
// CHECK: titan.einsum
// CHECK: %[[W1:.*]] = titan.await %[[P1]]
// CHECK: titan.einsum
func.func @narrow(%x: tensor<1x64xbf16>) -> tensor<1x64xbf16> {
  %s0 = titan.load @layers.0.w : tensor<2048xf32>
  %c0 = titan.cast %s0 : tensor<2048xf32> -> tensor<2048xbf16>
  %f0 = titan.all_gather %c0 over [dp_shard] dimension 0 : (tensor<2048xbf16>) -> tensor<4096xbf16>
  %w0 = titan.reshape %f0 : tensor<4096xbf16> -> tensor<64x64xbf16>
  %a = titan.einsum "mk,nk->mn" %x, %w0 : tensor<1x64xbf16>, tensor<64x64xbf16> -> tensor<1x64xbf16>
  %s1 = titan.load @layers.1.w : tensor<2048xf32>
  %c1 = titan.cast %s1 : tensor<2048xf32> -> tensor<2048xbf16>
  %f1 = titan.all_gather %c1 over [dp_shard] dimension 0 : (tensor<2048xbf16>) -> tensor<4096xbf16>
  %w1 = titan.reshape %f1 : tensor<4096xbf16> -> tensor<64x64xbf16>
  %b = titan.einsum "mk,nk->mn" %a, %w1 : tensor<1x64xbf16>, tensor<64x64xbf16> -> tensor<1x64xbf16>
  return %b : tensor<1x64xbf16>
}
