// What test/execution/ranks.mlir computes, on one device.
titan.variable parameter @w : tensor<5x6xf32>
titan.variable gradient @g : tensor<5x6xf32>
titan.variable output @rows : tensor<f32>
func.func @f(%x: tensor<4x5xf32>) -> (tensor<4x6xf32>, tensor<f32>, tensor<4x6xf32>) {
  %w = titan.load @w : tensor<5x6xf32>
  %y = titan.einsum "bk,kn->bn" %x, %w : tensor<4x5xf32>, tensor<5x6xf32> -> tensor<4x6xf32>
  %sum = titan.reduce sum %y [0, 1] : tensor<4x6xf32> -> tensor<f32>
  %dw = titan.einsum "bk,bn->kn" %x, %y : tensor<4x5xf32>, tensor<4x6xf32> -> tensor<5x6xf32>
  %old = titan.load @g : tensor<5x6xf32>
  %new = titan.add %old, %dw : tensor<5x6xf32>
  titan.store %new, @g : tensor<5x6xf32>
  titan.store %sum, @rows : tensor<f32>
  return %y, %sum, %y : tensor<4x6xf32>, tensor<f32>, tensor<4x6xf32>
}
