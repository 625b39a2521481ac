// RUN: titan-opt %s --titan-form-kernels --split-input-file | FileCheck-22 %s

// A residual sum, its norm and the normalized rows are one pass over the rows. The unused rstd
// is no result.
// CHECK-LABEL: func.func @residual_norm
// CHECK-SAME:    (%[[X:.*]]: tensor<4x8x64xf32>, %[[F:.*]]: tensor<4x8x64xf32>, %[[W:.*]]: tensor<64xf32>)
// CHECK-NEXT:    %[[K:.*]]:2 = titan.kernel (%[[A:.*]] = %[[X]], %[[B:.*]] = %[[F]], %[[C:.*]] = %[[W]])
// CHECK-NEXT:      %[[H:.*]] = titan.add %[[A]], %[[B]]
// CHECK-NEXT:      %[[SQUARE:.*]] = titan.mul %[[H]], %[[H]]
// CHECK-NEXT:      %[[SUM:.*]] = titan.reduce sum %[[SQUARE]] [2]
// CHECK:           %[[RSTD:.*]] = titan.rsqrt
// CHECK:           titan.yield %[[H]], %{{.*}} : tensor<4x8x64xf32>, tensor<4x8x64xf32>
// CHECK-NEXT:    }
// CHECK-NEXT:    return %[[K]]#0, %[[K]]#1
func.func @residual_norm(%x: tensor<4x8x64xf32>, %f: tensor<4x8x64xf32>, %w: tensor<64xf32>)
    -> (tensor<4x8x64xf32>, tensor<4x8x64xf32>) {
  %h = titan.add %x, %f : tensor<4x8x64xf32>
  %y, %rstd = titan.rms_norm %h, %w epsilon 1.0e-5
      : tensor<4x8x64xf32>, tensor<64xf32> -> tensor<4x8x64xf32>, tensor<4x8xf32>
  return %h, %y : tensor<4x8x64xf32>, tensor<4x8x64xf32>
}

// -----

// The column sums of the weight's gradient and the sum that they are added to are in the kernel of
// the input's gradient.
// CHECK-LABEL: func.func @norm_grad
// CHECK:         %[[K:.*]]:2 = titan.kernel
// CHECK:         titan.reduce sum %{{.*}} [1]
// CHECK:         titan.reduce sum %{{.*}} [0]
// CHECK-NEXT:    titan.add
// CHECK-NEXT:    titan.yield
// CHECK-NOT:     titan.kernel
// CHECK:         return %[[K]]#0, %[[K]]#1
func.func @norm_grad(%dy: tensor<32x64xf32>, %x: tensor<32x64xf32>, %w: tensor<64xf32>,
                     %rstd: tensor<32xf32>, %acc: tensor<64xf32>)
    -> (tensor<32x64xf32>, tensor<64xf32>) {
  %dx, %dw = titan.rms_norm_grad %dy, %x, %w, %rstd
      : tensor<32x64xf32>, tensor<32x64xf32>, tensor<64xf32>, tensor<32xf32>
      -> tensor<32x64xf32>, tensor<64xf32>
  %sum = titan.add %acc, %dw : tensor<64xf32>
  return %dx, %sum : tensor<32x64xf32>, tensor<64xf32>
}

// -----

// Two readers of the same tensors share a kernel although neither reads the other.
// CHECK-LABEL: func.func @swiglu_backward
// CHECK:         %[[K:.*]]:2 = titan.kernel
// CHECK-NOT:     titan.kernel
// CHECK:         return %[[K]]#0, %[[K]]#1
func.func @swiglu_backward(%dy: tensor<32x96xf32>, %a: tensor<32x96xf32>, %b: tensor<32x96xf32>)
    -> (tensor<32x96xf32>, tensor<32x96xf32>) {
  %ds = titan.mul %dy, %b : tensor<32x96xf32>
  %da = titan.silu_grad %a, %ds : tensor<32x96xf32>
  %s = titan.silu %a : tensor<32x96xf32>
  %db = titan.mul %dy, %s : tensor<32x96xf32>
  return %da, %db : tensor<32x96xf32>, tensor<32x96xf32>
}

// -----

// What lies on both sides of an op that is in no kernel stays apart, though both read %a.
// CHECK-LABEL: func.func @no_cycle
// CHECK:         %[[A:.*]] = titan.kernel
// CHECK:           titan.exp
// CHECK:         %[[E:.*]] = titan.einsum "mk,kn->mn" %[[A]]
// CHECK:         %[[B:.*]] = titan.kernel (%{{.*}} = %[[A]], %{{.*}} = %[[E]])
// CHECK-NEXT:      titan.add
// CHECK:         return %[[B]]
func.func @no_cycle(%x: tensor<16x16xf32>, %w: tensor<16x16xf32>) -> tensor<16x16xf32> {
  %a = titan.exp %x : tensor<16x16xf32>
  %e = titan.einsum "mk,kn->mn" %a, %w
      : tensor<16x16xf32>, tensor<16x16xf32> -> tensor<16x16xf32>
  %b = titan.add %a, %e : tensor<16x16xf32>
  return %b : tensor<16x16xf32>
}

// -----

// A broadcast is copied into each kernel that reads it, with the conversion of what it repeats.
// CHECK-LABEL: func.func @copies
// CHECK:         titan.kernel
// CHECK-NEXT:      titan.cast
// CHECK-NEXT:      titan.broadcast
// CHECK-NEXT:      titan.mul
// CHECK:         titan.einsum
// CHECK:         titan.kernel
// CHECK-NEXT:      titan.cast
// CHECK-NEXT:      titan.broadcast
// CHECK-NEXT:      titan.mul
// CHECK-NOT:     titan.kernel
func.func @copies(%x: tensor<16x16xf32>, %w: tensor<16xbf16>) -> tensor<16x16xf32> {
  %c = titan.cast %w : tensor<16xbf16> -> tensor<16xf32>
  %b = titan.broadcast %c [1] : tensor<16xf32> -> tensor<16x16xf32>
  %y = titan.mul %x, %b : tensor<16x16xf32>
  %e = titan.einsum "mk,kn->mn" %y, %y
      : tensor<16x16xf32>, tensor<16x16xf32> -> tensor<16x16xf32>
  %z = titan.mul %e, %b : tensor<16x16xf32>
  return %z : tensor<16x16xf32>
}

// -----

// A constant that something else than a kernel reads is an instruction; kernels have their own.
// CHECK-LABEL: func.func @constants
// CHECK-DAG:     %[[C:.*]] = titan.full 2
// CHECK-DAG:     %[[K:.*]] = titan.kernel
// CHECK:           titan.full 2
// CHECK:         return %[[C]], %[[K]]
func.func @constants(%x: tensor<16xf32>) -> (tensor<16xf32>, tensor<16xf32>) {
  %c = titan.full 2.0 : tensor<16xf32>
  %y = titan.mul %x, %c : tensor<16xf32>
  return %c, %y : tensor<16xf32>, tensor<16xf32>
}

// -----

// Different rows do not mix: the second op sums what the first one's other rows made.
// CHECK-LABEL: func.func @other_rows
// CHECK:         titan.kernel
// CHECK:           titan.reduce sum %{{.*}} [1]
// CHECK:         titan.kernel
// CHECK:           titan.transpose
// CHECK:           titan.reduce sum %{{.*}} [1]
func.func @other_rows(%x: tensor<16x24xf32>) -> tensor<24xf32> {
  %s = titan.reduce sum %x [1] : tensor<16x24xf32> -> tensor<16xf32>
  %b = titan.broadcast %s [0] : tensor<16xf32> -> tensor<16x24xf32>
  %d = titan.sub %x, %b : tensor<16x24xf32>
  %t = titan.transpose %d [1, 0] : tensor<16x24xf32> -> tensor<24x16xf32>
  %r = titan.reduce sum %t [1] : tensor<24x16xf32> -> tensor<24xf32>
  return %r : tensor<24xf32>
}

// -----

// A sum over many tensors: one kernel for each tensor, one for the scalars, which belong to none of
// them.
// CHECK-LABEL: func.func @sum_of_squares
// CHECK-COUNT-2: titan.reduce
// CHECK:         titan.kernel
// CHECK-NEXT:      titan.add
// CHECK-NEXT:      titan.sqrt
// CHECK-NOT:     titan.kernel
func.func @sum_of_squares(%a: tensor<64xf32>, %b: tensor<8x8xf32>) -> tensor<f32> {
  %s = titan.sum_of_squares %a, %b : tensor<64xf32>, tensor<8x8xf32> -> tensor<f32>
  %r = titan.sqrt %s : tensor<f32>
  return %r : tensor<f32>
}

// -----

// Reductions over rows with the same input share a kernel with the row's own phases.
// CHECK-LABEL: func.func @cross_entropy
// CHECK:         %[[K:.*]]:3 = titan.kernel
// CHECK:           titan.one_hot
// CHECK-NOT:     titan.kernel
// CHECK:         return %[[K]]#
func.func @cross_entropy(%l: tensor<32x100xf32>, %t: tensor<32xi32>, %d: tensor<f32>)
    -> (tensor<f32>, tensor<f32>, tensor<32x100xf32>) {
  %loss, %valid, %dl = titan.cross_entropy_grad %l, %t, %d
      : (tensor<32x100xf32>, tensor<32xi32>, tensor<f32>)
      -> (tensor<f32>, tensor<f32>, tensor<32x100xf32>)
  return %loss, %valid, %dl : tensor<f32>, tensor<f32>, tensor<32x100xf32>
}
