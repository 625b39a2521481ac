// Gathered weights in memory: at most two layers' of 16 KiB, padding included, beside small values.
// Nothing is copied, although the last weight is padded.
// RUN: titan-opt %s -titan-bucket-collectives -titan-schedule-instructions -titan-plan-memory | FileCheck %s

titan.mesh @mesh [dp_shard = 2]
titan.variable parameter @layers.0.w : tensor<2048xf32> init #titan.constant<1.0>
titan.variable parameter @layers.1.w : tensor<2048xf32> init #titan.constant<1.0>
titan.variable parameter @layers.2.w : tensor<2064xf32> init #titan.constant<1.0>

// CHECK: exec.segment @scratch size 33{{[0-9][0-9][0-9]}} in device
// CHECK: exec.func @fwd
// CHECK: %[[T0:.*]] = exec.start all_gather
// CHECK: exec.await %[[T0]]
// CHECK: %[[T1:.*]] = exec.start all_gather
// CHECK: exec.gemm
// CHECK: exec.await %[[T1]]
// CHECK: %[[T2:.*]] = exec.start all_gather
// CHECK: exec.gemm
// CHECK: exec.await %[[T2]]
// CHECK: exec.gemm
// CHECK-NOT: exec.copy
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
