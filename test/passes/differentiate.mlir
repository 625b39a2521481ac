// RUN: titan-opt %s -titan-differentiate -canonicalize -split-input-file -verify-diagnostics | FileCheck %s

titan.variable parameter @w : tensor<8x4xf32>
titan.variable parameter @b : tensor<8xf32>

// The forward keeps what the backward uses: %h, silu(%h) and the loss. The broadcast weight depends on
// variables alone and is computed again.
// CHECK: titan.variable gradient @gradient.w : tensor<8x4xf32>
// CHECK: titan.variable gradient @gradient.b : tensor<8xf32>
// CHECK: titan.variable output @loss_sum : tensor<f32>
// CHECK: titan.variable output @valid_tokens : tensor<f32>
// CHECK-LABEL: func.func @fwd
// CHECK-SAME: (%[[X:.*]]: tensor<2x4xf32> {titan.name = "x"}) -> (tensor<2x8xf32>, tensor<2x8xf32>, tensor<f32>)
// CHECK: %[[H:.*]] = titan.einsum "td,nd->tn" %[[X]]
// CHECK: %[[E:.*]] = titan.silu %[[H]]
// CHECK: %[[LOSS:.*]] = titan.reduce
// CHECK: return %[[H]], %[[E]], %[[LOSS]]
// CHECK-LABEL: func.func @bwd
// CHECK-SAME: (%[[X:.*]]: tensor<2x4xf32> {titan.name = "x"}, %[[H:.*]]: tensor<2x8xf32>, %[[E:.*]]: tensor<2x8xf32>, %{{.*}}: tensor<f32>) {
// CHECK-DAG: %[[G:.*]] = titan.load @gradient.w
// CHECK-DAG: %[[BIAS:.*]] = titan.load @b
// CHECK: titan.broadcast %[[BIAS]]
// CHECK: titan.silu_grad %[[H]]
// CHECK: titan.einsum "tn,td->nd" %{{.*}}, %[[X]] acc(%[[G]] : tensor<8x4xf32>)
// CHECK: titan.store %{{.*}}, @gradient.w
// CHECK: titan.store %{{.*}}, @gradient.b
// CHECK: titan.store %{{.*}}, @loss_sum
// CHECK: titan.store %{{.*}}, @valid_tokens
func.func @loss(%x: tensor<2x4xf32> {titan.name = "x"}) -> (tensor<f32>, tensor<f32>) {
  %w = titan.load @w : tensor<8x4xf32>
  %b = titan.load @b : tensor<8xf32>
  %h = titan.einsum "td,nd->tn" %x, %w : tensor<2x4xf32>, tensor<8x4xf32> -> tensor<2x8xf32>
  %e = titan.silu %h : tensor<2x8xf32>
  %c = titan.broadcast %b [1] : tensor<8xf32> -> tensor<2x8xf32>
  %y = titan.mul %e, %c : tensor<2x8xf32>
  %l = titan.reduce sum %y [0, 1] : tensor<2x8xf32> -> tensor<f32>
  %n = titan.full 2.0 : tensor<f32>
  return %l, %n : tensor<f32>, tensor<f32>
}

// -----

// A parameter that is read as a rounded copy gets its gradient unrounded: products and the
// embedding's sum come in float32, and both uses are added there.
titan.variable parameter @table : tensor<9x4xf32>
// CHECK: titan.variable gradient @gradient.table : tensor<9x4xf32>
// CHECK-LABEL: func.func @bwd
// CHECK: %[[G:.*]] = titan.load @gradient.table : tensor<9x4xf32>
// CHECK: titan.einsum "tn,nd->td" {{.*}} : tensor<6x9xbf16>, tensor<9x4xbf16> -> tensor<6x4xbf16>
// CHECK: titan.einsum "tn,td->nd" %{{.*}} acc(%[[G]] : tensor<9x4xf32>) : tensor<6x9xbf16>, tensor<6x4xbf16> -> tensor<9x4xf32>
// CHECK: titan.embedding_grad {{.*}} acc(%{{.*}} : tensor<9x4xf32>) : tensor<6x4xbf16>, tensor<6xi32> -> tensor<9x4xf32>
// CHECK: titan.store %{{.*}}, @gradient.table : tensor<9x4xf32>
func.func @loss(%tokens: tensor<6xi32>) -> (tensor<f32>, tensor<f32>) {
  %w = titan.load @table : tensor<9x4xf32>
  %c = titan.cast %w : tensor<9x4xf32> -> tensor<9x4xbf16>
  %x = titan.embedding %tokens, %c : tensor<6xi32>, tensor<9x4xbf16> -> tensor<6x4xbf16>
  %v = titan.reshape %c : tensor<9x4xbf16> -> tensor<9x4xbf16>
  %y = titan.einsum "td,nd->tn" %x, %v : tensor<6x4xbf16>, tensor<9x4xbf16> -> tensor<6x9xbf16>
  %z = titan.exp %y : tensor<6x9xbf16>
  %wide = titan.cast %z : tensor<6x9xbf16> -> tensor<6x9xf32>
  %l = titan.reduce sum %wide [0, 1] : tensor<6x9xf32> -> tensor<f32>
  return %l, %l : tensor<f32>, tensor<f32>
}

// -----

// An op without a product between a parameter and the loss is named.
titan.variable parameter @w : tensor<4xf32>
func.func @loss() -> (tensor<f32>, tensor<f32>) {
  %w = titan.load @w : tensor<4xf32>
  // expected-error @+1 {{'titan.minimum' op lies between a parameter and the loss but is no DifferentiableOpInterface}}
  %m = titan.minimum %w, %w : tensor<4xf32>
  %l = titan.reduce sum %m [0] : tensor<4xf32> -> tensor<f32>
  return %l, %l : tensor<f32>, tensor<f32>
}

// -----

titan.variable parameter @w : tensor<f32>
// expected-error @+1 {{the loss does not depend on parameter @unused}}
titan.variable parameter @unused : tensor<4xf32>
func.func @loss() -> (tensor<f32>, tensor<f32>) {
  %w = titan.load @w : tensor<f32>
  return %w, %w : tensor<f32>, tensor<f32>
}

// -----

// expected-error @+1 {{the loss depends on no parameter}}
func.func @loss(%x: tensor<f32>) -> (tensor<f32>, tensor<f32>) {
  return %x, %x : tensor<f32>, tensor<f32>
}

// -----

// expected-error @+1 {{expects @loss to return two f32 scalars, the summed loss and the number of valid tokens, found '(tensor<f32>) -> tensor<f32>'}}
func.func @loss(%x: tensor<f32>) -> tensor<f32> {
  return %x : tensor<f32>
}

// -----

// expected-error @+1 {{expects a function @loss, found none}}
module {
}

// -----

titan.variable parameter @w : tensor<4x4xf32>
func.func @loss() -> (tensor<f32>, tensor<f32>) {
  %w = titan.load @w : tensor<4x4xf32>
  // expected-error @+1 {{is differentiable for sum only, found max}}
  %l = titan.reduce max %w [0, 1] : tensor<4x4xf32> -> tensor<f32>
  return %l, %l : tensor<f32>, tensor<f32>
}

// -----

titan.variable parameter @w : tensor<4xf32>
func.func @loss(%x: tensor<2x4xf32>) -> (tensor<f32>, tensor<f32>) {
  %w = titan.load @w : tensor<4xf32>
  // expected-error @+1 {{is not differentiable through rstd, only through its first result}}
  %y, %r = titan.rms_norm %x, %w epsilon 1.0e-5 : tensor<2x4xf32>, tensor<4xf32> -> tensor<2x4xf32>, tensor<2xf32>
  %l = titan.reduce sum %r [0] : tensor<2xf32> -> tensor<f32>
  return %l, %l : tensor<f32>, tensor<f32>
}

// -----

titan.variable parameter @w : tensor<1x6x4x4xf32>
func.func @loss(%k: tensor<1x6x2x4xf32>) -> (tensor<f32>, tensor<f32>) {
  %q = titan.load @w : tensor<1x6x4x4xf32>
  // expected-error @+1 {{is not differentiable through the log-sum-exp, only through its first result}}
  %o, %lse = titan.attention causal %q, %k, %k scale 0.5 : tensor<1x6x4x4xf32>, tensor<1x6x2x4xf32>, tensor<1x6x2x4xf32> -> tensor<1x6x4x4xf32>, tensor<1x4x6xf32>
  %l = titan.reduce sum %lse [0, 1, 2] : tensor<1x4x6xf32> -> tensor<f32>
  return %l, %l : tensor<f32>, tensor<f32>
}

// -----

titan.variable parameter @t : tensor<6x2xf32>
func.func @loss(%q: tensor<1x6x4x4xf32>) -> (tensor<f32>, tensor<f32>) {
  %t = titan.load @t : tensor<6x2xf32>
  // expected-error @+1 {{is not differentiable with respect to its tables}}
  %r = titan.rope %q, %t, %t : tensor<1x6x4x4xf32>, tensor<6x2xf32>, tensor<6x2xf32> -> tensor<1x6x4x4xf32>
  %l = titan.reduce sum %r [0, 1, 2, 3] : tensor<1x6x4x4xf32> -> tensor<f32>
  return %l, %l : tensor<f32>, tensor<f32>
}

// -----

titan.variable parameter @w : tensor<9x4xf32>
func.func @loss(%x: tensor<6x4xf32>, %labels: tensor<6xi32>) -> (tensor<f32>, tensor<f32>) {
  %w = titan.load @w : tensor<9x4xf32>
  // expected-error @+1 {{is not differentiable through the number of valid rows, only through the loss}}
  %a, %v = titan.head_loss %x, %w, %labels : (tensor<6x4xf32>, tensor<9x4xf32>, tensor<6xi32>) -> (tensor<f32>, tensor<f32>)
  return %v, %a : tensor<f32>, tensor<f32>
}

// -----

titan.variable parameter @w : tensor<f32>
func.func @loss() -> (tensor<f32>, tensor<f32>) {
  %w = titan.load @w : tensor<f32>
  // expected-error @+1 {{stands in @loss, which may not change variables: the backward loads them again}}
  titan.store %w, @w : tensor<f32>
  return %w, %w : tensor<f32>, tensor<f32>
}

// -----

titan.variable parameter @w : tensor<f32>
// expected-error @+1 {{expects @loss to have one block}}
func.func @loss() -> (tensor<f32>, tensor<f32>) {
  llvm.br ^next
^next:
  %w = titan.load @w : tensor<f32>
  return %w, %w : tensor<f32>, tensor<f32>
}
