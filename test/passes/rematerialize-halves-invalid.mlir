// RUN: titan-opt %s -titan-rematerialize -verify-diagnostics

titan.variable parameter @z : tensor<8xf32>
func.func @fwd(%x: tensor<4xf32>) -> tensor<4xf32> {
  return %x : tensor<4xf32>
}
func.func @bwd(%x: tensor<4xf32>, %y: tensor<4xf32>) -> tensor<8xf32> {
  %z = titan.load @z : tensor<8xf32>
  return %z : tensor<8xf32>
}
// expected-error @+1 {{expects the arguments of @bwd, then its last results, found '(tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) -> ()'}}
func.func @bwd_weight(%x: tensor<4xf32>, %y: tensor<4xf32>, %z: tensor<4xf32>) {
  return
}
