// What depends on the rank: shardings, axis indices, rotated buffers and predicates.
// RUN: titan-opt %s -split-input-file -verify-diagnostics

exec.program target "cpu" mesh [#exec.axis<"dp", 3>, #exec.axis<"tp", 2>] flops_per_token 0 job "" sources []
exec.segment @s size 1024 in device
// expected-error @+1 {{the axes of a sharding are the mesh's, each once, found #exec.sharding<[["cp"]]>}}
exec.variable @v : tensor<4xf32> global tensor<4xf32, #exec.sharding<[["cp"]]>> role gradient in @s + 0

// -----

exec.program target "cpu" mesh [#exec.axis<"dp", 3>, #exec.axis<"tp", 2>] flops_per_token 0 job "" sources []
exec.segment @s size 1024 in device
// expected-error @+1 {{the axes of a sharding are the mesh's, each once}}
exec.variable @v : tensor<4xf32> global tensor<8xf32, #exec.sharding<[["tp"]] partial ["tp"]>> role gradient in @s + 0

// -----

exec.program target "cpu" mesh [#exec.axis<"dp", 3>] flops_per_token 0 job "" sources []
exec.segment @s size 1024 in device
// expected-error @+1 {{dimension 0 of size 4 does not divide by 3}}
exec.variable @v : tensor<4xf32> global tensor<4xf32, #exec.sharding<[["dp"]]>> role gradient in @s + 0

// -----

exec.program target "cpu" mesh [#exec.axis<"dp", 3>] flops_per_token 0 job "" sources []
exec.segment @s size 1024 in device
// expected-error @+1 {{sharding leaves 'tensor<8xf32>' to a rank, found 'tensor<6xf32>'}}
exec.variable @v : tensor<6xf32> global tensor<16xf32, #exec.sharding<[[]] flat ["dp"] granule 4>> role gradient in @s + 0

// -----

exec.program target "cpu" mesh [#exec.axis<"dp", 3>] flops_per_token 0 job "" sources []
exec.segment @s size 1024 in device
// expected-error @+1 {{global type is a static tensor of the same elements with an exec.sharding of its rank as encoding, found 'tensor<4xf32>'}}
exec.variable @v : tensor<4xf32> global tensor<4xf32> role gradient in @s + 0

// -----

exec.program target "cpu" mesh [#exec.axis<"dp", 3>] flops_per_token 0 job "" sources []
exec.segment @s size 1024 in device
// expected-error @+1 {{global type is a static tensor of the same elements}}
exec.variable @v : tensor<4xf32> global tensor<4xbf16, #exec.sharding<[[]]>> role gradient in @s + 0

// -----

exec.segment @s size 1024 in device
// expected-error @+1 {{the granule is at least 1, found 0}}
exec.variable @v : tensor<4xf32> global tensor<4xf32, #exec.sharding<[[]] granule 0>> role gradient in @s + 0

// -----

exec.segment @s size 1024 in device
// expected-error @+1 {{the padding is at least 0 rows, found -1}}
exec.variable @v : tensor<4xf32> global tensor<4xf32, #exec.sharding<[[]] padding -1>> role gradient in @s + 0

// -----

exec.program target "cpu" mesh [#exec.axis<"dp", 3>] flops_per_token 0 job "" sources []
exec.segment @s size 1024 in device
// expected-error @+1 {{the padding is below the 4 rows of the global tensor, found 4}}
exec.variable @v : tensor<4xf32> global tensor<4xf32, #exec.sharding<[[]] padding 4>> role gradient in @s + 0

// -----

exec.segment @s size 1024 in device
// expected-error @+1 {{expects names of mesh axes, found 3}}
exec.variable @v : tensor<4xf32> global tensor<4xf32, #exec.sharding<[[3]]>> role gradient in @s + 0

// -----

exec.segment @s size 1024 in device
// expected-error @+1 {{axis_index needs mesh axes}}
exec.variable @v : tensor<i32> role derived in @s + 0 initializer <axis_index, 1.0>

// -----

exec.segment @s size 1024 in device
// expected-error @+1 {{constant depends on no mesh axes}}
exec.variable @v : tensor<i32> role derived in @s + 0 initializer <constant, 1.0, ["tp"]>

// -----

exec.segment @s size 1024 in device
// expected-error @+1 {{the scale of an axis_index is an integer, found 0.5}}
exec.variable @v : tensor<i32> role derived in @s + 0 initializer <axis_index, 0.5, ["tp"]>

// -----

exec.program target "cpu" mesh [#exec.axis<"dp", 3>] flops_per_token 0 job "" sources []
exec.segment @s size 1024 in device
// expected-error @+1 {{an axis_index is tensor<i32>, found 'tensor<1xi32>'}}
exec.variable @v : tensor<1xi32> role derived in @s + 0 initializer <axis_index, 1.0, ["dp"]>

// -----

exec.program target "cpu" mesh [#exec.axis<"dp", 3>] flops_per_token 0 job "" sources []
exec.segment @s size 1024 in device
// expected-error @+1 {{the axes of an axis_index are the mesh's, each once, found ["tp"]}}
exec.variable @v : tensor<i32> role derived in @s + 0 initializer <axis_index, 1.0, ["tp"]>

// -----

exec.program target "cpu" mesh [#exec.axis<"dp", 3>] flops_per_token 0 job "" sources []
exec.segment @s size 1024 in device
// expected-error @+1 {{the values of an axis_index are below 2^31, found 1.000000e+09 times 3}}
exec.variable @v : tensor<i32> role derived in @s + 0 initializer <axis_index, 1000000000.0, ["dp"]>

// -----

exec.program target "cpu" mesh [#exec.axis<"dp", 3>] flops_per_token 0 job "" sources []
exec.segment @s size 1024 in device
exec.func @f {
  // expected-error @+1 {{the axes of a rotation are the mesh's, each once, found ["tp"]}}
  %0 = exec.buffer @s + 0 rotated <["tp"], 64, 0> : memref<4xf32>
}

// -----

exec.program target "cpu" mesh [#exec.axis<"dp", 3>] flops_per_token 0 job "" sources []
exec.segment @s size 1024 in device
exec.func @f {
  // expected-error @+1 {{the shift of a rotation is below its 3 coordinates, found 3}}
  %0 = exec.buffer @s + 0 rotated <["dp"], 64, 3> : memref<4xf32>
}

// -----

exec.program target "cpu" mesh [#exec.axis<"dp", 3>] flops_per_token 0 job "" sources []
exec.segment @s size 1024 in device
exec.func @f {
  // expected-error @+1 {{the stride of a rotation is a multiple of the element's 4 bytes, found 6}}
  %0 = exec.buffer @s + 0 rotated <["dp"], 6, 0> : memref<4xf32>
}

// -----

exec.program target "cpu" mesh [#exec.axis<"dp", 3>] flops_per_token 0 job "" sources []
exec.segment @s size 1024 in device
exec.func @f {
  // expected-error @+1 {{1040 bytes at offset 0 exceed 's' of 1024 bytes}}
  %0 = exec.buffer @s + 0 rotated <["dp"], 512, 0> : memref<4xf32>
}

// -----

exec.segment @s size 1024 in device
exec.func @f {
  // expected-error @+1 {{the stride of a rotation is at least 1 byte, found 0}}
  %0 = exec.buffer @s + 0 rotated <["dp"], 0, 0> : memref<4xf32>
}

// -----

exec.segment @s size 1024 in device
exec.func @f {
  // expected-error @+1 {{the shift of a rotation is at least 0, found -1}}
  %0 = exec.buffer @s + 0 rotated <["dp"], 64, -1> : memref<4xf32>
}

// -----

exec.segment @s size 1024 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4xf32>
  // expected-error @+1 {{the value of a predicate is at least 0, found -1}}
  exec.fill %0 with 0.0 {exec.when = #exec.when<["dp"], -1>} : memref<4xf32>
}

// -----

exec.program target "cpu" mesh [#exec.axis<"dp", 3>] flops_per_token 0 job "" sources []
exec.segment @s size 1024 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4xf32>
  // expected-error @+1 {{the value of a predicate is below the 3 coordinates, found 3}}
  exec.fill %0 with 0.0 {exec.when = #exec.when<["dp"], 3>} : memref<4xf32>
}

// -----

exec.program target "cpu" mesh [#exec.axis<"dp", 3>] flops_per_token 0 job "" sources []
exec.segment @s size 1024 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4xf32>
  // expected-error @+1 {{the axes of a predicate are the mesh's, each once, found ["tp"]}}
  exec.fill %0 with 0.0 {exec.when = #exec.when<["tp"], 0>} : memref<4xf32>
}

// -----

exec.program target "cpu" mesh [#exec.axis<"dp", 3>] flops_per_token 0 job "" sources []
exec.segment @s size 1024 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4xf32>
  // expected-error @+1 {{is executed by all ranks: it may have no exec.when}}
  %1 = exec.start all_reduce sum over ["dp"] from(%0 : memref<4xf32>) to(%0 : memref<4xf32>) {exec.when = #exec.when<["dp"], 0>}
  exec.await %1
}

// -----

exec.segment @s size 1024 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4xf32>
  // expected-error @+1 {{expects exec.when to be an #exec.when, found 3}}
  exec.fill %0 with 0.0 {exec.when = 3} : memref<4xf32>
}

// -----

exec.segment @s size 1024 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4xf32>
  // expected-error @+1 {{has an attribute 'exec.maybe', which the dialect does not know}}
  exec.fill %0 with 0.0 {exec.maybe} : memref<4xf32>
}

// -----

exec.segment @s size 1024 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4xf32>
  // expected-error @+1 {{a predicate needs at least 1 mesh axis}}
  exec.fill %0 with 0.0 {exec.when = #exec.when<[], 0>} : memref<4xf32>
}

// -----

exec.program target "cpu" mesh [#exec.axis<"dp", 2>] flops_per_token 0 job "" sources []
exec.segment @s size 1024 in device
// expected-error @+1 {{expects a list of mesh axes per dimension, found "dp"}}
exec.variable @v : tensor<4xf32> global tensor<8xf32, #exec.sharding<["dp"]>> role gradient in @s + 0

// -----

exec.program target "cpu" mesh [#exec.axis<"tp", 2>] flops_per_token 0 job "" sources []
// expected-error @+1 {{rank is at least 0 and below the 0 of mesh axis 'pp', found 0}}
exec.segment @s size 128 in device rank 0

// -----

exec.segment @s size 128 in device
exec.func async @f {
  %0 = exec.buffer @s + 0 : memref<4xf32>
  // expected-error @+1 {{channel is at least 0 and below 2, found 2}}
  %1 = exec.start send none over ["pp"] peer 0 channel 2 from(%0 : memref<4xf32>) to()
}
