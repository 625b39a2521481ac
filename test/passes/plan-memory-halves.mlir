// RUN: titan-opt %s -titan-plan-memory -split-input-file -verify-diagnostics | FileCheck %s

// A backward in two halves. Of the residuals %r is read by the first half alone, %s by the second; what the
// first hands over has slots from I to W. A whole backward becomes both halves.
// CHECK-DAG: exec.residual_class @fwd_to_bwd.1 in @residuals.1 + {{[0-9]+}} slots 1 bytes 64
// CHECK-DAG: exec.residual_class @fwd_to_weight.1 in @residuals.1 + {{[0-9]+}} slots 2 bytes 128
// CHECK-DAG: exec.residual_class @input_to_weight.1 in @residuals.1 + {{[0-9]+}} slots 2 bytes 64
// CHECK-DAG: exec.residual_class @input_to_weight.0 in @residuals.0 + {{[0-9]+}} slots 1 bytes 64

// CHECK:      exec.func @bwd.1
// CHECK-DAG:  exec.buffer @fwd_to_bwd.1 + 0
// CHECK-DAG:  exec.buffer @input_to_weight.1 + 0
// CHECK-DAG:  exec.buffer @sent_cotangents.1 + 0
// CHECK:      exec.func @bwd_weight.1
// CHECK-DAG:  exec.buffer @input_to_weight.1 + 0
// CHECK-DAG:  exec.buffer @fwd_to_weight.1 + 0
// CHECK:      exec.timeline @train.0
// CHECK:      exec.action run I @bwd.0 stage 0 microbatch 0
// CHECK:      exec.action run W @bwd_weight.0 stage 0 microbatch 0
// CHECK:      exec.timeline @train.1
// CHECK:      exec.action run F @fwd.1 stage 1 microbatch 0 slots(@batch = 0, @fwd_to_bwd.1 = 0, @fwd_to_weight.1 = 0, @activations.1 = 0)
// CHECK:      exec.action run I @bwd.1 stage 1 microbatch 0 slots(@batch = 0, @fwd_to_bwd.1 = 0, @fwd_to_weight.1 = 0, @activations.1 = 0, @input_to_weight.1 = 0, @sent_cotangents.1 = 0)
// CHECK:      exec.action run F @fwd.1 stage 1 microbatch 1 slots(@batch = 1, @fwd_to_bwd.1 = 0, @fwd_to_weight.1 = 1, @activations.1
// CHECK:      exec.action run W @bwd_weight.1 stage 1 microbatch 0 slots(@batch = 0, @fwd_to_weight.1 = 0, @input_to_weight.1 = 0)
// CHECK:      exec.action run W @bwd_weight.1 stage 1 microbatch 1 slots(@batch = 1, @fwd_to_weight.1 = 1, @input_to_weight.1 = 1)
module attributes {titan.schedule = ["0F0,0F1,0B0,0I1,0W1", "1F0,1I0,1F1,1I1,1W0,1W1"]} {
  titan.mesh @mesh [pp = 2]
  titan.variable gradient @gradient.a : tensor<4x4xf32>
  titan.variable gradient @gradient.b : tensor<4x4xf32>
  func.func @fwd.0(%x: tensor<4x4xf32> {titan.name = "x"}) -> tensor<4x4xf32>
      attributes {titan.pipeline_rank = 0} {
    %y = titan.einsum "td,nd->tn" %x, %x : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>
    return %y : tensor<4x4xf32>
  }
  func.func @bwd.0(%x: tensor<4x4xf32> {titan.name = "x"}, %g: tensor<4x4xf32> {titan.received}) -> tensor<4x4xf32>
      attributes {titan.pipeline_rank = 0} {
    %e = titan.einsum "td,nd->tn" %x, %g : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>
    return %e : tensor<4x4xf32>
  }
  func.func @bwd_weight.0(%x: tensor<4x4xf32>, %g: tensor<4x4xf32> {titan.received}, %e: tensor<4x4xf32>)
      attributes {titan.pipeline_rank = 0} {
    %old = titan.load @gradient.a : tensor<4x4xf32>
    %new = titan.einsum "tn,td->nd" %e, %x acc(%old : tensor<4x4xf32>) : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>
    titan.store %new, @gradient.a : tensor<4x4xf32>
    return
  }
  func.func @fwd.1(%y: tensor<4x4xf32> {titan.received}) -> (tensor<4x4xf32>, tensor<4x4xf32>, tensor<4x4xf32>)
      attributes {titan.pipeline_rank = 1} {
    %r = titan.einsum "td,nd->tn" %y, %y : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>
    %s = titan.einsum "td,nd->tn" %r, %y : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>
    %t = titan.einsum "td,nd->tn" %s, %y : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>
    return %s, %r, %t : tensor<4x4xf32>, tensor<4x4xf32>, tensor<4x4xf32>
  }
  func.func @bwd.1(%y: tensor<4x4xf32>, %s: tensor<4x4xf32>, %r: tensor<4x4xf32>, %t: tensor<4x4xf32>)
      -> (tensor<4x4xf32>, tensor<4x4xf32>) attributes {titan.pipeline_rank = 1} {
    %e = titan.einsum "td,nd->tn" %r, %y : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>
    %g = titan.einsum "td,nd->tn" %e, %y : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>
    return %g, %e : tensor<4x4xf32>, tensor<4x4xf32>
  }
  func.func @bwd_weight.1(%y: tensor<4x4xf32>, %s: tensor<4x4xf32>, %r: tensor<4x4xf32>, %t: tensor<4x4xf32>,
                          %e: tensor<4x4xf32>) attributes {titan.pipeline_rank = 1} {
    %old = titan.load @gradient.b : tensor<4x4xf32>
    %u = titan.einsum "tn,td->nd" %s, %t acc(%old : tensor<4x4xf32>) : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>
    %new = titan.einsum "tn,td->nd" %e, %s acc(%u : tensor<4x4xf32>) : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>
    titan.store %new, @gradient.b : tensor<4x4xf32>
    return
  }
}

// -----

// expected-error @+1 {{titan.schedule computes backwards in two halves, but there are no functions @bwd_weight: titan-split-backward has not run}}
module attributes {titan.schedule = ["0F0,0I0,0W0"]} {
  titan.mesh @mesh [pp = 1]
  func.func @fwd.0() attributes {titan.pipeline_rank = 0} {
    return
  }
  func.func @bwd.0() attributes {titan.pipeline_rank = 0} {
    return
  }
}

// -----

module attributes {titan.schedule = ["0F0,0I0,0W0"]} {
  titan.mesh @mesh [pp = 1]
  func.func @fwd.0() attributes {titan.pipeline_rank = 0} {
    return
  }
  func.func @bwd.0() -> tensor<4xf32> attributes {titan.pipeline_rank = 0} {
    %0 = titan.full 1.0 : tensor<4xf32>
    return %0 : tensor<4xf32>
  }
  // expected-error @+1 {{expects @bwd_weight.0 to take what @bwd.0 takes and then what that returns behind its cotangents, found '() -> ()'}}
  func.func @bwd_weight.0() attributes {titan.pipeline_rank = 0} {
    return
  }
}

// -----

// expected-error @+1 {{expects as many functions @bwd_weight as @fwd, found 1 and 2}}
module attributes {titan.schedule = ["0F0,1F0,1I0,1W0,0I0,0W0"]} {
  titan.mesh @mesh [pp = 1]
  func.func @fwd.0() attributes {titan.pipeline_rank = 0} {
    return
  }
  func.func @fwd.1() attributes {titan.pipeline_rank = 0} {
    return
  }
  func.func @bwd_weight.0() attributes {titan.pipeline_rank = 0} {
    return
  }
}
