// RUN: titan-opt %s -titan-split-stages -split-input-file -verify-diagnostics

// expected-error @+2 {{expects titan.stage_ranks to have the rank of each of the 2 stages, at least 1}}
// expected-error @+1 {{expects titan.stages to be lists of modules' names}}
module attributes {titan.stages = [["a"], ["b"]], titan.stage_ranks = array<i64: 0>} {
  titan.mesh @mesh [pp = 2]
}

// -----

// expected-error @+2 {{titan.stage_ranks has rank 2, but axis pp of the mesh has 2}}
// expected-error @+1 {{expects titan.stages to be lists of modules' names}}
module attributes {titan.stages = [["a"], ["b"]], titan.stage_ranks = array<i64: 0, 2>} {
  titan.mesh @mesh [pp = 2]
}

// -----

// expected-error @+2 {{titan.stage_ranks has no stage of rank 1 of 2}}
// expected-error @+1 {{expects titan.stages to be lists of modules' names}}
module attributes {titan.stages = [["a"], ["b"]], titan.stage_ranks = array<i64: 0, 0>} {
  titan.mesh @mesh [pp = 2]
}

// -----

// expected-error @+1 {{module 'a' stands twice in titan.stages}}
module attributes {titan.stages = [["a"], ["a"]], titan.stage_ranks = array<i64: 0, 1>} {
  titan.mesh @mesh [pp = 2]
}

// -----

// expected-error @+1 {{expects a module's name in titan.stages, found 3 : i64}}
module attributes {titan.stages = [["a"], [3]], titan.stage_ranks = array<i64: 0, 1>} {
  titan.mesh @mesh [pp = 2]
}

// -----

module attributes {titan.stages = [["a"], ["b"]], titan.stage_ranks = array<i64: 0, 1>} {
  titan.mesh @mesh [pp = 2]
  // expected-error @+1 {{parameter @c.weight lies in no module of a stage; the modules of stages are a, b}}
  titan.variable parameter @c.weight : tensor<4xf32>
}

// -----

module attributes {titan.stages = [["a"], ["b"]], titan.stage_ranks = array<i64: 0, 1>} {
  titan.mesh @mesh [pp = 2]
  titan.variable parameter @a.weight : tensor<4xf32>
  titan.variable parameter @b.weight : tensor<4xf32>
  func.func @loss(%x: tensor<4xf32>) -> (tensor<f32>, tensor<f32>) {
    %a = titan.load @a.weight : tensor<4xf32>
    %b = titan.load @b.weight : tensor<4xf32>
    %0 = titan.mul %x, %b : tensor<4xf32>
    // expected-error @unknown {{is of stage 0, but uses a value of stage 1; stages follow the order of the model's modules}}
    %1 = titan.mul %0, %a : tensor<4xf32> loc("a")
    %2 = titan.reduce sum %1 [0] : tensor<4xf32> -> tensor<f32>
    return %2, %2 : tensor<f32>, tensor<f32>
  }
}

// -----

module attributes {titan.stages = [["a"], ["b"]], titan.stage_ranks = array<i64: 0, 1>} {
  titan.mesh @mesh [pp = 2]
  // expected-error @+1 {{parameter @a.weight is used by @loss.0 of pipeline rank 0 and by @loss.1 of rank 1; stages that share weights have to be of one rank}}
  titan.variable parameter @a.weight : tensor<4xf32>
  func.func @loss(%x: tensor<4xf32>) -> (tensor<f32>, tensor<f32>) {
    // expected-note @+1 {{used here}}
    %a = titan.load @a.weight : tensor<4xf32>
    %0 = titan.mul %x, %a : tensor<4xf32>
    %1 = titan.mul %0, %a : tensor<4xf32> loc("b")
    %2 = titan.reduce sum %1 [0] : tensor<4xf32> -> tensor<f32>
    return %2, %2 : tensor<f32>, tensor<f32>
  }
}

// -----

module attributes {titan.stages = [["a"], ["b"]], titan.stage_ranks = array<i64: 0, 1>} {
  titan.mesh @mesh [pp = 2]
  titan.variable parameter @a.weight : tensor<4xf32>
  // expected-error @+1 {{stage 1 of @loss computes nothing; the modules of stages are a, b}}
  func.func @loss(%x: tensor<4xf32>) -> (tensor<f32>, tensor<f32>) {
    %a = titan.load @a.weight : tensor<4xf32>
    %0 = titan.mul %x, %a : tensor<4xf32>
    %1 = titan.reduce sum %0 [0] : tensor<4xf32> -> tensor<f32>
    return %1, %1 : tensor<f32>, tensor<f32>
  }
}

// -----

module attributes {titan.stages = [["a"], ["b"]], titan.stage_ranks = array<i64: 0, 1>} {
  titan.mesh @mesh [pp = 2]
  titan.variable parameter @a.weight : tensor<4xf32>
  func.func @loss(%x: tensor<4xf32>) -> (tensor<f32>, tensor<f32>) {
    // expected-error @+1 {{stands in @loss, which may not change variables}}
    titan.store %x, @a.weight : tensor<4xf32>
    %0 = titan.reduce sum %x [0] : tensor<4xf32> -> tensor<f32>
    return %0, %0 : tensor<f32>, tensor<f32>
  }
}
