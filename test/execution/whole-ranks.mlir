// A program whose variables and inputs all ranks have whole runs on all ranks all the same: what they
// exchange says so.
// RUN: titan-check %S/Inputs/whole-global.mlir %s --function f | FileCheck %s
// RUN: not titan-check %S/Inputs/whole-global.mlir %s --function f --against forgets 2>&1 | FileCheck %s --check-prefix=FORGETS
// CHECK: largest deviation 0.000e+00 in result 0
// FORGETS: error: result 0 of @forgets: ranks 0 and 1 hold different values of element {{[0-9]+}} of 'tensor<4xf32>'
titan.mesh @mesh [tp = 2]
titan.variable derived @first : tensor<i32> init #titan.axis_index<{tp} times 8>

func.func @f(%x: tensor<4xi32>, %t: tensor<16x3xf32>) -> tensor<4x3xf32> {
  %first = titan.load @first : tensor<i32>
  %part = titan.axis_slice %t over [tp] dimension 0 : tensor<16x3xf32> -> tensor<8x3xf32>
  %rows = titan.embedding %x, %part from %first : tensor<4xi32>, tensor<8x3xf32> -> tensor<4x3xf32>
  %y = titan.all_reduce sum %rows over [tp] : (tensor<4x3xf32>) -> tensor<4x3xf32>
  return %y : tensor<4x3xf32>
}

func.func @forgets(%x: tensor<4xi32>, %t: tensor<16x3xf32>) -> tensor<4xf32> {
  %part = titan.axis_slice %t over [tp] dimension 0 : tensor<16x3xf32> -> tensor<8x3xf32>
  %row = titan.slice %part at 0 : tensor<8x3xf32> -> tensor<4x3xf32>
  %y = titan.reduce sum %row [1] : tensor<4x3xf32> -> tensor<4xf32>
  return %y : tensor<4xf32>
}
