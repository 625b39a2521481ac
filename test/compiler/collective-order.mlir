// The verifier of the exec phase: pipeline stages issue what they share in one order.
// RUN: titan-opt %s -titan-verify-phase=phase=exec -split-input-file -verify-diagnostics

exec.program target "cpu" mesh [#exec.axis<"pp", 2>] flops_per_token 0 job "" sources []
exec.segment @s size 1024 in device
exec.func async @to_next {
  %0 = exec.buffer @s + 0 : memref<4xf32>
  %1 = exec.start send none over ["pp"] peer 1 from(%0 : memref<4xf32>) to()
}
exec.func async @from_previous {
  %0 = exec.buffer @s + 64 : memref<4xf32>
  %1 = exec.start receive none over ["pp"] peer 0 from() to(%0 : memref<4xf32>)
}
exec.timeline @train prologue {
} body {
  exec.action start S @to_next stage 0 microbatch 0 slots()
  exec.action await S @to_next stage 0 microbatch 0 slots()
  exec.action start V @from_previous stage 1 microbatch 0 slots()
  exec.action await V @from_previous stage 1 microbatch 0 slots()
} epilogue {
}

// -----

exec.program target "cpu" mesh [#exec.axis<"pp", 2>] flops_per_token 0 job "" sources []
exec.segment @s size 1024 in device
exec.func async @to_next {
  %0 = exec.buffer @s + 0 : memref<4xf32>
  %1 = exec.start send none over ["pp"] peer 1 from(%0 : memref<4xf32>) to()
}
exec.func async @from_previous {
  %0 = exec.buffer @s + 64 : memref<4xf32>
  %1 = exec.start receive none over ["pp"] peer 0 from() to(%0 : memref<4xf32>)
}
exec.func async @all {
  %0 = exec.buffer @s + 128 : memref<4xf32>
  %1 = exec.start all_reduce sum over ["pp"] from(%0 : memref<4xf32>) to(%0 : memref<4xf32>)
}
exec.timeline @train prologue {
} body {
  // expected-error @+1 {{of stage 0 issues a transfer over ["pp"] of 16 bytes with stage 1, which does not issue it in the same order}}
  exec.action start S @to_next stage 0 microbatch 0 slots()
  exec.action await S @to_next stage 0 microbatch 0 slots()
  exec.action start G @all stage 0 microbatch 0 slots()
  exec.action await G @all stage 0 microbatch 0 slots()
  // expected-note @+1 {{it waits here for all_reduce by sum over ["pp"] of 16 bytes}}
  exec.action start G @all stage 1 microbatch 0 slots()
  exec.action await G @all stage 1 microbatch 0 slots()
  exec.action start V @from_previous stage 1 microbatch 0 slots()
  exec.action await V @from_previous stage 1 microbatch 0 slots()
} epilogue {
}
