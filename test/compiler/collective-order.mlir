// The verifier of the exec phase: pipeline ranks issue what they share in one order.
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
exec.func async @to_previous {
  %0 = exec.buffer @s + 0 : memref<8xf32>
  %1 = exec.start send none over ["pp"] peer 0 channel 1 from(%0 : memref<8xf32>) to()
}
exec.func async @from_next {
  %0 = exec.buffer @s + 64 : memref<8xf32>
  %1 = exec.start receive none over ["pp"] peer 1 channel 1 from() to(%0 : memref<8xf32>)
}
exec.timeline @train.0 rank 0 prologue {
} body {
  exec.action start V @from_next stage 0 microbatch 0 slots()
  exec.action start S @to_next stage 0 microbatch 0 slots()
  exec.action await V @from_next stage 0 microbatch 0 slots()
  exec.action await S @to_next stage 0 microbatch 0 slots()
} epilogue {
}
exec.timeline @train.1 rank 1 prologue {
} body {
  exec.action start V @from_previous stage 1 microbatch 0 slots()
  exec.action await V @from_previous stage 1 microbatch 0 slots()
  exec.action start S @to_previous stage 1 microbatch 0 slots()
  exec.action await S @to_previous stage 1 microbatch 0 slots()
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
exec.timeline @train.0 rank 0 prologue {
} body {
  // expected-error @+1 {{of rank 0 sends a transfer over ["pp"] of 16 bytes, microbatch 0, but rank 1 receives a transfer over ["pp"] of 16 bytes, microbatch 1}}
  exec.action start S @to_next stage 0 microbatch 0 slots()
  exec.action await S @to_next stage 0 microbatch 0 slots()
  exec.action start S @to_next stage 0 microbatch 1 slots()
  exec.action await S @to_next stage 0 microbatch 1 slots()
} epilogue {
}
exec.timeline @train.1 rank 1 prologue {
} body {
  // expected-note @+1 {{received here}}
  exec.action start V @from_previous stage 1 microbatch 1 slots()
  exec.action await V @from_previous stage 1 microbatch 1 slots()
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
exec.timeline @train.0 rank 0 prologue {
} body {
  // expected-error @+1 {{of rank 0 sends a transfer over ["pp"] of 16 bytes, which rank 1 never receives}}
  exec.action start S @to_next stage 0 microbatch 0 slots()
  exec.action await S @to_next stage 0 microbatch 0 slots()
} epilogue {
}
exec.timeline @train.1 rank 1 prologue {
} body {
} epilogue {
}

// -----

exec.program target "cpu" mesh [#exec.axis<"pp", 2>] flops_per_token 0 job "" sources []
// expected-error @+1 {{is one of 1 timelines of this name, but there are 2 pipeline ranks}}
exec.timeline @train.0 rank 0 prologue {
} body {
} epilogue {
}

// -----

exec.program target "cpu" mesh [#exec.axis<"pp", 2>] flops_per_token 0 job "" sources []
exec.segment @s size 1024 in device
exec.func @sum {
  %0 = exec.buffer @s + 128 : memref<4xf32>
  %1 = exec.start all_reduce sum over ["pp"] from(%0 : memref<4xf32>) to(%0 : memref<4xf32>)
  exec.await %1
}
exec.func @max {
  %0 = exec.buffer @s + 128 : memref<4xf32>
  %1 = exec.start all_reduce max over ["pp"] from(%0 : memref<4xf32>) to(%0 : memref<4xf32>)
  exec.await %1
}
exec.timeline @train.0 rank 0 prologue {
} body {
} epilogue {
  // expected-error @+1 {{of rank 0 issues all_reduce by sum over ["pp"] of 16 bytes with rank 1, which does not issue it in the same order}}
  exec.action run O @sum stage 0 microbatch 0 slots()
  exec.action run O @max stage 0 microbatch 0 slots()
}
exec.timeline @train.1 rank 1 prologue {
} body {
} epilogue {
  // expected-note @+1 {{it waits here for all_reduce by max over ["pp"] of 16 bytes}}
  exec.action run O @max stage 0 microbatch 0 slots()
  exec.action run O @sum stage 0 microbatch 0 slots()
}
