// RUN: titan-opt %s -split-input-file -titan-cast-precision -verify-diagnostics | FileCheck %s
// RUN: echo "module {}" | not titan-opt -titan-cast-precision=type=f32 2>&1 | FileCheck %s --check-prefix=TYPE

// TYPE: error: expects the type bf16 or f16, found f32

// A parameter is cast once, behind its load. Tables that no parameter reaches, statistics and losses
// stay float32; what leaves the function is cast back.
titan.variable parameter @norm : tensor<8xf32>
titan.variable parameter @w : tensor<8x8xf32>
titan.variable derived @table : tensor<4x2xf32>
titan.variable output @sum : tensor<2x4x8xf32>
// CHECK-LABEL: func.func @loss
// CHECK-SAME: (%[[X:.*]]: tensor<2x4x8xf32>, %[[LABELS:.*]]: tensor<2x4xi32>)
func.func @loss(%x: tensor<2x4x8xf32>, %labels: tensor<2x4xi32>) -> (tensor<f32>, tensor<f32>, tensor<2x4x8xf32>) {
  // CHECK: %[[NARROW:.*]] = titan.cast %[[X]] : tensor<2x4x8xf32> -> tensor<2x4x8xbf16>
  // CHECK: %[[TABLE:.*]] = titan.load @table
  // CHECK-NOT: cast %[[TABLE]]
  %table = titan.load @table : tensor<4x2xf32>
  // CHECK: %[[N:.*]] = titan.load @norm : tensor<8xf32>
  // CHECK-NEXT: %[[NC:.*]] = titan.cast %[[N]] : tensor<8xf32> -> tensor<8xbf16>
  %n = titan.load @norm : tensor<8xf32>
  // CHECK: titan.rms_norm %[[NARROW]], %[[NC]] {{.*}} -> tensor<2x4x8xbf16>, tensor<2x4xf32>
  %h, %rstd = titan.rms_norm %x, %n epsilon 1.0e-5 : tensor<2x4x8xf32>, tensor<8xf32> -> tensor<2x4x8xf32>, tensor<2x4xf32>
  // CHECK: %[[W:.*]] = titan.load @w : tensor<8x8xf32>
  // CHECK-NEXT: %[[WC:.*]] = titan.cast %[[W]] : tensor<8x8xf32> -> tensor<8x8xbf16>
  %w = titan.load @w : tensor<8x8xf32>
  // CHECK: titan.einsum "bsd,nd->bsn" %{{.*}}, %[[WC]] : {{.*}} -> tensor<2x4x8xbf16>
  %q = titan.einsum "bsd,nd->bsn" %h, %w : tensor<2x4x8xf32>, tensor<8x8xf32> -> tensor<2x4x8xf32>
  %r = titan.reshape %q : tensor<2x4x8xf32> -> tensor<2x4x2x4xf32>
  // CHECK: titan.rope %{{.*}}, %[[TABLE]], %[[TABLE]] : tensor<2x4x2x4xbf16>, tensor<4x2xf32>, tensor<4x2xf32> -> tensor<2x4x2x4xbf16>
  %t = titan.rope %r, %table, %table : tensor<2x4x2x4xf32>, tensor<4x2xf32>, tensor<4x2xf32> -> tensor<2x4x2x4xf32>
  // CHECK: titan.attention {{.*}} -> tensor<2x4x2x4xbf16>, tensor<2x2x4xf32>
  %o, %lse = titan.attention causal %t, %t, %r scale 0.5 : tensor<2x4x2x4xf32>, tensor<2x4x2x4xf32>, tensor<2x4x2x4xf32> -> tensor<2x4x2x4xf32>, tensor<2x2x4xf32>
  %a = titan.reshape %o : tensor<2x4x2x4xf32> -> tensor<2x4x8xf32>
  // The residual meets what was computed narrow: the same cast serves it.
  // CHECK: %[[Y:.*]] = titan.add %[[NARROW]], %{{.*}} : tensor<2x4x8xbf16>
  // CHECK-NEXT: %[[OUT:.*]] = titan.cast %[[Y]] : tensor<2x4x8xbf16> -> tensor<2x4x8xf32>
  %y = titan.add %x, %a : tensor<2x4x8xf32>
  // CHECK: %[[LOSS:.*]], %[[VALID:.*]] = titan.head_loss %[[Y]], %[[WC]], %[[LABELS]] : (tensor<2x4x8xbf16>, tensor<8x8xbf16>, tensor<2x4xi32>) -> (tensor<f32>, tensor<f32>)
  %loss, %valid = titan.head_loss %y, %w, %labels : (tensor<2x4x8xf32>, tensor<8x8xf32>, tensor<2x4xi32>) -> (tensor<f32>, tensor<f32>)
  // CHECK: titan.store %[[OUT]], @sum
  titan.store %y, @sum : tensor<2x4x8xf32>
  // CHECK: return %[[LOSS]], %[[VALID]], %[[OUT]]
  return %loss, %valid, %y : tensor<f32>, tensor<f32>, tensor<2x4x8xf32>
}

// CHECK-LABEL: func.func @untouched
func.func @untouched(%x: tensor<4x2xf32>) -> tensor<4x2xf32> {
  // CHECK-NOT: titan.cast
  %table = titan.load @table : tensor<4x2xf32>
  %y = titan.mul %x, %table : tensor<4x2xf32>
  return %y : tensor<4x2xf32>
}

// -----

// Wider operands of the model's own types are narrowed where they meet a parameter; a narrower
// parameter, and a cast that the author wrote, stay.
titan.variable parameter @w : tensor<4xf32>
titan.variable parameter @v : tensor<4xbf16>
// CHECK-LABEL: func.func @mixed
func.func @mixed(%x: tensor<4xf64>) -> tensor<4xf64> {
  // CHECK: %[[V:.*]] = titan.load @v : tensor<4xbf16>
  %v = titan.load @v : tensor<4xbf16>
  // CHECK: %[[W:.*]] = titan.load @w
  // CHECK: %[[C:.*]] = titan.cast %[[W]] : tensor<4xf32> -> tensor<4xbf16>
  %w = titan.load @w : tensor<4xf32>
  // CHECK: titan.cast %[[C]] : tensor<4xbf16> -> tensor<4xf64>
  %c = titan.cast %w : tensor<4xf32> -> tensor<4xf64>
  // CHECK: titan.mul {{.*}} : tensor<4xf64>
  %y = titan.mul %c, %x : tensor<4xf64>
  return %y : tensor<4xf64>
}

// -----

titan.variable parameter @w : tensor<8xf32>
func.func @f(%x: tensor<4x8xf32>, %r: tensor<4xf32>) -> tensor<4x8xf32> {
  %w = titan.load @w : tensor<8xf32>
  // expected-error @+1 {{'titan.rms_norm_grad' op does not implement PrecisionOpInterface, which titan-cast-precision needs}}
  %dx, %dw = titan.rms_norm_grad %x, %x, %w, %r : tensor<4x8xf32>, tensor<4x8xf32>, tensor<8xf32>, tensor<4xf32> -> tensor<4x8xf32>, tensor<8xf32>
  return %dx : tensor<4x8xf32>
}
