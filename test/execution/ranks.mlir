// The interpreter runs a per-device program on all ranks of its mesh: split arguments, padded flat
// storage with poisoned padding, partial sums, every collective, and what ranks know of themselves.
// RUN: titan-check %S/Inputs/ranks-global.mlir %s --function f | FileCheck %s
// RUN: not titan-check %S/Inputs/ranks-global.mlir %s --function f --against differs 2>&1 | FileCheck %s --check-prefix=DIFFERS
// CHECK: largest deviation
// RUN: not titan-check %S/Inputs/ranks-global.mlir %s --function f --against whole 2>&1 | FileCheck %s --check-prefix=WHOLE
// DIFFERS: error: result 0 of @differs: ranks 0 and 3 hold different values of element 0 of 'tensor<4x6xf32, #titan.sharding<[{}, {tp}]>>'
// WHOLE: error: result 0 of @whole: ranks 0 and 1 hold different values of element 0 of 'tensor<8xf32>'

titan.mesh @mesh [dp = 2, tp = 3]
titan.variable parameter @w : tensor<8xf32> global tensor<5x6xf32, #titan.sharding<[{}, {tp}], flat {dp} granule 4>>
titan.variable gradient @g : tensor<8xf32> global tensor<5x6xf32, #titan.sharding<[{}, {tp}], flat {dp} granule 4>>
titan.variable output @rows : tensor<f32> global tensor<f32, #titan.sharding<[], partial {dp, tp}>>
titan.variable derived @index : tensor<i32> init #titan.axis_index<{dp, tp} times 2>

#rows = #titan.sharding<[{dp}, {}]>
#columns = #titan.sharding<[{dp}, {tp}]>
func.func @f(%x: tensor<2x5xf32> {titan.global_type = tensor<4x5xf32, #rows>})
    -> (tensor<2x2xf32> {titan.global_type = tensor<4x6xf32, #columns>},
        tensor<f32> {titan.global_type = tensor<f32, #titan.sharding<[]>>},
        tensor<2x2xf32> {titan.global_type = tensor<4x6xf32, #columns>}) {
  %slice = titan.load @w : tensor<8xf32>
  %padded = titan.all_gather %slice over [dp] dimension 0 : (tensor<8xf32>) -> tensor<16xf32>
  %flat = titan.slice %padded at 0 : tensor<16xf32> -> tensor<10xf32>
  %w = titan.reshape %flat : tensor<10xf32> -> tensor<5x2xf32>
  %y = titan.einsum "bk,kn->bn" %x, %w : tensor<2x5xf32>, tensor<5x2xf32> -> tensor<2x2xf32>
  %part = titan.reduce sum %y [0, 1] : tensor<2x2xf32> -> tensor<f32>
  %sum = titan.all_reduce sum %part over [dp, tp] : (tensor<f32>) -> tensor<f32>
  %dw = titan.einsum "bk,bn->kn" %x, %y : tensor<2x5xf32>, tensor<2x2xf32> -> tensor<5x2xf32>
  %dwFlat = titan.reshape %dw : tensor<5x2xf32> -> tensor<10xf32>
  %zero = titan.full 0.0 : tensor<6xf32>
  %dwPadded = titan.concat %dwFlat, %zero : tensor<10xf32>, tensor<6xf32> -> tensor<16xf32>
  %dwSlice = titan.reduce_scatter %dwPadded over [dp] dimension 0 : (tensor<16xf32>) -> tensor<8xf32>
  %old = titan.load @g : tensor<8xf32>
  %new = titan.add %old, %dwSlice : tensor<8xf32>
  titan.store %new, @g : tensor<8xf32>
  titan.store %part, @rows : tensor<f32>
  // Gathered whole and cut again.
  %all = titan.all_gather %y over [tp] dimension 1 : (tensor<2x2xf32>) -> tensor<2x6xf32>
  %own = titan.axis_slice %all over [tp] dimension 1 : tensor<2x6xf32> -> tensor<2x2xf32>
  return %y, %sum, %own : tensor<2x2xf32>, tensor<f32>, tensor<2x2xf32>
}

func.func @differs(%x: tensor<2x5xf32> {titan.global_type = tensor<4x5xf32, #rows>})
    -> (tensor<4x2xf32> {titan.global_type = tensor<4x6xf32, #titan.sharding<[{}, {tp}]>>}) {
  %slice = titan.load @w : tensor<8xf32>
  %half = titan.slice %slice at 0 : tensor<8xf32> -> tensor<4xf32>
  %two = titan.concat %half, %half : tensor<4xf32>, tensor<4xf32> -> tensor<8xf32>
  %y = titan.reshape %two : tensor<8xf32> -> tensor<4x2xf32>
  return %y : tensor<4x2xf32>
}

// What has no global type is whole on every rank.
func.func @whole(%x: tensor<2x5xf32> {titan.global_type = tensor<4x5xf32, #rows>}) -> tensor<8xf32> {
  %slice = titan.load @w : tensor<8xf32>
  return %slice : tensor<8xf32>
}
