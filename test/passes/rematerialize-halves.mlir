// RUN: titan-opt %s -titan-rematerialize=mode=none | FileCheck %s --check-prefix=NONE
// RUN: titan-opt %s -titan-rematerialize=mode=full | FileCheck %s --check-prefix=FULL
// RUN: titan-opt %s -titan-rematerialize="mode=limit bytes=1408" | FileCheck %s --check-prefix=HANDED
// RUN: titan-opt %s -titan-rematerialize="mode=limit bytes=1407" | FileCheck %s --check-prefix=FULL

// Both halves of the backward read %a and %e. Three microbatches are in flight from the
// forward to either half, one from the first half to the second.
module attributes {titan.schedule = ["0F0,0F1,0F2,0I0,0W0,0I1,0W1,0I2,0W2"]} {
  titan.variable parameter @tok : tensor<8x4xf32>
  titan.variable parameter @layers.0.up : tensor<64x8xf32>
  titan.variable gradient @gradient.layers.0.up : tensor<64x8xf32>
  titan.variable gradient @gradient.layers.0.down : tensor<64x8xf32>

  // As few bytes as pointwise functions alone leave: %e is made from %a, which costs 3 x 1024 bytes.
  // NONE: func.func @fwd.0
  // NONE: %[[H:.*]] = titan.einsum "td,nd->tn"
  // NONE: %[[A:.*]] = titan.einsum "td,nd->tn" %[[H]]
  // NONE: return %[[H]], %[[H]], %[[A]] : tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x64xf32>
  // NONE: func.func @bwd.0(%{{.*}}: tensor<4x4xf32>, %{{.*}}: tensor<4x8xf32>, %[[A:.*]]: tensor<4x64xf32>, %{{.*}}: tensor<4x64xf32> {titan.received})
  // NONE: titan.exp %[[A]]
  // NONE: func.func @bwd_weight.0(%{{.*}}: tensor<4x4xf32>, %{{.*}}: tensor<4x8xf32>, %[[A:.*]]: tensor<4x64xf32>, %{{.*}}: tensor<4x64xf32> {titan.received}, %{{.*}}: tensor<4x64xf32>)
  // NONE: titan.exp %[[A]]

  // The layer's input alone, 3 x 128 bytes: each half runs the layer again.
  // FULL: func.func @fwd.0
  // FULL: return %{{.*}}, %{{.*}} : tensor<4x8xf32>, tensor<4x8xf32>
  // FULL: func.func @bwd.0(%{{.*}}: tensor<4x4xf32>, %[[H:.*]]: tensor<4x8xf32>, %{{.*}}: tensor<4x64xf32> {titan.received})
  // FULL: titan.einsum "td,nd->tn" %[[H]]
  // FULL: return %{{[^,]*}} : tensor<4x64xf32>
  // FULL: func.func @bwd_weight.0(%{{.*}}: tensor<4x4xf32>, %[[H:.*]]: tensor<4x8xf32>, %{{.*}}: tensor<4x64xf32> {titan.received}, %{{.*}}: tensor<4x64xf32>)
  // FULL: titan.einsum "td,nd->tn" %[[H]]

  // In between the first half runs it again and hands it over, 1 x 1024 bytes.
  // HANDED: func.func @fwd.0
  // HANDED: return %{{.*}}, %{{.*}} : tensor<4x8xf32>, tensor<4x8xf32>
  // HANDED: func.func @bwd.0
  // HANDED: %[[A:.*]] = titan.einsum "td,nd->tn"
  // HANDED: return %{{.*}}, %[[A]] : tensor<4x64xf32>, tensor<4x64xf32>
  // HANDED: func.func @bwd_weight.0(%{{.*}}: tensor<4x4xf32>, %{{.*}}: tensor<4x8xf32>, %{{.*}}: tensor<4x64xf32> {titan.received}, %{{.*}}: tensor<4x64xf32>, %[[A:.*]]: tensor<4x64xf32>)
  // HANDED-NOT: titan.einsum "td,nd->tn"
  // HANDED: titan.exp %[[A]]
  func.func @fwd.0(%x: tensor<4x4xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x64xf32>, tensor<4x64xf32>) attributes {titan.pipeline_rank = 0 : i64} {
    %tok = titan.load @tok : tensor<8x4xf32>
    %h = titan.einsum "td,nd->tn" %x, %tok : tensor<4x4xf32>, tensor<8x4xf32> -> tensor<4x8xf32> loc("tok")
    %u = titan.load @layers.0.up : tensor<64x8xf32>
    %a = titan.einsum "td,nd->tn" %h, %u : tensor<4x8xf32>, tensor<64x8xf32> -> tensor<4x64xf32> loc("layers.0.up")
    %e = titan.exp %a : tensor<4x64xf32> loc("layers.0")
    return %h, %h, %a, %e : tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x64xf32>, tensor<4x64xf32>
  }
  func.func @bwd.0(%x: tensor<4x4xf32>, %h: tensor<4x8xf32>, %a: tensor<4x64xf32>, %e: tensor<4x64xf32>, %g: tensor<4x64xf32> {titan.received}) -> tensor<4x64xf32> attributes {titan.pipeline_rank = 0 : i64} {
    %s = titan.mul %e, %a : tensor<4x64xf32>
    %d = titan.mul %s, %g : tensor<4x64xf32>
    return %d : tensor<4x64xf32>
  }
  func.func @bwd_weight.0(%x: tensor<4x4xf32>, %h: tensor<4x8xf32>, %a: tensor<4x64xf32>, %e: tensor<4x64xf32>, %g: tensor<4x64xf32> {titan.received}, %d: tensor<4x64xf32>) attributes {titan.pipeline_rank = 0 : i64} {
    %s = titan.mul %e, %a : tensor<4x64xf32>
    %g0 = titan.einsum "tn,td->nd" %d, %h : tensor<4x64xf32>, tensor<4x8xf32> -> tensor<64x8xf32>
    titan.store %g0, @gradient.layers.0.up : tensor<64x8xf32>
    %g1 = titan.einsum "tn,td->nd" %s, %h : tensor<4x64xf32>, tensor<4x8xf32> -> tensor<64x8xf32>
    titan.store %g1, @gradient.layers.0.down : tensor<64x8xf32>
    return
  }
}
