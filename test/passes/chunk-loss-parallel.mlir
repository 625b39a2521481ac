// RUN: titan-opt %s -titan-chunk-loss="chunks=2" | FileCheck %s

// Classes that two ranks share: each chunk exchanges its maxima, then two numbers per row in one
// collective. dX is the rank's addend of the sum over tp; the logits are the largest value.
titan.mesh @mesh [tp = 2]
titan.variable derived @axis_index.tp.9 : tensor<i32> init #titan.axis_index<{tp} times 9>

// CHECK-LABEL: func.func @backward
// CHECK: %[[FIRST:.*]] = titan.load @axis_index.tp.9
// CHECK: %[[X0:.*]] = titan.slice %{{.*}} at 0 : tensor<4x4xf32> -> tensor<2x4xf32>
// CHECK: %[[LOGITS:.*]] = titan.einsum "td,vd->tv" %[[X0]], %{{.*}} -> tensor<2x9xf32>
// CHECK: %[[HOT:.*]] = titan.one_hot %{{.*}} from %[[FIRST]] : tensor<2xi32> -> tensor<2x9xf32>
// CHECK: %[[M:.*]] = titan.reduce max %[[LOGITS]] [1]
// CHECK: titan.all_reduce max %[[M]] over [tp] : (tensor<2xf32>) -> tensor<2xf32>
// CHECK: %[[E:.*]] = titan.reduce sum %{{.*}} [1]
// CHECK: %[[P:.*]] = titan.reduce sum %{{.*}} [1]
// CHECK: titan.all_reduce sum %[[E]], %[[P]] over [tp] : (tensor<2xf32>, tensor<2xf32>) -> (tensor<2xf32>, tensor<2xf32>)
// CHECK-NOT: titan.all_reduce
// CHECK: %[[DX0:.*]] = titan.einsum "tv,vd->td"
// CHECK: %[[DW0:.*]] = titan.einsum "tv,td->vd"
// CHECK: titan.all_reduce max
// CHECK: titan.all_reduce sum
// CHECK-NOT: titan.all_reduce
// CHECK: titan.einsum "tv,td->vd" {{.*}} acc(%[[DW0]]
func.func @backward(%x: tensor<4x4xf32>, %w: tensor<9x4xf32>, %l: tensor<4xi32>, %d: tensor<f32>) -> (tensor<4x4xf32>, tensor<9x4xf32>) {
  %first = titan.load @axis_index.tp.9 : tensor<i32>
  %a, %v, %dx, %dw = titan.head_loss_grad %x, %w, %l, %d classes from %first over [tp]
      : (tensor<4x4xf32>, tensor<9x4xf32>, tensor<4xi32>, tensor<f32>, tensor<i32>) -> (tensor<f32>, tensor<f32>, tensor<4x4xf32>, tensor<9x4xf32>)
  return %dx, %dw : tensor<4x4xf32>, tensor<9x4xf32>
}

// Classes from 17 on are padding: the second rank's last one.
// CHECK-LABEL: func.func @padded
// CHECK: %[[FIRST:.*]] = titan.load @axis_index.tp.9
// CHECK: %[[LOGITS:.*]] = titan.einsum "td,vd->tv"
// CHECK: %[[MASKED:.*]] = titan.mask_columns %[[LOGITS]] from %[[FIRST]] end 17 value -1.000000e+30 : tensor<2x9xf32>
// CHECK: titan.reduce max %[[MASKED]] [1]
// CHECK: titan.sub %[[MASKED]]
// CHECK: titan.mul %[[MASKED]]
func.func @padded(%x: tensor<4x4xf32>, %w: tensor<9x4xf32>, %l: tensor<4xi32>) -> tensor<f32> {
  %first = titan.load @axis_index.tp.9 : tensor<i32>
  %a, %v = titan.head_loss %x, %w, %l classes from %first over [tp] {num_classes = 17}
      : (tensor<4x4xf32>, tensor<9x4xf32>, tensor<4xi32>, tensor<i32>) -> (tensor<f32>, tensor<f32>)
  return %a : tensor<f32>
}

// Where ranks exchange logits, each has a chunk's of all classes, and the loss is that of one rank. Of
// the logits' gradient it keeps its classes.
// CHECK-LABEL: func.func @whole
// CHECK: %[[OWN:.*]] = titan.einsum "vd,td->vt" %{{.*}} -> tensor<9x2xf32>
// CHECK: %[[ALL:.*]] = titan.all_gather %[[OWN]] over [tp] dimension 0 : (tensor<9x2xf32>) -> tensor<18x2xf32>
// CHECK: %[[ROWS:.*]] = titan.transpose %[[ALL]] [1, 0]
// CHECK: %{{.*}}, %{{.*}}, %[[D:.*]] = titan.cross_entropy_grad %[[ROWS]]
// CHECK: %[[COLUMNS:.*]] = titan.transpose %[[D]] [1, 0]
// CHECK: %[[PART:.*]] = titan.axis_slice %[[COLUMNS]] over [tp] dimension 0 : tensor<18x2xf32> -> tensor<9x2xf32>
// CHECK: titan.einsum "vt,vd->td" %[[PART]]
// CHECK: titan.einsum "vt,td->vd" %[[PART]]
// CHECK-NOT: titan.all_reduce
func.func @whole(%x: tensor<4x4xf32>, %w: tensor<9x4xf32>, %l: tensor<4xi32>, %d: tensor<f32>) -> (tensor<4x4xf32>, tensor<9x4xf32>) {
  %first = titan.load @axis_index.tp.9 : tensor<i32>
  %a, %v, %dx, %dw = titan.head_loss_grad %x, %w, %l, %d classes from %first over [tp] whole_logits
      : (tensor<4x4xf32>, tensor<9x4xf32>, tensor<4xi32>, tensor<f32>, tensor<i32>) -> (tensor<f32>, tensor<f32>, tensor<4x4xf32>, tensor<9x4xf32>)
  return %dx, %dw : tensor<4x4xf32>, tensor<9x4xf32>
}
