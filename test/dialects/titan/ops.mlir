// Every op parses, prints, and parses again to the same.
// RUN: titan-opt %s | titan-opt | FileCheck %s

// CHECK: titan.variable parameter @w : tensor<8x4xf32> init #titan.truncated_normal<mean = {{.*}}, std = 2.000000e-02, lower = -2.000000e+00, upper = 2.000000e+00>
titan.variable parameter @w : tensor<8x4xf32> init #titan.truncated_normal<mean = 0.0, std = 0.02, lower = -2.0, upper = 2.0>
// CHECK: titan.variable parameter @n : tensor<4xf32> init #titan.constant<1.000000e+00>
titan.variable parameter @n : tensor<4xf32> init #titan.constant<1.0>
// CHECK: titan.variable parameter @e : tensor<4xf32> init #titan.normal<mean = {{.*}}, std = 1.000000e+00>
titan.variable parameter @e : tensor<4xf32> init #titan.normal<mean = 0.0, std = 1.0>
// CHECK: titan.variable derived @c : tensor<6x2xf32> init #titan.rope_table<component = cosine, theta = 5.000000e+05
titan.variable derived @c : tensor<6x2xf32> init #titan.rope_table<component = cosine, theta = 500000.0, factor = 8.0, low_frequency = 1.0, high_frequency = 4.0, original_length = 8192.0>

// CHECK-LABEL: func.func @elementwise
func.func @elementwise(%a: tensor<2x3xf32>, %b: tensor<2x3xf32>) -> tensor<2x3xbf16> {
  // CHECK: titan.add %{{.*}}, %{{.*}} : tensor<2x3xf32>
  %0 = titan.add %a, %b : tensor<2x3xf32>
  %1 = titan.sub %0, %b : tensor<2x3xf32>
  %2 = titan.mul %1, %b : tensor<2x3xf32>
  %3 = titan.div %2, %b : tensor<2x3xf32>
  %4 = titan.minimum %3, %b : tensor<2x3xf32>
  %5 = titan.neg %4 : tensor<2x3xf32>
  %6 = titan.exp %5 : tensor<2x3xf32>
  %7 = titan.log %6 : tensor<2x3xf32>
  %8 = titan.sqrt %7 : tensor<2x3xf32>
  %9 = titan.rsqrt %8 : tensor<2x3xf32>
  %10 = titan.silu %9 : tensor<2x3xf32>
  %11 = titan.silu_grad %10, %b : tensor<2x3xf32>
  %12 = titan.is_finite %11 : tensor<2x3xf32>
  // CHECK: titan.cast %{{.*}} : tensor<2x3xf32> -> tensor<2x3xbf16>
  %13 = titan.cast %12 : tensor<2x3xf32> -> tensor<2x3xbf16>
  // CHECK: titan.full 2.500000e-01 : tensor<2x3xbf16>
  %14 = titan.full 0.25 : tensor<2x3xbf16>
  %15 = titan.mul %13, %14 : tensor<2x3xbf16>
  return %15 : tensor<2x3xbf16>
}

// CHECK-LABEL: func.func @contraction
func.func @contraction(%x: tensor<2x6x4xf32>, %dy: tensor<2x6x8xf32>) -> tensor<8x4xf32> {
  // CHECK: titan.load @w : tensor<8x4xf32>
  %w = titan.load @w : tensor<8x4xf32>
  // CHECK: titan.einsum "bsd,nd->bsn" %{{.*}}, %{{.*}} : tensor<2x6x4xf32>, tensor<8x4xf32> -> tensor<2x6x8xf32>
  %y = titan.einsum "bsd,nd->bsn" %x, %w : tensor<2x6x4xf32>, tensor<8x4xf32> -> tensor<2x6x8xf32>
  %z = titan.add %y, %dy : tensor<2x6x8xf32>
  // CHECK: titan.einsum "bsn,bsd->nd" %{{.*}}, %{{.*}} acc(%{{.*}} : tensor<8x4xf32>)
  %g = titan.einsum "bsn,bsd->nd" %z, %x acc(%w : tensor<8x4xf32>) : tensor<2x6x8xf32>, tensor<2x6x4xf32> -> tensor<8x4xf32>
  // CHECK: titan.store %{{.*}}, @w : tensor<8x4xf32>
  titan.store %g, @w : tensor<8x4xf32>
  return %g : tensor<8x4xf32>
}

// CHECK-LABEL: func.func @norm
func.func @norm(%x: tensor<2x4xf32>, %w: tensor<4xf32>) -> (tensor<2x4xf32>, tensor<4xf32>) {
  // CHECK: titan.rms_norm %{{.*}}, %{{.*}} epsilon 1.000000e-05
  %y, %r = titan.rms_norm %x, %w epsilon 1.0e-5 : tensor<2x4xf32>, tensor<4xf32> -> tensor<2x4xf32>, tensor<2xf32>
  // CHECK: titan.rms_norm_grad
  %dx, %dw = titan.rms_norm_grad %y, %x, %w, %r : tensor<2x4xf32>, tensor<2x4xf32>, tensor<4xf32>, tensor<2xf32> -> tensor<2x4xf32>, tensor<4xf32>
  return %dx, %dw : tensor<2x4xf32>, tensor<4xf32>
}

// CHECK-LABEL: func.func @attention
func.func @attention(%q: tensor<1x6x4x4xf32>, %k: tensor<1x6x2x4xf32>, %c: tensor<6x2xf32>, %p: tensor<1x6xi32>) -> tensor<1x6x4x4xf32> {
  // CHECK: titan.rope inverse
  %r = titan.rope inverse %q, %c, %c : tensor<1x6x4x4xf32>, tensor<6x2xf32>, tensor<6x2xf32> -> tensor<1x6x4x4xf32>
  // CHECK: titan.attention causal %{{.*}}, %{{.*}}, %{{.*}} scale 5.000000e-01
  %o, %l = titan.attention causal %r, %k, %k scale 0.5 : tensor<1x6x4x4xf32>, tensor<1x6x2x4xf32>, tensor<1x6x2x4xf32> -> tensor<1x6x4x4xf32>, tensor<1x4x6xf32>
  // CHECK: titan.attention causal %{{.*}}, %{{.*}}, %{{.*}} positions(%{{.*}}, %{{.*}} : tensor<1x6xi32>, tensor<1x6xi32>)
  %o2, %l2 = titan.attention causal %r, %k, %k positions(%p, %p : tensor<1x6xi32>, tensor<1x6xi32>) scale 0.5 : tensor<1x6x4x4xf32>, tensor<1x6x2x4xf32>, tensor<1x6x2x4xf32> -> tensor<1x6x4x4xf32>, tensor<1x4x6xf32>
  // CHECK: titan.attention_grad causal
  %dq, %dk, %dv = titan.attention_grad causal %r, %k, %k result %o, %l dresult %o2 scale 0.5 : tensor<1x6x4x4xf32>, tensor<1x6x2x4xf32>, tensor<1x6x2x4xf32>, tensor<1x6x4x4xf32>, tensor<1x4x6xf32>, tensor<1x6x4x4xf32> -> tensor<1x6x4x4xf32>, tensor<1x6x2x4xf32>, tensor<1x6x2x4xf32>
  return %dq : tensor<1x6x4x4xf32>
}

// CHECK-LABEL: func.func @embedding
func.func @embedding(%t: tensor<2x3xi32>, %w: tensor<9x4xf32>) -> tensor<9x4xf32> {
  // CHECK: titan.embedding %{{.*}}, %{{.*}} : tensor<2x3xi32>, tensor<9x4xf32> -> tensor<2x3x4xf32>
  %e = titan.embedding %t, %w : tensor<2x3xi32>, tensor<9x4xf32> -> tensor<2x3x4xf32>
  // CHECK: titan.embedding_grad %{{.*}}, %{{.*}} acc(%{{.*}})
  %d = titan.embedding_grad %e, %t acc(%w : tensor<9x4xf32>) : tensor<2x3x4xf32>, tensor<2x3xi32> -> tensor<9x4xf32>
  return %d : tensor<9x4xf32>
}

// CHECK-LABEL: func.func @loss
func.func @loss(%x: tensor<2x3x4xf32>, %w: tensor<9x4xf32>, %l: tensor<2x3xi32>, %logits: tensor<6x9xf32>, %labels: tensor<6xi32>) -> tensor<f32> {
  %a, %v = titan.head_loss %x, %w, %l : (tensor<2x3x4xf32>, tensor<9x4xf32>, tensor<2x3xi32>) -> (tensor<f32>, tensor<f32>)
  %b, %v1, %dx, %dw = titan.head_loss_grad %x, %w, %l, %a : (tensor<2x3x4xf32>, tensor<9x4xf32>, tensor<2x3xi32>, tensor<f32>) -> (tensor<f32>, tensor<f32>, tensor<2x3x4xf32>, tensor<9x4xf32>)
  %c, %v2 = titan.cross_entropy %logits, %labels : (tensor<6x9xf32>, tensor<6xi32>) -> (tensor<f32>, tensor<f32>)
  %d, %v3, %dl = titan.cross_entropy_grad %logits, %labels, %c : (tensor<6x9xf32>, tensor<6xi32>, tensor<f32>) -> (tensor<f32>, tensor<f32>, tensor<6x9xf32>)
  // CHECK: titan.one_hot %{{.*}} : tensor<6xi32> -> tensor<6x9xf32>
  %h = titan.one_hot %labels : tensor<6xi32> -> tensor<6x9xf32>
  // CHECK: titan.mask_columns %{{.*}} end 8 value -1.000000e+30 : tensor<6x9xf32>
  %masked = titan.mask_columns %logits end 8 value -1.0e30 : tensor<6x9xf32>
  // CHECK: titan.cross_entropy %{{.*}}, %{{.*}} {num_classes = 8 : i64} :
  %padded, %v4 = titan.cross_entropy %masked, %labels {num_classes = 8} : (tensor<6x9xf32>, tensor<6xi32>) -> (tensor<f32>, tensor<f32>)
  // CHECK: titan.is_valid %{{.*}} : tensor<6xi32> -> tensor<6xf32>
  %i = titan.is_valid %labels : tensor<6xi32> -> tensor<6xf32>
  %s = titan.sum_of_squares %dx, %dw, %dl, %h, %i : tensor<2x3x4xf32>, tensor<9x4xf32>, tensor<6x9xf32>, tensor<6x9xf32>, tensor<6xf32> -> tensor<f32>
  return %s : tensor<f32>
}

// CHECK-LABEL: func.func @shape
func.func @shape(%x: tensor<2x3x4xf32>) -> tensor<2xf32> {
  // CHECK: titan.reshape %{{.*}} : tensor<2x3x4xf32> -> tensor<6x4xf32>
  %r = titan.reshape %x : tensor<2x3x4xf32> -> tensor<6x4xf32>
  // CHECK: titan.slice %{{.*}} at 2 : tensor<6x4xf32> -> tensor<3x4xf32>
  %s = titan.slice %r at 2 : tensor<6x4xf32> -> tensor<3x4xf32>
  // CHECK: titan.concat %{{.*}}, %{{.*}} : tensor<3x4xf32>, tensor<6x4xf32> -> tensor<9x4xf32>
  %c = titan.concat %s, %r : tensor<3x4xf32>, tensor<6x4xf32> -> tensor<9x4xf32>
  // CHECK: titan.transpose %{{.*}} [1, 0] : tensor<9x4xf32> -> tensor<4x9xf32>
  %t = titan.transpose %c [1, 0] : tensor<9x4xf32> -> tensor<4x9xf32>
  // CHECK: titan.broadcast %{{.*}} [1, 2] : tensor<4x9xf32> -> tensor<2x4x9xf32>
  %b = titan.broadcast %t [1, 2] : tensor<4x9xf32> -> tensor<2x4x9xf32>
  // CHECK: titan.reduce max %{{.*}} [1, 2] : tensor<2x4x9xf32> -> tensor<2xf32>
  %m = titan.reduce max %b [1, 2] : tensor<2x4x9xf32> -> tensor<2xf32>
  return %m : tensor<2xf32>
}

// CHECK-LABEL: func.func @optimizer
func.func @optimizer(%p: tensor<4xf32>, %s: tensor<f32>) -> tensor<4xf32> {
  // CHECK: titan.adam_update
  %a, %m, %v = titan.adam_update %p, %p, %p, %p lr %s scale %s bias_corrections %s, %s finite %s one_minus_betas %s, %s epsilon %s weight_decay %s {decoupled} : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<f32>, tensor<f32>, tensor<f32>, tensor<f32>, tensor<f32>, tensor<f32>, tensor<f32>, tensor<f32>, tensor<f32>
  return %a : tensor<4xf32>
}

// CHECK-LABEL: func.func @map
func.func @map(%x: tensor<4x8xbf16>, %s: tensor<f32>) -> (tensor<4x8xbf16>, tensor<4x8xf32>) {
  // CHECK: titan.map (%[[A:.*]] = %{{.*}}, %[[B:.*]] = %{{.*}}) : (tensor<4x8xbf16>, tensor<f32>) -> (tensor<4x8xbf16>, tensor<4x8xf32>) {
  // CHECK: %[[T:.*]] = math.tanh %[[A]] : f32
  %y:2 = titan.map (%a = %x, %b = %s) : (tensor<4x8xbf16>, tensor<f32>) -> (tensor<4x8xbf16>, tensor<4x8xf32>) {
    %t = math.tanh %a : f32
    %p = arith.mulf %t, %b : f32
    // CHECK: titan.yield %[[T]], %{{.*}} : f32, f32
    titan.yield %t, %p : f32, f32
  }
  return %y#0, %y#1 : tensor<4x8xbf16>, tensor<4x8xf32>
}

// CHECK-LABEL: func.func @kernel
func.func @kernel(%x: tensor<4xf32>) -> tensor<4xf32> {
  // CHECK: titan.kernel (%{{.*}} = %{{.*}}) : (tensor<4xf32>) -> tensor<4xf32> {
  %y = titan.kernel (%a = %x) : (tensor<4xf32>) -> tensor<4xf32> {
    %0 = titan.exp %a : tensor<4xf32>
    // CHECK: titan.yield %{{.*}} : tensor<4xf32>
    titan.yield %0 : tensor<4xf32>
  }
  return %y : tensor<4xf32>
}
