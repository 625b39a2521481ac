// RUN: titan-opt %s -titan-plan-memory -split-input-file -verify-diagnostics | FileCheck %s

// Each rank has memory and a timeline of its own; what a stage sends and receives has slots.
// CHECK:     exec.segment @parameters.0 size 64 in device rank 0
// CHECK:     exec.segment @parameters.1 size 64 in device rank 1
// CHECK:     exec.residual_class @batch in @residuals + 0 slots 2 bytes 64
// CHECK-DAG: exec.residual_class @sent_activations.0 in @residuals.0 + 0 slots 2 bytes 64
// CHECK-DAG: exec.residual_class @cotangents.0 in @residuals.0 + 128 slots {{[12]}} bytes 64
// CHECK-DAG: exec.residual_class @activations.1 in @residuals.1 + 0 slots 2 bytes 64
// CHECK-DAG: exec.residual_class @sent_cotangents.1 in @residuals.1
// CHECK:     exec.variable @a {{.*}} in @parameters.0 + 0
// CHECK:     exec.variable @b {{.*}} in @parameters.1 + 0
// CHECK:     exec.variable @x {{.*}} in @batch + 0
// CHECK:     exec.func @fwd.0
// CHECK:     exec.buffer @sent_activations.0 + 0
// CHECK:     exec.func @bwd.1
// CHECK-DAG: exec.buffer @activations.1 + 0
// CHECK-DAG: exec.buffer @sent_cotangents.1 + 0

// CHECK:      exec.timeline @train.0 rank 0 prologue {
// CHECK-NEXT: } body {
// CHECK-NEXT:   exec.action run F @fwd.0 stage 0 microbatch 0 slots(@batch = 0, @sent_activations.0 = 0)
// CHECK-NEXT:   exec.action start S @send_activations.0 stage 0 microbatch 0 slots(@sent_activations.0 = 0)
// CHECK-NEXT:   exec.action start V @receive_cotangents.0 stage 0 microbatch 0 slots(@cotangents.0 = 0)
// CHECK-NEXT:   exec.action run F @fwd.0 stage 0 microbatch 1 slots(@batch = 1, @sent_activations.0 = 1)
// CHECK-NEXT:   exec.action start S @send_activations.0 stage 0 microbatch 1 slots(@sent_activations.0 = 1)
// CHECK-NEXT:   exec.action start V @receive_cotangents.0 stage 0 microbatch 1 slots(@cotangents.0 = 1)
// CHECK-NEXT:   exec.action await V @receive_cotangents.0 stage 0 microbatch 0 slots(@cotangents.0 = 0)
// CHECK-NEXT:   exec.action await S @send_activations.0 stage 0 microbatch 0 slots(@sent_activations.0 = 0)
// CHECK-NEXT:   exec.action run B @bwd.0 stage 0 microbatch 0 slots(@batch = 0, @cotangents.0 = 0)
// CHECK:        exec.action run B @bwd.0 stage 0 microbatch 1 slots(@batch = 1, @cotangents.0 = 1)
// CHECK-NEXT: } epilogue {

// CHECK:      exec.func async @send_activations.0 {
// CHECK-NEXT:   exec.buffer @sent_activations.0 + 0
// CHECK-NEXT:   exec.start send none over ["pp"] peer 1 from(
// CHECK:      exec.func async @receive_cotangents.0 {
// CHECK-NEXT:   exec.buffer @cotangents.0 + 0
// CHECK-NEXT:   exec.start receive none over ["pp"] peer 1 channel 1 from() to(
// CHECK:      exec.timeline @train.1 rank 1
module attributes {titan.schedule = ["0F0,0F1,0B0,0B1", "1F0,1B0,1F1,1B1"]} {
  titan.mesh @mesh [pp = 2]
  titan.variable parameter @a : tensor<4x4xf32> init #titan.constant<1.0>
  titan.variable parameter @b : tensor<4x4xf32> init #titan.constant<1.0>
  titan.variable gradient @gradient.a : tensor<4x4xf32>
  func.func @fwd.0(%x: tensor<4x4xf32> {titan.name = "x"}) -> tensor<4x4xf32>
      attributes {titan.pipeline_rank = 0} {
    %a = titan.load @a : tensor<4x4xf32>
    %y = titan.einsum "td,nd->tn" %x, %a : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>
    return %y : tensor<4x4xf32>
  }
  func.func @bwd.0(%x: tensor<4x4xf32> {titan.name = "x"}, %g: tensor<4x4xf32> {titan.received})
      attributes {titan.pipeline_rank = 0} {
    %old = titan.load @gradient.a : tensor<4x4xf32>
    %new = titan.einsum "tn,td->nd" %g, %x acc(%old : tensor<4x4xf32>) : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>
    titan.store %new, @gradient.a : tensor<4x4xf32>
    return
  }
  func.func @fwd.1(%y: tensor<4x4xf32> {titan.received}) attributes {titan.pipeline_rank = 1} {
    return
  }
  func.func @bwd.1(%y: tensor<4x4xf32>) -> tensor<4x4xf32> attributes {titan.pipeline_rank = 1} {
    %b = titan.load @b : tensor<4x4xf32>
    %g = titan.einsum "tn,nd->td" %y, %b : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>
    return %g : tensor<4x4xf32>
  }
}

// -----

// Stages of one rank hand values on in place.
// CHECK:     exec.residual_class @eval_activations.1 in @residuals.0 + 0 slots 1 bytes 64
// CHECK-NOT: sent_activations
// CHECK:     exec.timeline @evaluation.0 rank 0
// CHECK:     exec.action run F @eval.0 stage 0 microbatch 0 slots(@eval_batch = 0, @eval_activations.1 = 0)
// CHECK-NEXT: exec.action run F @eval.1 stage 1 microbatch 0 slots(@eval_batch = 0, @eval_activations.1 = 0)
module attributes {titan.eval_schedule = ["0F0,1F0"]} {
  titan.mesh @mesh [pp = 1]
  titan.variable output @o : tensor<4x4xf32>
  func.func @eval.0(%x: tensor<4x4xf32> {titan.name = "x"}) -> tensor<4x4xf32>
      attributes {titan.pipeline_rank = 0} {
    %y = titan.einsum "td,nd->tn" %x, %x : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>
    return %y : tensor<4x4xf32>
  }
  func.func @eval.1(%y: tensor<4x4xf32> {titan.received}) attributes {titan.pipeline_rank = 0} {
    titan.store %y, @o : tensor<4x4xf32>
    return
  }
}

// -----

// expected-error @+1 {{expects titan.schedule to have a line for each of the 2 pipeline ranks}}
module attributes {titan.schedule = ["0F0,0B0"]} {
  titan.mesh @mesh [pp = 2]
  func.func @fwd.0() attributes {titan.pipeline_rank = 0} {
    return
  }
  func.func @bwd.0() attributes {titan.pipeline_rank = 1} {
    return
  }
}

// -----

// expected-error @+1 {{titan.schedule has 2 stages, the module 1}}
module attributes {titan.schedule = ["0F0,1F0,1B0,0B0"]} {
  titan.mesh @mesh [pp = 1]
  func.func @fwd.0() attributes {titan.pipeline_rank = 0} {
    return
  }
  func.func @bwd.0() attributes {titan.pipeline_rank = 0} {
    return
  }
}

// -----

// expected-error @+1 {{titan.schedule: }}
module attributes {titan.schedule = ["0F0,0B0,0B0"]} {
  titan.mesh @mesh [pp = 1]
  func.func @fwd.0() attributes {titan.pipeline_rank = 0} {
    return
  }
  func.func @bwd.0() attributes {titan.pipeline_rank = 0} {
    return
  }
}

// -----

// expected-error @+1 {{schedule titan.schedule: rank 0 can never begin B of stage 0 microbatch 0: ranks wait for each other}}
module attributes {titan.schedule = ["0F0,0B0,0F1,0B1", "1F1,1B1,1F0,1B0"]} {
  titan.mesh @mesh [pp = 2]
  func.func @fwd.0() attributes {titan.pipeline_rank = 0} {
    return
  }
  func.func @bwd.0() attributes {titan.pipeline_rank = 0} {
    return
  }
  func.func @fwd.1() attributes {titan.pipeline_rank = 1} {
    return
  }
  func.func @bwd.1() attributes {titan.pipeline_rank = 1} {
    return
  }
}

// -----

module attributes {titan.schedule = ["0F0,0B0", "1F0,1B0"]} {
  titan.mesh @mesh [pp = 2]
  // expected-error @+1 {{is of another rank than in titan.schedule, 0}}
  func.func @fwd.0() attributes {titan.pipeline_rank = 1} {
    return
  }
  func.func @bwd.0() attributes {titan.pipeline_rank = 1} {
    return
  }
  func.func @fwd.1() attributes {titan.pipeline_rank = 0} {
    return
  }
  func.func @bwd.1() attributes {titan.pipeline_rank = 0} {
    return
  }
}

// -----

// expected-error @+1 {{expects as many functions @bwd as @fwd, found 1 and 2}}
module attributes {titan.schedule = ["0F0,1F0,1B0,0B0"]} {
  titan.mesh @mesh [pp = 1]
  func.func @fwd.0() attributes {titan.pipeline_rank = 0} {
    return
  }
  func.func @fwd.1() attributes {titan.pipeline_rank = 0} {
    return
  }
  func.func @bwd.0() attributes {titan.pipeline_rank = 0} {
    return
  }
}

// -----

module attributes {titan.eval_schedule = ["0F0,1F0"]} {
  titan.mesh @mesh [pp = 1]
  // expected-error @+1 {{expects @eval.0 to return the 1 tensors that the next stage takes, found '() -> ()'}}
  func.func @eval.0() attributes {titan.pipeline_rank = 0} {
    return
  }
  func.func @eval.1(%y: tensor<4x4xf32> {titan.received}) attributes {titan.pipeline_rank = 0} {
    return
  }
}

// -----

module attributes {titan.eval_schedule = ["0F0,1F0"]} {
  titan.mesh @mesh [pp = 1]
  // expected-error @+1 {{expects @eval.0 to return first what the next stage takes, found '(tensor<2xf32>) -> tensor<2xf32>'}}
  func.func @eval.0(%x: tensor<2xf32>) -> tensor<2xf32> attributes {titan.pipeline_rank = 0} {
    return %x : tensor<2xf32>
  }
  func.func @eval.1(%y: tensor<4xf32> {titan.received}) attributes {titan.pipeline_rank = 0} {
    return
  }
}

// -----

module attributes {titan.schedule = ["0F0,1F0,1B0,0B0"]} {
  titan.mesh @mesh [pp = 1]
  func.func @fwd.0(%x: tensor<4xf32>) -> tensor<4xf32> attributes {titan.pipeline_rank = 0} {
    return %x : tensor<4xf32>
  }
  func.func @bwd.0(%x: tensor<4xf32>, %g: tensor<4xf32> {titan.received})
      attributes {titan.pipeline_rank = 0} {
    return
  }
  func.func @fwd.1(%y: tensor<4xf32> {titan.received}) attributes {titan.pipeline_rank = 0} {
    return
  }
  // expected-error @+1 {{expects @bwd.1 to return the cotangents that the stage before takes, found '(tensor<4xf32>) -> ()'}}
  func.func @bwd.1(%y: tensor<4xf32>) attributes {titan.pipeline_rank = 0} {
    return
  }
}
