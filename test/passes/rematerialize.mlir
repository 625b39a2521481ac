// RUN: titan-opt %s -titan-rematerialize=mode=none | FileCheck %s --check-prefix=NONE
// RUN: titan-opt %s -titan-rematerialize=mode=full | FileCheck %s --check-prefix=FULL
// RUN: titan-opt %s -titan-rematerialize="mode=selective every=2" | FileCheck %s --check-prefix=SECOND
// RUN: titan-opt %s -titan-rematerialize=mode=per-op | FileCheck %s --check-prefix=OP
// RUN: titan-opt %s -titan-rematerialize="mode=budget budget=1" | FileCheck %s --check-prefix=MOST
// RUN: titan-opt %s -titan-rematerialize="mode=budget budget=0" | FileCheck %s --check-prefix=LEAST
// RUN: titan-opt %s -titan-rematerialize="mode=limit bytes=256" | FileCheck %s --check-prefix=LEAST
// RUN: titan-opt %s -titan-rematerialize="mode=limit bytes=1300" | FileCheck %s --check-prefix=FIRST
// RUN: titan-opt %s -titan-rematerialize="mode=limit bytes=1000000" | FileCheck %s --check-prefix=NONE

// Two layers, each of two products, an exp between them and a sum with the layer's input.
//
// Without recomputation exp is not kept, which the backward computes from the product before it.
// NONE: func.func @fwd
// NONE: %[[H0:.*]] = titan.einsum
// NONE: %[[A0:.*]] = titan.einsum "td,nd->tn" %[[H0]]
// NONE: %[[H1:.*]] = titan.add %[[H0]]
// NONE: %[[A1:.*]] = titan.einsum "td,nd->tn" %[[H1]]
// NONE: return %[[H0]], %[[A0]], %[[H1]], %[[A1]]
// NONE: func.func @bwd(%{{.*}}, %[[H0:.*]]: tensor<4x8xf32>, %[[A0:.*]]: tensor<4x64xf32>, %[[H1:.*]]: tensor<4x8xf32>, %[[A1:.*]]: tensor<4x64xf32>)
// NONE: %[[E1:.*]] = titan.exp %[[A1]]
// NONE: titan.mul %[[E1]], %[[A1]]
// NONE: titan.exp %[[A0]]

// In full each layer keeps its input alone. The product runs again where the backward reads it first.
// FULL: func.func @fwd
// FULL: %[[H0:.*]] = titan.einsum
// FULL: %[[H1:.*]] = titan.add %[[H0]]
// FULL-NOT: titan.einsum
// FULL: return %[[H0]], %[[H1]] : tensor<4x8xf32>, tensor<4x8xf32>
// FULL: func.func @bwd(%{{.*}}, %[[H0:.*]]: tensor<4x8xf32>, %[[H1:.*]]: tensor<4x8xf32>)
// FULL: %[[A1:.*]] = titan.einsum "td,nd->tn" %[[H1]]
// FULL: titan.exp %[[A1]]
// FULL: titan.store %{{.*}}, @gradient.layers.1.down
// FULL: %[[A0:.*]] = titan.einsum "td,nd->tn" %[[H0]]
// FULL: titan.exp %[[A0]]
// FULL: titan.store %{{.*}}, @gradient.layers.0.down

// Every second layer is the second one.
// SECOND: func.func @fwd
// SECOND: %[[H0:.*]] = titan.einsum
// SECOND: %[[A0:.*]] = titan.einsum "td,nd->tn" %[[H0]]
// SECOND: %[[H1:.*]] = titan.add %[[H0]]
// SECOND: return %[[H0]], %[[A0]], %[[H1]] :

// The first product of each layer is kept.
// OP: func.func @fwd
// OP: %[[H0:.*]] = titan.einsum
// OP: %[[A0:.*]] = titan.einsum "td,nd->tn" %[[H0]]
// OP: %[[H1:.*]] = titan.add %[[H0]]
// OP: %[[A1:.*]] = titan.einsum "td,nd->tn" %[[H1]]
// OP: return %[[H0]], %[[A0]], %[[H1]], %[[A1]]

// MOST: func.func @bwd
// MOST-NOT: titan.einsum "td,nd->tn"
// MOST: return

// LEAST: func.func @fwd
// LEAST: %[[H0:.*]] = titan.einsum
// LEAST: %[[H1:.*]] = titan.add %[[H0]]
// LEAST: return %[[H0]], %[[H1]] :

// Of equal layers the first one runs again.
// FIRST: func.func @fwd
// FIRST: %[[H0:.*]] = titan.einsum
// FIRST: %[[H1:.*]] = titan.add %[[H0]]
// FIRST: %[[A1:.*]] = titan.einsum "td,nd->tn" %[[H1]]
// FIRST: return %[[H0]], %[[H1]], %[[A1]] :

titan.variable parameter @tok : tensor<8x4xf32>
titan.variable parameter @layers.0.up : tensor<64x8xf32>
titan.variable parameter @layers.0.down : tensor<8x64xf32>
titan.variable parameter @layers.1.up : tensor<64x8xf32>
titan.variable gradient @gradient.layers.1.down : tensor<8x64xf32>
titan.variable gradient @gradient.layers.0.down : tensor<8x64xf32>
func.func @fwd(%x: tensor<4x4xf32>) -> (tensor<4x8xf32>, tensor<4x64xf32>, tensor<4x64xf32>, tensor<4x8xf32>, tensor<4x64xf32>, tensor<4x64xf32>) {
  %tok = titan.load @tok : tensor<8x4xf32>
  %h0 = titan.einsum "td,nd->tn" %x, %tok : tensor<4x4xf32>, tensor<8x4xf32> -> tensor<4x8xf32> loc("tok")
  %u0 = titan.load @layers.0.up : tensor<64x8xf32>
  %a0 = titan.einsum "td,nd->tn" %h0, %u0 : tensor<4x8xf32>, tensor<64x8xf32> -> tensor<4x64xf32> loc("layers.0.up")
  %e0 = titan.exp %a0 : tensor<4x64xf32> loc("layers.0")
  %d0 = titan.load @layers.0.down : tensor<8x64xf32>
  %y0 = titan.einsum "tn,dn->td" %e0, %d0 : tensor<4x64xf32>, tensor<8x64xf32> -> tensor<4x8xf32> loc("layers.0.down")
  %h1 = titan.add %h0, %y0 : tensor<4x8xf32> loc("layers.0")
  %u1 = titan.load @layers.1.up : tensor<64x8xf32>
  %a1 = titan.einsum "td,nd->tn" %h1, %u1 : tensor<4x8xf32>, tensor<64x8xf32> -> tensor<4x64xf32> loc("layers.1.up")
  %e1 = titan.exp %a1 : tensor<4x64xf32> loc("layers.1")
  return %h0, %a0, %e0, %h1, %a1, %e1 : tensor<4x8xf32>, tensor<4x64xf32>, tensor<4x64xf32>, tensor<4x8xf32>, tensor<4x64xf32>, tensor<4x64xf32>
}
func.func @bwd(%x: tensor<4x4xf32>, %h0: tensor<4x8xf32>, %a0: tensor<4x64xf32>, %e0: tensor<4x64xf32>, %h1: tensor<4x8xf32>, %a1: tensor<4x64xf32>, %e1: tensor<4x64xf32>) {
  %s1 = titan.mul %e1, %a1 : tensor<4x64xf32>
  %g1 = titan.einsum "tn,td->nd" %h1, %s1 : tensor<4x8xf32>, tensor<4x64xf32> -> tensor<8x64xf32>
  titan.store %g1, @gradient.layers.1.down : tensor<8x64xf32>
  %s0 = titan.mul %e0, %a0 : tensor<4x64xf32>
  %g0 = titan.einsum "tn,td->nd" %h0, %s0 : tensor<4x8xf32>, tensor<4x64xf32> -> tensor<8x64xf32>
  titan.store %g0, @gradient.layers.0.down : tensor<8x64xf32>
  return
}
