// Errors of timelines.
// RUN: titan-opt %s --split-input-file --verify-diagnostics --allow-unregistered-dialect

exec.segment @s size 1024 in device
exec.residual_class @c in @s + 0 slots 2 bytes 64
exec.residual_class @d in @s + 128 slots 1 bytes 64
exec.func @f {
}
exec.func @uses {
  %0 = exec.buffer @c + 0 : memref<4xf32>
}
exec.func async @receive {
  %0 = exec.buffer @c + 0 : memref<4xf32>
  %1 = exec.start receive none over ["pp"] peer 0 from () to (%0 : memref<4xf32>)
}
exec.timeline @train prologue {
} body {
  // expected-error @+1 {{stage and microbatch are at least 0, found -1 and 0}}
  exec.action run F @f stage -1 microbatch 0 slots()
} epilogue {
}

// -----

exec.segment @s size 1024 in device
exec.residual_class @c in @s + 0 slots 2 bytes 64
exec.residual_class @d in @s + 128 slots 1 bytes 64
exec.func @f {
}
exec.func @uses {
  %0 = exec.buffer @c + 0 : memref<4xf32>
}
exec.func async @receive {
  %0 = exec.buffer @c + 0 : memref<4xf32>
  %1 = exec.start receive none over ["pp"] peer 0 from () to (%0 : memref<4xf32>)
}
exec.timeline @train prologue {
} body {
  // expected-error @+1 {{binds residual class 'c' twice}}
  exec.action run F @f stage 0 microbatch 0 slots(@c = 0, @c = 1)
} epilogue {
}

// -----

exec.segment @s size 1024 in device
exec.residual_class @c in @s + 0 slots 2 bytes 64
exec.residual_class @d in @s + 128 slots 1 bytes 64
exec.func @f {
}
exec.func @uses {
  %0 = exec.buffer @c + 0 : memref<4xf32>
}
exec.func async @receive {
  %0 = exec.buffer @c + 0 : memref<4xf32>
  %1 = exec.start receive none over ["pp"] peer 0 from () to (%0 : memref<4xf32>)
}
exec.timeline @train prologue {
} body {
  // expected-error @+1 {{'g' is no function}}
  exec.action run F @g stage 0 microbatch 0 slots()
} epilogue {
}

// -----

exec.segment @s size 1024 in device
exec.residual_class @c in @s + 0 slots 2 bytes 64
exec.residual_class @d in @s + 128 slots 1 bytes 64
exec.func @f {
}
exec.func @uses {
  %0 = exec.buffer @c + 0 : memref<4xf32>
}
exec.func async @receive {
  %0 = exec.buffer @c + 0 : memref<4xf32>
  %1 = exec.start receive none over ["pp"] peer 0 from () to (%0 : memref<4xf32>)
}
exec.timeline @train prologue {
} body {
  // expected-error @+1 {{starts or awaits function 'receive', which is async, found run}}
  exec.action run F @receive stage 0 microbatch 0 slots(@c = 0)
} epilogue {
}

// -----

exec.segment @s size 1024 in device
exec.residual_class @c in @s + 0 slots 2 bytes 64
exec.residual_class @d in @s + 128 slots 1 bytes 64
exec.func @f {
}
exec.func @uses {
  %0 = exec.buffer @c + 0 : memref<4xf32>
}
exec.func async @receive {
  %0 = exec.buffer @c + 0 : memref<4xf32>
  %1 = exec.start receive none over ["pp"] peer 0 from () to (%0 : memref<4xf32>)
}
exec.timeline @train prologue {
} body {
  // expected-error @+1 {{runs function 'f', which is not async, found start}}
  exec.action start F @f stage 0 microbatch 0 slots()
  exec.action await F @f stage 0 microbatch 0 slots()
} epilogue {
}

// -----

exec.segment @s size 1024 in device
exec.residual_class @c in @s + 0 slots 2 bytes 64
exec.residual_class @d in @s + 128 slots 1 bytes 64
exec.func @f {
}
exec.func @uses {
  %0 = exec.buffer @c + 0 : memref<4xf32>
}
exec.func async @receive {
  %0 = exec.buffer @c + 0 : memref<4xf32>
  %1 = exec.start receive none over ["pp"] peer 0 from () to (%0 : memref<4xf32>)
}
exec.timeline @train prologue {
} body {
  // expected-error @+1 {{'e' is no residual class}}
  exec.action run F @f stage 0 microbatch 0 slots(@e = 0)
} epilogue {
}

// -----

exec.segment @s size 1024 in device
exec.residual_class @c in @s + 0 slots 2 bytes 64
exec.residual_class @d in @s + 128 slots 1 bytes 64
exec.func @f {
}
exec.func @uses {
  %0 = exec.buffer @c + 0 : memref<4xf32>
}
exec.func async @receive {
  %0 = exec.buffer @c + 0 : memref<4xf32>
  %1 = exec.start receive none over ["pp"] peer 0 from () to (%0 : memref<4xf32>)
}
exec.timeline @train prologue {
} body {
  // expected-error @+1 {{slot 2 of residual class 'c' does not exist: it has 2}}
  exec.action run F @f stage 0 microbatch 0 slots(@c = 2)
} epilogue {
}

// -----

exec.segment @s size 1024 in device
exec.residual_class @c in @s + 0 slots 2 bytes 64
exec.residual_class @d in @s + 128 slots 1 bytes 64
exec.func @f {
}
exec.func @uses {
  %0 = exec.buffer @c + 0 : memref<4xf32>
}
exec.func async @receive {
  %0 = exec.buffer @c + 0 : memref<4xf32>
  %1 = exec.start receive none over ["pp"] peer 0 from () to (%0 : memref<4xf32>)
}
exec.timeline @train prologue {
} body {
  // expected-error @+1 {{slot -1 of residual class 'c' does not exist: it has 2}}
  exec.action run F @f stage 0 microbatch 0 slots(@c = -1)
} epilogue {
}

// -----

exec.segment @s size 1024 in device
exec.residual_class @c in @s + 0 slots 2 bytes 64
exec.residual_class @d in @s + 128 slots 1 bytes 64
exec.func @f {
}
exec.func @uses {
  // expected-note @+1 {{used here}}
  %0 = exec.buffer @c + 0 : memref<4xf32>
}
exec.func async @receive {
  %0 = exec.buffer @c + 0 : memref<4xf32>
  %1 = exec.start receive none over ["pp"] peer 0 from () to (%0 : memref<4xf32>)
}
exec.timeline @train prologue {
} body {
  // expected-error @+1 {{binds no slot of residual class 'c', which 'uses' uses}}
  exec.action run F @uses stage 0 microbatch 0 slots(@d = 0)
} epilogue {
}

// -----

exec.segment @s size 1024 in device
exec.residual_class @c in @s + 0 slots 2 bytes 64
exec.residual_class @d in @s + 128 slots 1 bytes 64
exec.func @f {
}
exec.func @uses {
  %0 = exec.buffer @c + 0 : memref<4xf32>
}
exec.func async @receive {
  %0 = exec.buffer @c + 0 : memref<4xf32>
  %1 = exec.start receive none over ["pp"] peer 0 from () to (%0 : memref<4xf32>)
}
exec.timeline @train prologue {
} body {
  // expected-error @+1 {{P stands in the prologue or epilogue}}
  exec.action run P @f stage 0 microbatch 0 slots()
} epilogue {
}

// -----

exec.segment @s size 1024 in device
exec.residual_class @c in @s + 0 slots 2 bytes 64
exec.residual_class @d in @s + 128 slots 1 bytes 64
exec.func @f {
}
exec.func @uses {
  %0 = exec.buffer @c + 0 : memref<4xf32>
}
exec.func async @receive {
  %0 = exec.buffer @c + 0 : memref<4xf32>
  %1 = exec.start receive none over ["pp"] peer 0 from () to (%0 : memref<4xf32>)
}
exec.timeline @train prologue {
  // expected-error @+1 {{F stands in the body}}
  exec.action run F @f stage 0 microbatch 0 slots()
} body {
} epilogue {
}

// -----

exec.segment @s size 1024 in device
exec.residual_class @c in @s + 0 slots 2 bytes 64
exec.residual_class @d in @s + 128 slots 1 bytes 64
exec.func @f {
}
exec.func @uses {
  %0 = exec.buffer @c + 0 : memref<4xf32>
}
exec.func async @receive {
  %0 = exec.buffer @c + 0 : memref<4xf32>
  %1 = exec.start receive none over ["pp"] peer 0 from () to (%0 : memref<4xf32>)
}
exec.timeline @train prologue {
} body {
} epilogue {
  // expected-error @+1 {{B stands in the body}}
  exec.action run B @f stage 0 microbatch 0 slots()
}

// -----

exec.segment @s size 1024 in device
exec.residual_class @c in @s + 0 slots 2 bytes 64
exec.residual_class @d in @s + 128 slots 1 bytes 64
exec.func @f {
}
exec.func @uses {
  %0 = exec.buffer @c + 0 : memref<4xf32>
}
exec.func async @receive {
  %0 = exec.buffer @c + 0 : memref<4xf32>
  %1 = exec.start receive none over ["pp"] peer 0 from () to (%0 : memref<4xf32>)
}
exec.timeline @train prologue {
} body {
  exec.action run F @f stage 0 microbatch 0 slots()
  // expected-error @+1 {{B of stage 0 microbatch 1 needs an earlier F}}
  exec.action run B @f stage 0 microbatch 1 slots()
} epilogue {
}

// -----

exec.segment @s size 1024 in device
exec.residual_class @c in @s + 0 slots 2 bytes 64
exec.residual_class @d in @s + 128 slots 1 bytes 64
exec.func @f {
}
exec.func @uses {
  %0 = exec.buffer @c + 0 : memref<4xf32>
}
exec.func async @receive {
  %0 = exec.buffer @c + 0 : memref<4xf32>
  %1 = exec.start receive none over ["pp"] peer 0 from () to (%0 : memref<4xf32>)
}
exec.timeline @train prologue {
} body {
  exec.action run F @f stage 0 microbatch 0 slots()
  // expected-error @+1 {{W of stage 0 microbatch 0 needs an earlier I}}
  exec.action run W @f stage 0 microbatch 0 slots()
} epilogue {
}

// -----

exec.segment @s size 1024 in device
exec.residual_class @c in @s + 0 slots 2 bytes 64
exec.residual_class @d in @s + 128 slots 1 bytes 64
exec.func @f {
}
exec.func @uses {
  %0 = exec.buffer @c + 0 : memref<4xf32>
}
exec.func async @receive {
  %0 = exec.buffer @c + 0 : memref<4xf32>
  %1 = exec.start receive none over ["pp"] peer 0 from () to (%0 : memref<4xf32>)
}
exec.timeline @train prologue {
} body {
  exec.action run F @f stage 0 microbatch 0 slots()
  // expected-error @+1 {{F of stage 0 microbatch 0 stands twice}}
  exec.action run F @f stage 0 microbatch 0 slots()
} epilogue {
}

// -----

exec.segment @s size 1024 in device
exec.residual_class @c in @s + 0 slots 2 bytes 64
exec.residual_class @d in @s + 128 slots 1 bytes 64
exec.func @f {
}
exec.func @uses {
  %0 = exec.buffer @c + 0 : memref<4xf32>
}
exec.func async @receive {
  %0 = exec.buffer @c + 0 : memref<4xf32>
  %1 = exec.start receive none over ["pp"] peer 0 from () to (%0 : memref<4xf32>)
}
exec.timeline @train prologue {
} body {
  exec.action start V @receive stage 0 microbatch 0 slots(@c = 0)
  // expected-error @+1 {{starts again before it is awaited}}
  exec.action start V @receive stage 0 microbatch 0 slots(@c = 0)
} epilogue {
}

// -----

exec.segment @s size 1024 in device
exec.residual_class @c in @s + 0 slots 2 bytes 64
exec.residual_class @d in @s + 128 slots 1 bytes 64
exec.func @f {
}
exec.func @uses {
  %0 = exec.buffer @c + 0 : memref<4xf32>
}
exec.func async @receive {
  %0 = exec.buffer @c + 0 : memref<4xf32>
  %1 = exec.start receive none over ["pp"] peer 0 from () to (%0 : memref<4xf32>)
}
exec.timeline @train prologue {
} body {
  // expected-error @+1 {{awaits what was not started in this section}}
  exec.action await V @receive stage 0 microbatch 0 slots(@c = 0)
} epilogue {
}

// -----

exec.segment @s size 1024 in device
exec.residual_class @c in @s + 0 slots 2 bytes 64
exec.residual_class @d in @s + 128 slots 1 bytes 64
exec.func @f {
}
exec.func @uses {
  %0 = exec.buffer @c + 0 : memref<4xf32>
}
exec.func async @receive {
  %0 = exec.buffer @c + 0 : memref<4xf32>
  %1 = exec.start receive none over ["pp"] peer 0 from () to (%0 : memref<4xf32>)
}
exec.timeline @train prologue {
} body {
  exec.action start V @receive stage 0 microbatch 0 slots(@c = 0)
  // expected-error @+1 {{binds other slots than its start}}
  exec.action await V @receive stage 0 microbatch 0 slots(@c = 1)
} epilogue {
}

// -----

exec.segment @s size 1024 in device
exec.residual_class @c in @s + 0 slots 2 bytes 64
exec.residual_class @d in @s + 128 slots 1 bytes 64
exec.func @f {
}
exec.func @uses {
  %0 = exec.buffer @c + 0 : memref<4xf32>
}
exec.func async @receive {
  %0 = exec.buffer @c + 0 : memref<4xf32>
  %1 = exec.start receive none over ["pp"] peer 0 from () to (%0 : memref<4xf32>)
}
exec.timeline @train prologue {
} body {
  // expected-error @+1 {{is never awaited in its section}}
  exec.action start V @receive stage 0 microbatch 0 slots(@c = 0)
} epilogue {
}

// -----

exec.segment @s size 1024 in device
exec.residual_class @c in @s + 0 slots 2 bytes 64
exec.residual_class @d in @s + 128 slots 1 bytes 64
exec.func @f {
}
exec.func @uses {
  %0 = exec.buffer @c + 0 : memref<4xf32>
}
exec.func async @receive {
  %0 = exec.buffer @c + 0 : memref<4xf32>
  %1 = exec.start receive none over ["pp"] peer 0 from () to (%0 : memref<4xf32>)
}
exec.timeline @train prologue {
} body {
  exec.action run F @f stage 0 microbatch 0 slots(@c = 0)
  // expected-error @+1 {{slot 0 of residual class 'c' still belongs to microbatch 0}}
  exec.action run F @f stage 0 microbatch 1 slots(@c = 0)
  exec.action run B @f stage 0 microbatch 0 slots(@c = 0)
} epilogue {
}

// -----

exec.segment @s size 1024 in device
exec.residual_class @c in @s + 0 slots 2 bytes 64
exec.residual_class @d in @s + 128 slots 1 bytes 64
exec.func @f {
}
exec.func @uses {
  %0 = exec.buffer @c + 0 : memref<4xf32>
}
exec.func async @receive {
  %0 = exec.buffer @c + 0 : memref<4xf32>
  %1 = exec.start receive none over ["pp"] peer 0 from () to (%0 : memref<4xf32>)
}
exec.timeline @train prologue {
} body {
  // expected-error @+1 {{is no action: a timeline holds exec.action only}}
  "other.op"() : () -> ()
} epilogue {
}

// -----

exec.program target "cpu" mesh [#exec.axis<"pp", 2>] flops_per_token 0 job "" sources []
exec.segment @r size 128 in device
exec.residual_class @c in @r + 0 slots 2 bytes 64
exec.func async @receive {
  %0 = exec.buffer @c + 0 : memref<4xf32>
  %1 = exec.start receive none over ["pp"] peer 0 from() to(%0 : memref<4xf32>)
}
exec.func @f {
}
exec.timeline @train rank 1 prologue {
} body {
  // expected-note @+1 {{started here}}
  exec.action start V @receive stage 1 microbatch 0 slots(@c = 0)
  // expected-error @+1 {{uses slot 0 of residual class 'c', which a receive fills}}
  exec.action run F @f stage 1 microbatch 0 slots(@c = 0)
  exec.action await V @receive stage 1 microbatch 0 slots(@c = 0)
} epilogue {
}

// -----

exec.program target "cpu" mesh [#exec.axis<"pp", 2>] flops_per_token 0 job "" sources []
exec.segment @s.0 size 128 in device rank 0
exec.func @f {
  // expected-note @+1 {{used here}}
  %0 = exec.buffer @s.0 + 0 : memref<4xf32>
}
exec.timeline @train.1 rank 1 prologue {
} body {
  // expected-error @+1 {{runs 'f', which uses segment 's.0' of rank 0, in a timeline of rank 1}}
  exec.action run F @f stage 1 microbatch 0 slots()
} epilogue {
}

// -----

exec.program target "cpu" mesh [#exec.axis<"pp", 2>] flops_per_token 0 job "" sources []
exec.segment @s.0 size 128 in device rank 0
exec.func @f {
  // expected-note @+1 {{used here}}
  %0 = exec.buffer @s.0 + 0 : memref<4xf32>
}
exec.timeline @train prologue {
} body {
  // expected-error @+1 {{runs 'f', which uses segment 's.0' of rank 0, in a timeline of all ranks}}
  exec.action run F @f stage 0 microbatch 0 slots()
} epilogue {
}

// -----

exec.program target "cpu" mesh [#exec.axis<"pp", 2>] flops_per_token 0 job "" sources []
// expected-error @+1 {{rank is at least 0 and below the 2 of mesh axis 'pp', found 2}}
exec.timeline @train.2 rank 2 prologue {
} body {
} epilogue {
}
