// RUN: titan-opt %s -titan-split-stages -split-input-file | FileCheck %s

// Inputs go to the stages that use them, a value that a later stage needs (%0) through the stages
// between, loads to their users; the rotary table belongs to no module.
module attributes {titan.stages = [["embed", "layers.0"], ["layers.1"], ["layers.2", "head"]],
                   titan.stage_ranks = array<i64: 0, 1, 0>} {
  titan.mesh @mesh [pp = 2]
  titan.variable parameter @embed.weight : tensor<4x4xf32>
  titan.variable parameter @layers.0.weight : tensor<4x4xf32>
  titan.variable parameter @layers.1.weight : tensor<4x4xf32>
  titan.variable parameter @layers.2.weight : tensor<4x4xf32>
  titan.variable parameter @head.weight : tensor<4x4xf32>
  titan.variable derived @table : tensor<2x4xf32>

  // CHECK-LABEL: func.func @loss.0(%{{.*}}: tensor<2x4xf32> {titan.name = "x"})
  // CHECK-SAME:    -> (tensor<2x4xf32>, tensor<2x4xf32>) attributes {titan.pipeline_rank = 0 : i64}
  // CHECK-DAG:     titan.load @embed.weight
  // CHECK-DAG:     titan.load @layers.0.weight
  // CHECK-DAG:     titan.load @table
  // CHECK-NOT:     titan.load
  // CHECK:         return

  // CHECK-LABEL: func.func @loss.1(
  // CHECK-SAME:    %[[SKIP:.*]]: tensor<2x4xf32> {titan.received}, %{{.*}}: tensor<2x4xf32> {titan.received})
  // CHECK-SAME:    -> (tensor<2x4xf32>, tensor<2x4xf32>) attributes {titan.pipeline_rank = 1 : i64}
  // CHECK-DAG:     titan.load @layers.1.weight
  // CHECK-DAG:     titan.load @table
  // CHECK-NOT:     titan.load
  // CHECK:         return %[[SKIP]], %{{.*}} :

  // CHECK-LABEL: func.func @loss.2(%{{.*}}: tensor<2x4xf32> {titan.name = "y"},
  // CHECK-SAME:    %{{.*}}: tensor<2x4xf32> {titan.received}, %{{.*}}: tensor<2x4xf32> {titan.received})
  // CHECK-SAME:    -> (tensor<f32>, tensor<f32>) attributes {titan.pipeline_rank = 0 : i64}
  func.func @loss(%x: tensor<2x4xf32> {titan.name = "x"}, %y: tensor<2x4xf32> {titan.name = "y"})
      -> (tensor<f32>, tensor<f32>) {
    %e = titan.load @embed.weight : tensor<4x4xf32>
    %w0 = titan.load @layers.0.weight : tensor<4x4xf32>
    %w1 = titan.load @layers.1.weight : tensor<4x4xf32>
    %w2 = titan.load @layers.2.weight : tensor<4x4xf32>
    %h = titan.load @head.weight : tensor<4x4xf32>
    %t = titan.load @table : tensor<2x4xf32>
    %0 = titan.einsum "td,nd->tn" %x, %e : tensor<2x4xf32>, tensor<4x4xf32> -> tensor<2x4xf32>
    %1 = titan.einsum "td,nd->tn" %0, %w0 : tensor<2x4xf32>, tensor<4x4xf32> -> tensor<2x4xf32>
    %2 = titan.mul %1, %t : tensor<2x4xf32>
    %3 = titan.einsum "td,nd->tn" %2, %w1 : tensor<2x4xf32>, tensor<4x4xf32> -> tensor<2x4xf32>
    %4 = titan.mul %3, %t : tensor<2x4xf32>
    %5 = titan.einsum "td,nd->tn" %4, %w2 : tensor<2x4xf32>, tensor<4x4xf32> -> tensor<2x4xf32>
    %6 = titan.add %5, %0 : tensor<2x4xf32>
    %7 = titan.einsum "td,nd->tn" %6, %h : tensor<2x4xf32>, tensor<4x4xf32> -> tensor<2x4xf32>
    %8 = titan.mul %7, %y : tensor<2x4xf32>
    %9 = titan.reduce sum %8 [0, 1] : tensor<2x4xf32> -> tensor<f32>
    %10 = titan.full 8.0 : tensor<f32>
    return %9, %10 : tensor<f32>, tensor<f32>
  }
}

// -----

// Locations count before parameters: the sum and the product with a shared matrix are the head's.
// CHECK: #[[HALF:.*]] = #titan.sharding<[{tp}, {}]>
// CHECK-LABEL: func.func @loss.0(
// CHECK-SAME: -> tensor<4x4xf32, #[[HALF]]>
// CHECK-NEXT: titan.load @embed.weight
// CHECK-NEXT: titan.einsum
// CHECK-NEXT: return
// What is gathered from its parts crosses in parts.
// CHECK:       func.func @loss.1(%{{.*}}: tensor<4x4xf32, #[[HALF]]> {titan.received})
// CHECK:      titan.reshard
// CHECK:      titan.add
// CHECK:      titan.load @embed.weight
// CHECK:      titan.einsum
#half = #titan.sharding<[{tp}, {}]>
#whole = #titan.sharding<[{}, {}]>
#scalar = #titan.sharding<[]>
module attributes {titan.stages = [["embed"], ["head"]], titan.stage_ranks = array<i64: 0, 0>} {
  titan.mesh @mesh [pp = 1, tp = 2]
  titan.variable parameter @embed.weight : tensor<4x4xf32, #whole>
  func.func @loss(%x: tensor<4x4xf32, #half> {titan.name = "x"})
      -> (tensor<f32, #scalar>, tensor<f32, #scalar>) {
    %e = titan.load @embed.weight : tensor<4x4xf32, #whole>
    %0 = titan.einsum "td,nd->tn" %x, %e : tensor<4x4xf32, #half>, tensor<4x4xf32, #whole> -> tensor<4x4xf32, #half>
    %1 = titan.reshard %0 : tensor<4x4xf32, #half> -> tensor<4x4xf32, #whole>
    %2 = titan.add %1, %1 : tensor<4x4xf32, #whole> loc("head")
    %3 = titan.einsum "td,nd->tn" %2, %e : tensor<4x4xf32, #whole>, tensor<4x4xf32, #whole> -> tensor<4x4xf32, #whole> loc("head.product")
    %4 = titan.reduce sum %3 [0, 1] : tensor<4x4xf32, #whole> -> tensor<f32, #scalar>
    return %4, %4 : tensor<f32, #scalar>, tensor<f32, #scalar>
  }
}
