// RUN: titan-opt %s -titan-split-backward -split-input-file -verify-diagnostics | FileCheck %s

// The middle of a pipeline. What the cotangent needs stays; %e is handed over; the gradient of @b, a sum
// of it, stays too. The residual %y and the received %g are used by the first half alone.
// CHECK-LABEL: func.func @bwd.1
// CHECK-SAME: (%[[X:.*]]: tensor<2x4xf32>, %[[Y:.*]]: tensor<2x8xf32>, %[[G:.*]]: tensor<2x8xf32> {titan.received}) -> (tensor<2x4xf32>, tensor<2x8xf32>) attributes {titan.pipeline_rank = 1 : i64}
// CHECK-DAG:  %[[W:.*]] = titan.load @w
// CHECK-DAG:  %[[E:.*]] = titan.mul %[[G]], %[[Y]]
// CHECK:      %[[DX:.*]] = titan.einsum "tn,nd->td" %[[E]], %[[W]]
// CHECK-NOT:  @gradient.w
// CHECK:      titan.store %{{.*}}, @gradient.b
// CHECK:      return %[[DX]], %[[E]]
// CHECK-LABEL: func.func @bwd_weight.1
// CHECK-SAME: (%[[X:.*]]: tensor<2x4xf32>, %{{.*}}: tensor<2x8xf32>, %{{.*}}: tensor<2x8xf32> {titan.received}, %[[E:.*]]: tensor<2x8xf32>) attributes {titan.pipeline_rank = 1 : i64}
// CHECK-NEXT: %[[OLD:.*]] = titan.load @gradient.w
// CHECK-NEXT: %[[DW:.*]] = titan.einsum "tn,td->nd" %[[E]], %[[X]] acc(%[[OLD]]
// CHECK-NEXT: titan.store %[[DW]], @gradient.w
// CHECK-NEXT: return

// The first stage returns nothing: %e, which both gradients need, is what its first half makes.
// CHECK-LABEL: func.func @bwd.0
// CHECK-SAME: -> tensor<2x8xf32>
// CHECK:      %[[E:.*]] = titan.mul
// CHECK-NEXT: return %[[E]]
// CHECK-LABEL: func.func @bwd_weight.0
// CHECK-SAME: %{{.*}}: tensor<2x8xf32> {titan.received}, %[[E:.*]]: tensor<2x8xf32>)
// A view is made again.
// CHECK:      titan.reshape %[[E]]
// CHECK-DAG:  titan.store %{{.*}}, @gradient.u
// CHECK-DAG:  titan.store %{{.*}}, @gradient.v
module attributes {titan.schedule = ["0F0,0F1,0B0,0I1,0W1", "1F0,1I0,1W0,1F1,1I1,1W1"]} {
  titan.variable parameter @w : tensor<8x4xf32>
  titan.variable gradient @gradient.w : tensor<8x4xf32>
  titan.variable gradient @gradient.b : tensor<8xf32>
  titan.variable gradient @gradient.u : tensor<8x4xf32>
  titan.variable gradient @gradient.v : tensor<8x8xf32>
  func.func @fwd.0() attributes {titan.pipeline_rank = 0} {
    return
  }
  func.func @fwd.1() attributes {titan.pipeline_rank = 1} {
    return
  }
  func.func @bwd.1(%x: tensor<2x4xf32>, %y: tensor<2x8xf32>, %g: tensor<2x8xf32> {titan.received})
      -> tensor<2x4xf32> attributes {titan.pipeline_rank = 1} {
    %w = titan.load @w : tensor<8x4xf32>
    %e = titan.mul %g, %y : tensor<2x8xf32>
    %dx = titan.einsum "tn,nd->td" %e, %w : tensor<2x8xf32>, tensor<8x4xf32> -> tensor<2x4xf32>
    %old = titan.load @gradient.w : tensor<8x4xf32>
    %dw = titan.einsum "tn,td->nd" %e, %x acc(%old : tensor<8x4xf32>) : tensor<2x8xf32>, tensor<2x4xf32> -> tensor<8x4xf32>
    titan.store %dw, @gradient.w : tensor<8x4xf32>
    %oldb = titan.load @gradient.b : tensor<8xf32>
    %db = titan.reduce sum %e [0] : tensor<2x8xf32> -> tensor<8xf32>
    %sum = titan.add %oldb, %db : tensor<8xf32>
    titan.store %sum, @gradient.b : tensor<8xf32>
    return %dx : tensor<2x4xf32>
  }
  func.func @bwd.0(%x: tensor<2x4xf32>, %y: tensor<2x8xf32>, %g: tensor<2x8xf32> {titan.received})
      attributes {titan.pipeline_rank = 0} {
    %e = titan.mul %g, %y : tensor<2x8xf32>
    %v = titan.reshape %e : tensor<2x8xf32> -> tensor<2x8xf32>
    %du = titan.einsum "tn,td->nd" %e, %x : tensor<2x8xf32>, tensor<2x4xf32> -> tensor<8x4xf32>
    titan.store %du, @gradient.u : tensor<8x4xf32>
    %dv = titan.einsum "tn,td->nd" %v, %y : tensor<2x8xf32>, tensor<2x8xf32> -> tensor<8x8xf32>
    titan.store %dv, @gradient.v : tensor<8x8xf32>
    return
  }
}

// -----

// A schedule without W: nothing to do.
// CHECK-LABEL: func.func @bwd(
// CHECK-NOT: func.func
module attributes {titan.schedule = ["0F0,0B0"]} {
  titan.variable gradient @gradient.w : tensor<4x4xf32>
  func.func @bwd(%x: tensor<4x4xf32>) {
    %dw = titan.einsum "td,tn->dn" %x, %x : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>
    titan.store %dw, @gradient.w : tensor<4x4xf32>
    return
  }
}

// -----

// On a mesh what is handed over differs from rank to rank.
// CHECK-LABEL: func.func @bwd(
// CHECK-SAME: -> (tensor<4x4xf32> {titan.per_rank})
// CHECK-LABEL: func.func @bwd_weight(
// CHECK-SAME: %{{.*}}: tensor<4x4xf32> {titan.per_rank}, %{{.*}}: tensor<4x4xf32> {titan.per_rank})
module attributes {titan.schedule = ["0F0,0I0,0W0"]} {
  titan.mesh @mesh [tp = 2]
  titan.variable gradient @gradient.w : tensor<4x4xf32>
  titan.variable gradient @gradient.v : tensor<4x4xf32>
  func.func @bwd(%x: tensor<4x4xf32> {titan.per_rank}) {
    %y = titan.exp %x : tensor<4x4xf32>
    %dw = titan.einsum "td,tn->dn" %x, %y : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>
    titan.store %dw, @gradient.w : tensor<4x4xf32>
    %dv = titan.einsum "td,tn->dn" %y, %y : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>
    titan.store %dv, @gradient.v : tensor<4x4xf32>
    return
  }
}

// -----

// expected-error @+1 {{has functions @bwd_weight already}}
module attributes {titan.schedule = ["0F0,0I0,0W0"]} {
  func.func @bwd() {
    return
  }
  func.func @bwd_weight() {
    return
  }
}

// -----

// expected-error @+1 {{titan.schedule: rank 0 has 0W0, but lacks 0I0; a backward is B, or I and W}}
module attributes {titan.schedule = ["0F0,0W0"]} {
  func.func @bwd() {
    return
  }
}
