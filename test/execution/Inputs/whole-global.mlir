func.func @f(%x: tensor<4xi32>, %t: tensor<16x3xf32>) -> tensor<4x3xf32> {
  %y = titan.embedding %x, %t : tensor<4xi32>, tensor<16x3xf32> -> tensor<4x3xf32>
  return %y : tensor<4x3xf32>
}
