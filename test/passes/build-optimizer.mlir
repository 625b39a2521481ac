// RUN: titan-opt %s -titan-build-optimizer -split-input-file -verify-diagnostics | FileCheck %s
// RUN: titan-opt %s -titan-build-optimizer="optimizer=Adam max-norm=0" -split-input-file -verify-diagnostics | FileCheck %s --check-prefix=ADAM

titan.variable parameter @w : tensor<8x4xf32>
titan.variable gradient @gradient.w : tensor<8x4xf32>
titan.variable output @loss_sum : tensor<f32>
titan.variable output @valid_tokens : tensor<f32>
func.func @eval(%x: tensor<f32>) -> (tensor<f32>, tensor<f32>) {
  return %x, %x : tensor<f32>, tensor<f32>
}

// CHECK: titan.variable optimizer_state @optimizer.exp_avg.w : tensor<8x4xf32>
// CHECK: titan.variable optimizer_state @optimizer.exp_avg_sq.w : tensor<8x4xf32>
// CHECK: titan.variable input @lr : tensor<f32>
// CHECK: titan.variable input @bias_correction1 : tensor<f32>
// CHECK: titan.variable input @bias_correction2 : tensor<f32>
// CHECK: titan.variable output @grad_norm : tensor<f32>
// CHECK: titan.variable output @finite : tensor<f32>
// CHECK-LABEL: func.func @eval(%{{.*}}: tensor<f32>) {
// CHECK: titan.store %{{.*}}, @eval_loss_sum
// CHECK: titan.store %{{.*}}, @eval_valid_tokens
// CHECK-LABEL: func.func @prologue
// CHECK: %[[ZERO:.*]] = titan.full 0.000000e+00 : tensor<8x4xf32>
// CHECK: titan.store %[[ZERO]], @gradient.w
// CHECK: titan.store %{{.*}}, @loss_sum
// CHECK: titan.store %{{.*}}, @valid_tokens
// CHECK-LABEL: func.func @update
// CHECK: %[[G:.*]] = titan.load @gradient.w
// CHECK: %[[SQUARES:.*]] = titan.sum_of_squares %[[G]]
// CHECK: %[[ROOT:.*]] = titan.sqrt %[[SQUARES]]
// CHECK: %[[NORM:.*]] = titan.div %[[ROOT]], %{{.*}}
// CHECK: titan.is_finite %[[NORM]]
// CHECK: titan.minimum
// CHECK: titan.store %[[NORM]], @grad_norm
// CHECK: titan.adam_update {{.*}} decoupled
// CHECK: titan.store %{{.*}}, @w
// CHECK-LABEL: func.func @eval_prologue
// CHECK: titan.store %{{.*}}, @eval_loss_sum

// ADAM-LABEL: func.func @update
// ADAM-NOT: titan.minimum
// ADAM: titan.adam_update
// ADAM-NOT: decoupled

// -----

// expected-error @+1 {{expects one gradient per parameter, found 0 for 1; run titan-differentiate first}}
module {
  titan.variable parameter @w : tensor<8x4xf32>
}

// -----

module {
  titan.variable parameter @w : tensor<f32>
  titan.variable gradient @gradient.w : tensor<f32>
  titan.variable output @loss_sum : tensor<f32>
  titan.variable output @valid_tokens : tensor<f32>
  // expected-error @+1 {{expects @eval to return the summed loss and the number of valid tokens, found '(tensor<f32>) -> tensor<f32>'}}
  func.func @eval(%x: tensor<f32>) -> tensor<f32> {
    return %x : tensor<f32>
  }
}
