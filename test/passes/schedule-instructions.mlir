// RUN: titan-opt %s -titan-schedule-instructions | FileCheck %s

titan.variable parameter @w : tensor<64x64xf32>
titan.variable gradient @g : tensor<64x64xf32>

// The constant moves to its use; the store stands behind its value; the accumulating product, whose
// result lives in its accumulator, stays where its operands die early.
// CHECK-LABEL: func.func @f
// CHECK: %[[G:.*]] = titan.load @g
// CHECK: %[[H:.*]] = titan.einsum "mk,kn->mn" %{{.*}}, %{{.*}} : tensor<64x64xf32>
// CHECK: %[[S:.*]] = titan.einsum "mk,kn->mn" %[[H]], %{{.*}} acc(%[[G]]
// CHECK: titan.store %[[S]], @g
// CHECK: %[[C:.*]] = titan.full 0.000000e+00 : tensor<64x64xf32>
// CHECK: titan.store %[[C]], @w
func.func @f(%x: tensor<64x64xf32>) -> tensor<64x64xf32> {
  %c = titan.full 0.0 : tensor<64x64xf32>
  %g = titan.load @g : tensor<64x64xf32>
  %h = titan.einsum "mk,kn->mn" %x, %x : tensor<64x64xf32>, tensor<64x64xf32> -> tensor<64x64xf32>
  %s = titan.einsum "mk,kn->mn" %h, %x acc(%g : tensor<64x64xf32>) : tensor<64x64xf32>, tensor<64x64xf32> -> tensor<64x64xf32>
  %e = titan.einsum "mk,kn->mn" %x, %x : tensor<64x64xf32>, tensor<64x64xf32> -> tensor<64x64xf32>
  titan.store %s, @g : tensor<64x64xf32>
  titan.store %c, @w : tensor<64x64xf32>
  return %e : tensor<64x64xf32>
}
