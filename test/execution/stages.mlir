// Stages that hand several tensors on, one of them (%0) through a stage that does not use it, and that
// share a matrix on one rank, compute what the whole function does, with gradients that agree with
// finite differences.
// RUN: titan-opt %s -titan-split-stages -titan-differentiate -titan-build-optimizer -o %t.stages.mlir
// RUN: titan-opt %s -titan-differentiate -titan-build-optimizer -o %t.whole.mlir
// RUN: titan-opt %t.stages.mlir -titan-split-backward -o %t.halves.mlir
// RUN: titan-check %t.whole.mlir %t.stages.mlir --step
// RUN: titan-check %t.stages.mlir %t.halves.mlir --step --mode typed --tolerance 0
// RUN: titan-check %s %t.stages.mlir --gradients --tolerance 1e-9

module attributes {titan.stages = [["embed", "layers.0"], ["layers.1"], ["layers.2", "head"]],
                   titan.stage_ranks = array<i64: 0, 1, 0>,
                   titan.schedule = ["0F0,2F0,2I0,2W0,0I0,0W0", "1F0,1I0,1W0"]} {
  titan.mesh @mesh [pp = 2]
  titan.variable parameter @embed.weight : tensor<4x4xf32>
  titan.variable parameter @layers.0.weight : tensor<4x4xf32>
  titan.variable parameter @layers.1.weight : tensor<4x4xf32>
  titan.variable parameter @layers.2.weight : tensor<4x4xf32>
  titan.variable derived @table : tensor<2x4xf32>
  func.func @loss(%x: tensor<2x4xf32> {titan.name = "x"}, %y: tensor<2x4xf32> {titan.name = "y"})
      -> (tensor<f32>, tensor<f32>) {
    %e = titan.load @embed.weight : tensor<4x4xf32>
    %w0 = titan.load @layers.0.weight : tensor<4x4xf32>
    %w1 = titan.load @layers.1.weight : tensor<4x4xf32>
    %w2 = titan.load @layers.2.weight : tensor<4x4xf32>
    %t = titan.load @table : tensor<2x4xf32>
    %0 = titan.einsum "td,nd->tn" %x, %e : tensor<2x4xf32>, tensor<4x4xf32> -> tensor<2x4xf32>
    %1 = titan.einsum "td,nd->tn" %0, %w0 : tensor<2x4xf32>, tensor<4x4xf32> -> tensor<2x4xf32>
    %2 = titan.mul %1, %t : tensor<2x4xf32>
    %3 = titan.einsum "td,nd->tn" %2, %w1 : tensor<2x4xf32>, tensor<4x4xf32> -> tensor<2x4xf32>
    %4 = titan.mul %3, %t : tensor<2x4xf32>
    %5 = titan.einsum "td,nd->tn" %4, %w2 : tensor<2x4xf32>, tensor<4x4xf32> -> tensor<2x4xf32>
    %6 = titan.add %5, %0 : tensor<2x4xf32>
    %7 = titan.einsum "td,nd->tn" %6, %e : tensor<2x4xf32>, tensor<4x4xf32> -> tensor<2x4xf32> loc("head")
    %8 = titan.mul %7, %y : tensor<2x4xf32>
    %9 = titan.reduce sum %8 [0, 1] : tensor<2x4xf32> -> tensor<f32>
    %10 = titan.full 8.0 : tensor<f32>
    return %9, %10 : tensor<f32>, tensor<f32>
  }
}
