// The verifier of the exec phase: what an entry of a timeline reads in its slots is what its microbatch has there.
// RUN: titan-opt %s -titan-verify-phase=phase=exec -split-input-file -verify-diagnostics

// A pipeline rank whose backward has two halves, with one input, and a kernel for the functions.
exec.program target "cpu" mesh [#exec.axis<"pp", 1>] flops_per_token 0 job "" sources []
exec.segment @residuals size 1024 in device
exec.residual_class @batch in @residuals + 0 slots 2 bytes 64
exec.residual_class @kept in @residuals + 128 slots 2 bytes 128
exec.residual_class @halves in @residuals + 384 slots 2 bytes 64
exec.variable @x : tensor<16xf32> role input in @batch + 0
exec.func @fwd {
  %x = exec.buffer @batch + 0 : memref<16xf32>
  %a = exec.buffer @kept + 0 : memref<16xf32>
  %b = exec.buffer @kept + 64 : memref<16xf32>
  exec.copy %x into %a : memref<16xf32> into memref<16xf32>
  exec.copy %a into %b : memref<16xf32> into memref<16xf32>
}
exec.func @input {
  %a = exec.buffer @kept + 0 : memref<16xf32>
  %h = exec.buffer @halves + 0 : memref<16xf32>
  exec.copy %a into %h : memref<16xf32> into memref<16xf32>
  // What only this half reads may be overwritten.
  exec.fill %a with 0.0 : memref<16xf32>
}
exec.func @weight {
  %b = exec.buffer @kept + 64 : memref<16xf32>
  %h = exec.buffer @halves + 0 : memref<16xf32>
  exec.copy %b into %h : memref<16xf32> into memref<16xf32>
}
exec.timeline @train prologue {
} body {
  exec.action run F @fwd stage 0 microbatch 0 slots(@batch = 0, @kept = 0)
  exec.action run F @fwd stage 0 microbatch 1 slots(@batch = 1, @kept = 1)
  exec.action run I @input stage 0 microbatch 0 slots(@kept = 0, @halves = 0)
  exec.action run I @input stage 0 microbatch 1 slots(@kept = 1, @halves = 1)
  exec.action run W @weight stage 0 microbatch 0 slots(@kept = 0, @halves = 0)
  exec.action run W @weight stage 0 microbatch 1 slots(@kept = 1, @halves = 1)
} epilogue {
}

// -----

exec.program target "cpu" mesh [#exec.axis<"pp", 1>] flops_per_token 0 job "" sources []
exec.segment @residuals size 1024 in device
exec.residual_class @batch in @residuals + 0 slots 2 bytes 64
exec.residual_class @kept in @residuals + 128 slots 2 bytes 128
exec.variable @x : tensor<16xf32> role input in @batch + 0
exec.func @fwd {
  %x = exec.buffer @batch + 0 : memref<16xf32>
  %a = exec.buffer @kept + 0 : memref<16xf32>
  exec.copy %x into %a : memref<16xf32> into memref<16xf32>
}
exec.func @bwd {
  %a = exec.buffer @kept + 0 : memref<32xf32>
  %g = exec.buffer @residuals + 512 : memref<32xf32>
  exec.copy %a into %g : memref<32xf32> into memref<32xf32>
}
exec.timeline @train prologue {
} body {
  exec.action run F @fwd stage 0 microbatch 0 slots(@batch = 0, @kept = 1)
  // expected-error @+1 {{of stage 0 microbatch 0 reads bytes 320 to 384 of residuals, which nothing has written}}
  exec.action run B @bwd stage 0 microbatch 0 slots(@kept = 1)
} epilogue {
}

// -----

exec.program target "cpu" mesh [#exec.axis<"pp", 1>] flops_per_token 0 job "" sources []
exec.segment @residuals size 1024 in device
exec.residual_class @batch in @residuals + 0 slots 2 bytes 64
exec.residual_class @kept in @residuals + 128 slots 2 bytes 64
exec.variable @x : tensor<16xf32> role input in @batch + 0
exec.func @fwd {
  %x = exec.buffer @batch + 0 : memref<16xf32>
  %a = exec.buffer @kept + 0 : memref<16xf32>
  exec.copy %x into %a : memref<16xf32> into memref<16xf32>
}
exec.timeline @train prologue {
} body {
  // The input of microbatch 1 is in slot 1.
  // expected-error @+1 {{of stage 0 microbatch 0 reads bytes 64 to 128 of residuals, which hold microbatch 1}}
  exec.action run F @fwd stage 0 microbatch 0 slots(@batch = 1, @kept = 0)
} epilogue {
}

// -----

exec.program target "cpu" mesh [#exec.axis<"pp", 1>] flops_per_token 0 job "" sources []
exec.segment @residuals size 1024 in device
exec.residual_class @batch in @residuals + 0 slots 1 bytes 64
exec.residual_class @kept in @residuals + 128 slots 1 bytes 64
exec.variable @x : tensor<16xf32> role input in @batch + 0
exec.func @fwd {
  %x = exec.buffer @batch + 0 : memref<16xf32>
  %a = exec.buffer @kept + 0 : memref<16xf32>
  exec.copy %x into %a : memref<16xf32> into memref<16xf32>
}
exec.func @input {
  %a = exec.buffer @kept + 0 : memref<16xf32>
  exec.fill %a with 0.0 : memref<16xf32>
}
exec.func @weight {
  %a = exec.buffer @kept + 0 : memref<16xf32>
  %g = exec.buffer @residuals + 512 : memref<16xf32>
  exec.copy %a into %g : memref<16xf32> into memref<16xf32>
}
exec.timeline @train prologue {
} body {
  exec.action run F @fwd stage 0 microbatch 0 slots(@batch = 0, @kept = 0)
  // expected-note @+1 {{written here}}
  exec.action run I @input stage 0 microbatch 0 slots(@kept = 0)
  // expected-error @+1 {{of stage 0 microbatch 0 reads bytes 128 to 192 of residuals, which have been overwritten for the same microbatch}}
  exec.action run W @weight stage 0 microbatch 0 slots(@kept = 0)
} epilogue {
}

// -----

// A receive, posted ahead, fills a slot whose bytes are another class's too.
exec.program target "cpu" mesh [#exec.axis<"pp", 1>] flops_per_token 0 job "" sources []
exec.segment @residuals size 1024 in device
exec.residual_class @received in @residuals + 0 slots 1 bytes 128
exec.residual_class @kept in @residuals + 64 slots 1 bytes 64
exec.func async @receive {
  %a = exec.buffer @received + 0 : memref<32xf32>
  %0 = exec.start receive none over ["pp"] peer 0 from() to(%a : memref<32xf32>)
}
exec.func async @send {
  %a = exec.buffer @residuals + 256 : memref<32xf32>
  %0 = exec.start send none over ["pp"] peer 0 from(%a : memref<32xf32>) to()
}
exec.func @fwd {
  %a = exec.buffer @kept + 0 : memref<16xf32>
  exec.fill %a with 0.0 : memref<16xf32>
}
exec.timeline @train.0 rank 0 prologue {
} body {
  exec.action start S @send stage 0 microbatch 0 slots()
  // expected-note @+1 {{started here}}
  exec.action start V @receive stage 0 microbatch 0 slots(@received = 0)
  // expected-error @+1 {{of stage 0 microbatch 0 disturbs bytes 64 to 128 of residuals, which a transfer under way uses}}
  exec.action run F @fwd stage 0 microbatch 0 slots(@kept = 0)
  exec.action await V @receive stage 0 microbatch 0 slots(@received = 0)
  exec.action await S @send stage 0 microbatch 0 slots()
} epilogue {
}
