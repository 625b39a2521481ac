// Errors of what stands at module level.
// RUN: titan-opt %s --split-input-file --verify-diagnostics --allow-unregistered-dialect

exec.program target "cpu" mesh [] flops_per_token 1 job "" sources []
// expected-error @+1 {{stands once in a module, found a second one}}
exec.program target "cpu" mesh [] flops_per_token 1 job "" sources []

// -----

// expected-error @+1 {{needs a target such as 'cpu', found an empty string}}
exec.program target "" mesh [] flops_per_token 1 job "" sources []

// -----

// expected-error @+1 {{flops_per_token is at least 0, found -1}}
exec.program target "cpu" mesh [] flops_per_token -1 job "" sources []

// -----

// expected-error @+1 {{mesh axis 'tp' stands twice in the mesh}}
exec.program target "cpu" mesh [#exec.axis<"tp", 2>, #exec.axis<"tp", 4>] flops_per_token 1 job "" sources []

// -----

// expected-error @+1 {{the size of a mesh axis is at least 1, found 0 for 'tp'}}
exec.program target "cpu" mesh [#exec.axis<"tp", 0>] flops_per_token 1 job "" sources []

// -----

// expected-error @+1 {{a mesh axis needs a name, found an empty one}}
exec.program target "cpu" mesh [#exec.axis<"", 1>] flops_per_token 1 job "" sources []

// -----

// expected-error @+1 {{size is at least 0, found -64}}
exec.segment @s size -64 in device

// -----

exec.segment @s size 256 in device
// expected-error @+1 {{offset is a multiple of 64, found 8}}
exec.residual_class @c in @s + 8 slots 1 bytes 64

// -----

exec.segment @s size 256 in device
// expected-error @+1 {{has at least 1 slot, found 0}}
exec.residual_class @c in @s + 0 slots 0 bytes 64

// -----

exec.segment @s size 256 in device
// expected-error @+1 {{bytes per slot are a positive multiple of 64, found 32}}
exec.residual_class @c in @s + 0 slots 1 bytes 32

// -----

exec.segment @s size 256 in device
// expected-error @+1 {{'t' is no segment}}
exec.residual_class @c in @t + 0 slots 1 bytes 64

// -----

exec.segment @s size 256 in device
// expected-error @+1 {{4 slots of 64 bytes at offset 64 exceed segment 's' of 256 bytes}}
exec.residual_class @c in @s + 64 slots 4 bytes 64

// -----

exec.segment @s size 256 in device
// expected-error @+1 {{9223372036854775807 slots of 64 bytes at offset 0 exceed segment 's' of 256 bytes}}
exec.residual_class @c in @s + 0 slots 9223372036854775807 bytes 64

// -----

exec.segment @s size 256 in device
// expected-error @+1 {{type is a plain, static, nonempty tensor of rank at most 6 over an element type of the program format, found 'tensor<?xf32>'}}
exec.variable @v : tensor<?xf32> role output in @s + 0

// -----

exec.segment @s size 256 in device
// expected-error @+1 {{found 'tensor<4xi16>'}}
exec.variable @v : tensor<4xi16> role output in @s + 0

// -----

exec.segment @s size 256 in device
// expected-error @+1 {{found 'tensor<0xf32>'}}
exec.variable @v : tensor<0xf32> role output in @s + 0

// -----

exec.segment @s size 256 in device
// expected-error @+1 {{found 'tensor<1x1x1x1x1x1x1xf32>'}}
exec.variable @v : tensor<1x1x1x1x1x1x1xf32> role output in @s + 0

// -----

exec.segment @s size 256 in device
// expected-error @+1 {{offset is a multiple of 64, found 4}}
exec.variable @v : tensor<4xf32> role output in @s + 4

// -----

exec.segment @s size 256 in device
// expected-error @+1 {{is a parameter and needs an initializer}}
exec.variable @v : tensor<4xf32> role parameter in @s + 0

// -----

exec.segment @s size 256 in device
// expected-error @+1 {{260 bytes at offset 0 exceed 's' of 256 bytes}}
exec.variable @v : tensor<65xf32> role output in @s + 0

// -----

exec.segment @s size 256 in device
// expected-error @+1 {{4 bytes at offset 512 exceed 's' of 256 bytes}}
exec.variable @v : tensor<f32> role output in @s + 512

// -----

exec.segment @s size 256 in device
// expected-error @+1 {{'t' is no segment and no residual class}}
exec.variable @v : tensor<f32> role output in @t + 0

// -----

exec.segment @s size 256 in device
exec.residual_class @c in @s + 0 slots 2 bytes 64
// expected-error @+1 {{68 bytes at offset 0 exceed 'c' of 64 bytes}}
exec.variable @v : tensor<17xf32> role input in @c + 0

// -----

exec.segment @s size 256 in device
// expected-error @+1 {{'uniform' is no distribution: expected constant, normal, truncated_normal, rope_cosine, rope_sine or axis_index}}
exec.variable @v : tensor<f32> role parameter in @s + 0 initializer <uniform, 0.0>

// -----

exec.segment @s size 256 in device
// expected-error @+1 {{normal takes 2 numbers, found 1}}
exec.variable @v : tensor<f32> role parameter in @s + 0 initializer <normal, 0.0>

// -----

exec.segment @s size 256 in device
// expected-error @+1 {{the numbers of a rotary table are positive, found 0}}
exec.variable @v : tensor<f32> role parameter in @s + 0 initializer <rope_sine, 10000.0, 8.0, 0.0, 4.0, 8192.0>

// -----

exec.segment @s size 256 in device
// expected-error @+1 {{the standard deviation of an initializer is at least 0, found -1}}
exec.variable @v : tensor<f32> role parameter in @s + 0 initializer <normal, 0.0, -1.0>

// -----

exec.segment @s size 256 in device
// expected-error @+1 {{an initializer's numbers are finite doubles, found +Inf}}
exec.variable @v : tensor<f32> role parameter in @s + 0 initializer <constant, 0x7FF0000000000000>

// -----

exec.segment @s size 256 in device
// expected-error @+1 {{the bounds of a truncated_normal are increasing, found 2 and -2}}
exec.variable @v : tensor<f32> role parameter in @s + 0 initializer <truncated_normal, 0.0, 1.0, 2.0, -2.0>

// -----

exec.segment @s size 256 in device
// expected-error @+1 {{the mean of a truncated_normal lies within its bounds, found 3 outside [-2, 2]}}
exec.variable @v : tensor<f32> role parameter in @s + 0 initializer <truncated_normal, 3.0, 1.0, -2.0, 2.0>

// -----

// expected-error @+1 {{needs a target such as 'x86-64', found an empty string}}
exec.image @i target "" features []

// -----

// expected-error @+1 {{contents are a dense_resource of rank 1 over i8}}
exec.image @i target "x86-64" features [] contents dense<0> : tensor<4xi8>

// -----

// expected-error @+1 {{contents have 4 bytes, their type says 5}}
exec.image @i target "x86-64" features [] contents dense_resource<bytes> : tensor<5xi8>

{-#
  dialect_resources: {
    builtin: {
      bytes: "0x4000000001020304"
    }
  }
#-}

// -----

// expected-error @+1 {{'update' is no access: expected read, write or readwrite}}
exec.kernel @k(update memref<4xf32>) stages [#exec.stage<"s", 1>]

// -----

// expected-error @+1 {{has 1 argument types, but 0 accesses}}
"exec.kernel"() <{sym_name = "k", argument_types = [memref<4xf32>], accesses = [], stages = []}> ({}) : () -> ()

// -----

// expected-error @+1 {{argument #1 is no buffer type, found 'memref<?xf32>'}}
exec.kernel @k(read memref<4xf32>, write memref<?xf32>) stages [#exec.stage<"s", 1>]

// -----

// expected-error @+1 {{argument #1 is no buffer type, found 'memref<4xf32, strided<[1], offset: 4>>'}}
exec.kernel @k(read memref<4xf32>, write memref<4xf32, strided<[1], offset: 4>>) stages [#exec.stage<"s", 1>]

// -----

// expected-error @+1 {{argument #1 is no buffer type, found 'memref<4xf32, strided<[-1]>>'}}
exec.kernel @k(read memref<4xf32>, write memref<4xf32, strided<[-1]>>) stages [#exec.stage<"s", 1>]

// -----

// expected-error @+1 {{argument #1 is no buffer type, found 'memref<4xi16>'}}
exec.kernel @k(read memref<4xf32>, write memref<4xi16>) stages [#exec.stage<"s", 1>]

// -----

// expected-error @+1 {{argument #1 is no buffer type, found 'memref<4xf32, 1>'}}
exec.kernel @k(read memref<4xf32>, write memref<4xf32, 1>) stages [#exec.stage<"s", 1>]

// -----

// expected-error @+1 {{needs a body or at least 1 stage}}
exec.kernel @k(read memref<4xf32>) stages []

// -----

// expected-error @+1 {{body has at most 1 block, found 2}}
exec.kernel @k(read memref<4xf32>) stages [] {
  "kernel.branch"()[^bb1] : () -> ()
^bb1:
  "kernel.end"() : () -> ()
}

// -----

// expected-error @+1 {{a stage has at least 1 block, found 0 in 's'}}
exec.kernel @k(read memref<4xf32>) stages [#exec.stage<"s", 0>]

// -----

// expected-error @+1 {{a block's threads are a power of two from 32 to 1024, found 48 in 's'}}
exec.kernel @k(read memref<4xf32>) stages [#exec.stage<"s", 1 threads 48>]

// -----

// expected-error @+1 {{a stage needs a symbol, found an empty name}}
exec.kernel @k(read memref<4xf32>) stages [#exec.stage<"", 1>]

// -----

// expected-error @+1 {{a cost is not negative, found flops -1 and bytes 2}}
exec.kernel @k(read memref<4xf32>) stages [#exec.stage<"s", 1>] cost <flops = -1, bytes = 2>

// -----

// expected-error @+1 {{'cpu' is no image}}
exec.kernel @k(read memref<4xf32>) stages [#exec.stage<"s", 1>] image @cpu

// -----

exec.func @f {
  // expected-error @+1 {{is no instruction: a function holds exec ops only}}
  "other.op"() : () -> ()
}

// -----

// expected-error @+1 {{is async and starts no collective}}
exec.func async @f {
}

// -----

exec.segment @s size 256 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4xf32>
  // expected-error @+1 {{is awaited once in its function, found 0 awaits}}
  %1 = exec.start all_reduce sum over ["tp"] from (%0 : memref<4xf32>) to (%0 : memref<4xf32>)
}

// -----

exec.segment @s size 256 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4xf32>
  // expected-error @+1 {{is awaited once in its function, found 2 awaits}}
  %1 = exec.start all_reduce sum over ["tp"] from (%0 : memref<4xf32>) to (%0 : memref<4xf32>)
  exec.await %1
  exec.await %1
}

// -----

exec.segment @s size 256 in device
exec.func async @f {
  %0 = exec.buffer @s + 0 : memref<4xf32>
  %1 = exec.start all_reduce sum over ["tp"] from (%0 : memref<4xf32>) to (%0 : memref<4xf32>)
  // expected-error @+1 {{stands in an async function, whose tokens timelines await}}
  exec.await %1
}
