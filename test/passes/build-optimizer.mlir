// RUN: titan-opt %s -titan-build-optimizer -split-input-file -verify-diagnostics | FileCheck %s
// RUN: titan-opt %s -titan-build-optimizer=optimizer=Adam -split-input-file -verify-diagnostics | FileCheck %s --check-prefix=ADAM

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
// CHECK: titan.variable input @one_minus_beta1 : tensor<f32>
// CHECK: titan.variable input @one_minus_beta2 : tensor<f32>
// CHECK: titan.variable input @epsilon : tensor<f32>
// CHECK: titan.variable input @weight_decay : tensor<f32>
// CHECK: titan.variable input @max_norm : tensor<f32>
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
// CHECK: titan.store %[[NORM]], @grad_norm
// CHECK: %[[MAX:.*]] = titan.load @max_norm
// CHECK: %[[CLIP:.*]] = titan.div %[[MAX]], %{{.*}}
// CHECK: titan.minimum %[[CLIP]], %{{.*}}
// CHECK: titan.adam_update {{.*}} {decoupled}
// CHECK: titan.store %{{.*}}, @w
// CHECK-LABEL: func.func @eval_prologue
// CHECK: titan.store %{{.*}}, @eval_loss_sum

// ADAM-LABEL: func.func @update
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

// -----

// Of a pipeline each rank has its own prologue and update, and what all sum up goes through @totals.
// CHECK: titan.variable counter @gradient_squares_sum : tensor<f32>
// CHECK-LABEL: func.func @prologue.0() attributes {titan.pipeline_rank = 0 : i64}
// CHECK-NOT:   @gradient.b
// CHECK:       titan.store %{{.*}}, @gradient.a
// CHECK:       titan.store %{{.*}}, @accumulated.loss_sum
// CHECK:       titan.store %{{.*}}, @gradient_squares_sum
// CHECK-LABEL: func.func @prologue.1() attributes {titan.pipeline_rank = 1 : i64}
// CHECK-NOT:   @gradient.a
// CHECK:       titan.store %{{.*}}, @gradient.b
// CHECK-LABEL: func.func @gradient_squares.0
// CHECK:       titan.sum_of_squares %{{[^,]*}} :
// CHECK:       titan.store %{{.*}}, @gradient_squares_sum
// CHECK-LABEL: func.func @gradient_squares.1
// CHECK-LABEL: func.func @totals() {
// CHECK:       titan.load @gradient_squares_sum
// CHECK:       titan.load @accumulated.valid_tokens
// CHECK:       titan.store %{{.*}}, @valid_tokens
// CHECK:       titan.store %{{.*}}, @grad_norm
// CHECK-LABEL: func.func @update.0
// CHECK:       titan.load @grad_norm
// CHECK:       titan.adam_update
// CHECK-NOT:   titan.adam_update
// CHECK-LABEL: func.func @update.1
// CHECK-LABEL: func.func @eval_prologue.0
// CHECK:       titan.store %{{.*}}, @accumulated.eval_loss_sum
// CHECK-LABEL: func.func @eval_totals() {
// CHECK:       titan.load @accumulated.eval_loss_sum
// CHECK:       titan.store %{{.*}}, @eval_loss_sum
titan.mesh @mesh [pp = 2]
titan.variable parameter @a : tensor<4xf32>
titan.variable parameter @b : tensor<4xf32>
titan.variable gradient @gradient.a : tensor<4xf32>
titan.variable gradient @gradient.b : tensor<4xf32>
titan.variable counter @accumulated.loss_sum : tensor<f32>
titan.variable counter @accumulated.valid_tokens : tensor<f32>
func.func @bwd.0(%x: tensor<4xf32>) attributes {titan.pipeline_rank = 0 : i64} {
  titan.store %x, @gradient.a : tensor<4xf32>
  return
}
func.func @bwd.1(%x: tensor<4xf32>) attributes {titan.pipeline_rank = 1 : i64} {
  titan.store %x, @gradient.b : tensor<4xf32>
  return
}
func.func @eval.0(%x: tensor<f32>) -> tensor<f32> attributes {titan.pipeline_rank = 0 : i64} {
  return %x : tensor<f32>
}
func.func @eval.1(%x: tensor<f32> {titan.received}) -> (tensor<f32>, tensor<f32>)
    attributes {titan.pipeline_rank = 1 : i64} {
  return %x, %x : tensor<f32>, tensor<f32>
}

// -----

// A gradient that is reduced once a step is kept for the update.
// CHECK-LABEL: func.func @gradient_squares.0
// CHECK:       %[[SUM:.*]] = titan.load @gradient.a
// CHECK:       %[[SLICE:.*]] = titan.sharding_constraint %[[SUM]]
// CHECK:       titan.store %[[SLICE]], @reduced.a
// CHECK:       titan.sum_of_squares %[[SLICE]]
// CHECK-LABEL: func.func @update.0
// CHECK-NOT:   @gradient.a
// CHECK:       %[[SLICE:.*]] = titan.load @reduced.a
// CHECK-NOT:   @gradient.a
// CHECK:       titan.adam_update %{{.*}}, %[[SLICE]]
#slice = #titan.sharding<[{}], flat {dp_shard} granule 4>
#sum = #titan.sharding<[{}], partial {dp_shard}>
titan.mesh @mesh [pp = 1, dp_shard = 2]
titan.variable parameter @a : tensor<8xf32, #slice>
titan.variable gradient @gradient.a : tensor<8xf32, #sum>
titan.variable counter @accumulated.loss_sum : tensor<f32, #titan.sharding<[], partial {pp}>>
titan.variable counter @accumulated.valid_tokens : tensor<f32, #titan.sharding<[], partial {pp}>>
func.func @bwd.0(%x: tensor<8xf32, #sum>) attributes {titan.pipeline_rank = 0 : i64} {
  titan.store %x, @gradient.a : tensor<8xf32, #sum>
  return
}
