// RUN: split-file %s %t
// RUN: titan-opt %t/step.mlir --titan-verify-phase=phase=step --verify-diagnostics -o /dev/null
// RUN: titan-opt %t/local.mlir --titan-verify-phase=phase=local --verify-diagnostics -o /dev/null
// RUN: titan-opt %t/kernels.mlir --titan-verify-phase=phase=kernels --verify-diagnostics -o /dev/null
// RUN: titan-opt %t/exec.mlir --titan-verify-phase=phase=exec --verify-diagnostics -o /dev/null
// RUN: not titan-opt %t/exec.mlir --titan-verify-phase=phase=none 2>&1 | FileCheck %s
// CHECK: titan-verify-phase: there is no phase 'none'

//--- step.mlir
func.func @prologue() { return }
func.func @fwd() { return }
func.func @bwd() { return }
func.func @update() { return }
// expected-error @+1 {{expects no function @loss at this phase's end}}
func.func @loss() { return }

//--- local.mlir
func.func @prologue() { return }
func.func @fwd() { return }
func.func @bwd(%x: tensor<4x8xf32>, %w: tensor<16x8xf32>, %labels: tensor<4xi32>) {
  // expected-error @+1 {{is not unrolled into chunks: titan-chunk-loss has not run}}
  %loss, %valid = titan.head_loss %x, %w, %labels
      : (tensor<4x8xf32>, tensor<16x8xf32>, tensor<4xi32>) -> (tensor<f32>, tensor<f32>)
  return
}
func.func @update() {
  // expected-error @+1 {{has the global result 'tensor<f32, #titan.sharding<[]>>': titan-partition-spmd has not run}}
  %one = titan.full 1.0 : tensor<f32, #titan.sharding<[]>>
  return
}

//--- kernels.mlir
func.func @fwd(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  // expected-error @+1 {{is in no kernel: titan-form-kernels has not run}}
  %y = titan.exp %x : tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}

//--- exec.mlir
// expected-error @+1 {{is not of the exec dialect}}
func.func @fwd() { return }
