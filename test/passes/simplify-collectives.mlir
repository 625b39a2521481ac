// RUN: titan-opt %s -titan-simplify-collectives | FileCheck %s

titan.mesh @mesh [dp_replicate = 1, dp = 2, tp = 2]

// CHECK-LABEL: func.func @scatter
// CHECK-NEXT: titan.reduce_scatter %arg0 over [tp] dimension 0 : (tensor<8x4xf32>) -> tensor<4x4xf32>
// CHECK-NEXT: return
func.func @scatter(%x: tensor<8x4xf32>) -> tensor<4x4xf32> {
  %a = titan.all_reduce sum %x over [tp] : (tensor<8x4xf32>) -> tensor<8x4xf32>
  %b = titan.axis_slice %a over [tp] dimension 0 : tensor<8x4xf32> -> tensor<4x4xf32>
  return %b : tensor<4x4xf32>
}

// What is left of the sum is taken on the part.
// CHECK-LABEL: func.func @scatter_then_reduce
// CHECK-NEXT: %[[P:.*]] = titan.reduce_scatter %arg0 over [tp] dimension 0 : (tensor<8x4xf32>) -> tensor<4x4xf32>
// CHECK-NEXT: titan.all_reduce sum %[[P]] over [dp] : (tensor<4x4xf32>) -> tensor<4x4xf32>
// CHECK-NEXT: return
func.func @scatter_then_reduce(%x: tensor<8x4xf32>) -> tensor<4x4xf32> {
  %a = titan.all_reduce sum %x over [dp, tp] : (tensor<8x4xf32>) -> tensor<8x4xf32>
  %b = titan.axis_slice %a over [tp] dimension 0 : tensor<8x4xf32> -> tensor<4x4xf32>
  return %b : tensor<4x4xf32>
}

// The whole sum is read too, and a maximum has no scatter.
// CHECK-LABEL: func.func @keeps
// CHECK: titan.all_reduce sum
// CHECK: titan.axis_slice
// CHECK: titan.all_reduce max
// CHECK: titan.axis_slice
// CHECK-NOT: titan.reduce_scatter
// CHECK: return
func.func @keeps(%x: tensor<8x4xf32>) -> (tensor<8x4xf32>, tensor<4x4xf32>, tensor<4x4xf32>) {
  %a = titan.all_reduce sum %x over [tp] : (tensor<8x4xf32>) -> tensor<8x4xf32>
  %b = titan.axis_slice %a over [tp] dimension 0 : tensor<8x4xf32> -> tensor<4x4xf32>
  %c = titan.all_reduce max %x over [tp] : (tensor<8x4xf32>) -> tensor<8x4xf32>
  %d = titan.axis_slice %c over [tp] dimension 0 : tensor<8x4xf32> -> tensor<4x4xf32>
  return %a, %b, %d : tensor<8x4xf32>, tensor<4x4xf32>, tensor<4x4xf32>
}

// Equal collectives, and views between them, are one; so are the slices, and then the sum has one
// reader.
// CHECK-LABEL: func.func @duplicates
// CHECK: %[[G:.*]] = titan.all_gather %arg0
// CHECK-NEXT: %[[W:.*]] = titan.reshape %[[G]]
// CHECK-NEXT: %[[S:.*]] = titan.reduce_scatter %arg1
// CHECK-NEXT: return %[[W]], %[[W]], %[[S]], %[[S]]
func.func @duplicates(%x: tensor<8xf32>, %y: tensor<4x4xf32>) -> (tensor<4x4xf32>, tensor<4x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>) {
  %a = titan.all_gather %x over [dp] dimension 0 : (tensor<8xf32>) -> tensor<16xf32>
  %w = titan.reshape %a : tensor<16xf32> -> tensor<4x4xf32>
  %b = titan.all_gather %x over [dp] dimension 0 : (tensor<8xf32>) -> tensor<16xf32>
  %v = titan.reshape %b : tensor<16xf32> -> tensor<4x4xf32>
  %r = titan.all_reduce sum %y over [tp] : (tensor<4x4xf32>) -> tensor<4x4xf32>
  %s = titan.axis_slice %r over [tp] dimension 0 : tensor<4x4xf32> -> tensor<2x4xf32>
  %t = titan.axis_slice %r over [tp] dimension 0 : tensor<4x4xf32> -> tensor<2x4xf32>
  return %w, %v, %s, %t : tensor<4x4xf32>, tensor<4x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
}

// The outer gather's axis becomes the outer one.
// CHECK-LABEL: func.func @gathers
// CHECK-NEXT: titan.all_gather %arg0 over [dp, tp] dimension 0 : (tensor<2xf32>) -> tensor<8xf32>
// CHECK-NEXT: return
func.func @gathers(%x: tensor<2xf32>) -> tensor<8xf32> {
  %a = titan.all_gather %x over [tp] dimension 0 : (tensor<2xf32>) -> tensor<4xf32>
  %b = titan.all_gather %a over [dp] dimension 0 : (tensor<4xf32>) -> tensor<8xf32>
  return %b : tensor<8xf32>
}

// CHECK-LABEL: func.func @slice_of_gather
// CHECK-NEXT: return %arg0
func.func @slice_of_gather(%x: tensor<2x3xf32>) -> tensor<2x3xf32> {
  %a = titan.all_gather %x over [tp] dimension 1 : (tensor<2x3xf32>) -> tensor<2x6xf32>
  %b = titan.axis_slice %a over [tp] dimension 1 : tensor<2x6xf32> -> tensor<2x3xf32>
  return %b : tensor<2x3xf32>
}

// Sums of sums: one reduction, over all axes, of what is added first.
// CHECK-LABEL: func.func @sums
// CHECK-NEXT: %[[XY:.*]] = titan.add %arg0, %arg1
// CHECK-NEXT: %[[XYZ:.*]] = titan.add %[[XY]], %arg2
// CHECK-NEXT: titan.all_reduce sum %[[XYZ]] over [tp]
// CHECK-NEXT: return
func.func @sums(%x: tensor<4xf32>, %y: tensor<4xf32>, %z: tensor<4xf32>) -> tensor<4xf32> {
  %a = titan.all_reduce sum %x over [tp] : (tensor<4xf32>) -> tensor<4xf32>
  %b = titan.all_reduce sum %y over [tp] : (tensor<4xf32>) -> tensor<4xf32>
  %c = titan.all_reduce sum %z over [tp] : (tensor<4xf32>) -> tensor<4xf32>
  %d = titan.add %a, %b : tensor<4xf32>
  %e = titan.add %d, %c : tensor<4xf32>
  return %e : tensor<4xf32>
}

// CHECK-LABEL: func.func @sum_of_parts
// CHECK-NEXT: %[[XY:.*]] = titan.add %arg0, %arg1
// CHECK-NEXT: titan.reduce_scatter %[[XY]] over [dp] dimension 0
// CHECK-NEXT: return
func.func @sum_of_parts(%x: tensor<4xf32>, %y: tensor<4xf32>) -> tensor<2xf32> {
  %a = titan.reduce_scatter %x over [dp] dimension 0 : (tensor<4xf32>) -> tensor<2xf32>
  %b = titan.reduce_scatter %y over [dp] dimension 0 : (tensor<4xf32>) -> tensor<2xf32>
  %c = titan.add %a, %b : tensor<2xf32>
  return %c : tensor<2xf32>
}

// CHECK-LABEL: func.func @sum_of_sum
// CHECK-NEXT: titan.all_reduce sum %arg0 over [dp, tp]
// CHECK-NEXT: return
func.func @sum_of_sum(%x: tensor<4xf32>) -> tensor<4xf32> {
  %a = titan.all_reduce sum %x over [tp] : (tensor<4xf32>) -> tensor<4xf32>
  %b = titan.all_reduce sum %a over [dp] : (tensor<4xf32>) -> tensor<4xf32>
  return %b : tensor<4xf32>
}

// A maximum of one value is no sum of two.
// CHECK-LABEL: func.func @maxima
// CHECK: titan.all_reduce max
// CHECK: titan.all_reduce max
// CHECK: titan.add
func.func @maxima(%x: tensor<4xf32>, %y: tensor<4xf32>) -> tensor<4xf32> {
  %a = titan.all_reduce max %x over [tp] : (tensor<4xf32>) -> tensor<4xf32>
  %b = titan.all_reduce max %y over [tp] : (tensor<4xf32>) -> tensor<4xf32>
  %c = titan.add %a, %b : tensor<4xf32>
  return %c : tensor<4xf32>
}

// Nothing is exchanged in a group of one.
// CHECK-LABEL: func.func @alone
// CHECK-NEXT: return %arg0, %arg0
func.func @alone(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %a = titan.all_reduce sum %x over [dp_replicate] : (tensor<4xf32>) -> tensor<4xf32>
  %b = titan.all_gather %a over [dp_replicate] dimension 0 : (tensor<4xf32>) -> tensor<4xf32>
  %c = titan.axis_slice %x over [dp_replicate] dimension 0 : tensor<4xf32> -> tensor<4xf32>
  return %b, %c : tensor<4xf32>, tensor<4xf32>
}

// Collectives of several values, which is how buckets look, stay as they are.
// CHECK-LABEL: func.func @buckets
// CHECK: titan.all_gather %arg0, %arg1
// CHECK: titan.axis_slice
func.func @buckets(%x: tensor<4xf32>, %y: tensor<2xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %a:2 = titan.all_gather %x, %y over [tp] dimension 0 : (tensor<4xf32>, tensor<2xf32>) -> (tensor<8xf32>, tensor<4xf32>)
  %b = titan.axis_slice %a#0 over [tp] dimension 0 : tensor<8xf32> -> tensor<4xf32>
  return %b, %a#1 : tensor<4xf32>, tensor<4xf32>
}
