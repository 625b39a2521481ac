// RUN: titan-opt %s --titan-batch-kernels --split-input-file | FileCheck-22 %s

titan.variable parameter @p : tensor<512xf32>
titan.variable parameter @q : tensor<64x64xf32>

// Kernels of different sizes are one launch, at the place of the last; scalars that both read are one
// operand, and stores of what they compute follow.
// CHECK-LABEL: func.func @update
// CHECK:         %[[P:.*]] = titan.load @p
// CHECK-NOT:     titan.kernel
// CHECK:         %[[Q:.*]] = titan.load @q
// CHECK-NEXT:    %[[B:.*]]:2 = titan.kernel (%[[A0:.*]] = %[[P]], %[[A1:.*]] = %{{.*}}, %[[A2:.*]] = %[[Q]])
// CHECK-NEXT:      %[[K0:.*]] = titan.kernel (%{{.*}} = %[[A0]], %{{.*}} = %[[A1]])
// CHECK:           %[[K1:.*]] = titan.kernel (%{{.*}} = %[[A2]], %{{.*}} = %[[A1]])
// CHECK:           titan.yield %[[K0]], %[[K1]]
// CHECK-NEXT:    }
// CHECK-NEXT:    titan.store %[[B]]#0, @p
// CHECK-NEXT:    titan.store %[[B]]#1, @q
// CHECK-NOT:     titan.kernel
func.func @update(%rate: tensor<f32>) {
  %p = titan.load @p : tensor<512xf32>
  %k0 = titan.kernel (%a = %p, %r = %rate) : (tensor<512xf32>, tensor<f32>) -> tensor<512xf32> {
    %x = titan.broadcast %r [] : tensor<f32> -> tensor<512xf32>
    %y = titan.mul %a, %x : tensor<512xf32>
    titan.yield %y : tensor<512xf32>
  }
  titan.store %k0, @p : tensor<512xf32>
  %q = titan.load @q : tensor<64x64xf32>
  %k1 = titan.kernel (%a = %q, %r = %rate) : (tensor<64x64xf32>, tensor<f32>) -> tensor<64x64xf32> {
    %x = titan.broadcast %r [] : tensor<f32> -> tensor<64x64xf32>
    %y = titan.mul %a, %x : tensor<64x64xf32>
    titan.yield %y : tensor<64x64xf32>
  }
  titan.store %k1, @q : tensor<64x64xf32>
  return
}

// -----

titan.variable gradient @p : tensor<512xf32>
titan.variable gradient @q : tensor<64x64xf32>

// Sums of whole tensors are one launch. What depends on them is none of it.
// CHECK-LABEL: func.func @norm
// CHECK:         %[[B:.*]]:2 = titan.kernel
// CHECK:           titan.kernel
// CHECK:           titan.kernel
// CHECK:         %[[SUM:.*]] = titan.kernel (%{{.*}} = %[[B]]#0, %{{.*}} = %[[B]]#1)
// CHECK:           titan.add
// CHECK:         return %[[SUM]]
func.func @norm() -> tensor<f32> {
  %p = titan.load @p : tensor<512xf32>
  %q = titan.load @q : tensor<64x64xf32>
  %k0 = titan.kernel (%a = %p) : (tensor<512xf32>) -> tensor<f32> {
    %x = titan.mul %a, %a : tensor<512xf32>
    %y = titan.reduce sum %x [0] : tensor<512xf32> -> tensor<f32>
    titan.yield %y : tensor<f32>
  }
  %k1 = titan.kernel (%a = %q) : (tensor<64x64xf32>) -> tensor<f32> {
    %x = titan.mul %a, %a : tensor<64x64xf32>
    %y = titan.reduce sum %x [0, 1] : tensor<64x64xf32> -> tensor<f32>
    titan.yield %y : tensor<f32>
  }
  %k2 = titan.kernel (%a = %k0, %b = %k1) : (tensor<f32>, tensor<f32>) -> tensor<f32> {
    %x = titan.add %a, %b : tensor<f32>
    titan.yield %x : tensor<f32>
  }
  return %k2 : tensor<f32>
}

// -----

titan.variable gradient @p : tensor<512xf32>
titan.variable gradient @q : tensor<512xf32>
titan.variable gradient @r : tensor<512xf32>

// Results in memory of their own would all live at once, rows have threads of their own, and what
// takes memory in between may not move: none is a batch.
// CHECK-LABEL: func.func @apart
// CHECK-COUNT-4: = titan.kernel (%{{.*}} = %{{.*}}) : (tensor<{{.*}}
// CHECK:         titan.einsum
// CHECK:         = titan.kernel (%{{.*}} = %{{.*}}) : (tensor<512xf32>)
func.func @apart(%x: tensor<16x32xf32>) -> (tensor<512xf32>, tensor<512xf32>, tensor<16x16xf32>) {
  %p = titan.load @p : tensor<512xf32>
  %q = titan.load @q : tensor<512xf32>
  %k0 = titan.kernel (%a = %p) : (tensor<512xf32>) -> tensor<512xf32> {
    %y = titan.exp %a : tensor<512xf32>
    titan.yield %y : tensor<512xf32>
  }
  %k1 = titan.kernel (%a = %q) : (tensor<512xf32>) -> tensor<512xf32> {
    %y = titan.exp %a : tensor<512xf32>
    titan.yield %y : tensor<512xf32>
  }
  %k2 = titan.kernel (%a = %x) : (tensor<16x32xf32>) -> tensor<16xf32> {
    %y = titan.reduce sum %a [1] : tensor<16x32xf32> -> tensor<16xf32>
    titan.yield %y : tensor<16xf32>
  }
  %k3 = titan.kernel (%a = %p) : (tensor<512xf32>) -> tensor<512xf32> {
    %y = titan.neg %a : tensor<512xf32>
    titan.yield %y : tensor<512xf32>
  }
  titan.store %k3, @p : tensor<512xf32>
  %e = titan.einsum "mk,nk->mn" %x, %x : tensor<16x32xf32>, tensor<16x32xf32> -> tensor<16x16xf32>
  %k4 = titan.kernel (%a = %q) : (tensor<512xf32>) -> tensor<512xf32> {
    %y = titan.neg %a : tensor<512xf32>
    titan.yield %y : tensor<512xf32>
  }
  titan.store %k4, @q : tensor<512xf32>
  return %k0, %k1, %e : tensor<512xf32>, tensor<512xf32>, tensor<16x16xf32>
}

// -----

titan.variable parameter @p : tensor<512xf32>
titan.variable parameter @q : tensor<512xf32>
titan.variable parameter @r : tensor<512xf32>

// What reads a variable that another kernel writes is no launch with it.
// CHECK-LABEL: func.func @in_place
// CHECK:         titan.kernel
// CHECK-NOT:     titan.kernel
// CHECK:         titan.yield
// CHECK:         %[[B:.*]]:2 = titan.kernel
// CHECK:         titan.store %[[B]]#0, @p
// CHECK:         return %{{.*}} : tensor<f32>
func.func @in_place() -> tensor<f32> {
  %p = titan.load @p : tensor<512xf32>
  %q = titan.load @q : tensor<512xf32>
  %k0 = titan.kernel (%a = %p) : (tensor<512xf32>) -> tensor<f32> {
    %y = titan.reduce sum %a [0] : tensor<512xf32> -> tensor<f32>
    titan.yield %y : tensor<f32>
  }
  %k1 = titan.kernel (%a = %p) : (tensor<512xf32>) -> tensor<512xf32> {
    %y = titan.exp %a : tensor<512xf32>
    titan.yield %y : tensor<512xf32>
  }
  titan.store %k1, @p : tensor<512xf32>
  %k2 = titan.kernel (%a = %q) : (tensor<512xf32>) -> tensor<512xf32> {
    %y = titan.exp %a : tensor<512xf32>
    titan.yield %y : tensor<512xf32>
  }
  titan.store %k2, @q : tensor<512xf32>
  return %k0 : tensor<f32>
}

// -----

titan.variable parameter @p : tensor<512xf32>
titan.variable parameter @q : tensor<512xf32>
titan.variable derived @scale : tensor<f32>

// What stands behind the last kernel of a batch, and depends on more than that, stays there.
// CHECK-LABEL: func.func @behind
// CHECK:         %[[B:.*]]:2 = titan.kernel
// CHECK:         %[[SCALE:.*]] = titan.load @scale
// CHECK-NEXT:    titan.mul %[[B]]#0, %[[SCALE]]
func.func @behind() -> tensor<f32> {
  %p = titan.load @p : tensor<512xf32>
  %q = titan.load @q : tensor<512xf32>
  %k0 = titan.kernel (%a = %p) : (tensor<512xf32>) -> tensor<f32> {
    %y = titan.reduce sum %a [0] : tensor<512xf32> -> tensor<f32>
    titan.yield %y : tensor<f32>
  }
  %k1 = titan.kernel (%a = %q) : (tensor<512xf32>) -> tensor<512xf32> {
    %y = titan.exp %a : tensor<512xf32>
    titan.yield %y : tensor<512xf32>
  }
  titan.store %k1, @q : tensor<512xf32>
  %scale = titan.load @scale : tensor<f32>
  %z = titan.mul %k0, %scale : tensor<f32>
  return %z : tensor<f32>
}
