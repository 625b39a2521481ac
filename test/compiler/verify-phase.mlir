// RUN: titan-opt %s --split-input-file --titan-verify-phase=phase=graph --verify-diagnostics -o /dev/null

// expected-error @+1 {{expects a function @loss at this phase's end}}
module {}

// -----

// expected-error @+1 {{expects results (loss, valid tokens), both 'tensor<f32>', found '() -> tensor<f32>'}}
func.func @loss() -> tensor<f32> {
  %0 = titan.full 0.0 : tensor<f32>
  return %0 : tensor<f32>
}

// -----

func.func @loss() -> (tensor<f32>, tensor<f32>) {
  // expected-error @+1 {{is not of the titan dialect}}
  %0 = arith.constant dense<1.0> : tensor<f32>
  return %0, %0 : tensor<f32>, tensor<f32>
}

// -----

func.func @loss() -> (tensor<f32>, tensor<f32>) {
  %0 = titan.full 0.0 : tensor<f32>
  return %0, %0 : tensor<f32>, tensor<f32>
}

// expected-error @+1 {{expects no function @fwd at this phase's end}}
func.func @fwd() { return }
