// Every op of the dialect prints what it parses.
// RUN: titan-opt --allow-unregistered-dialect %s | FileCheck %s
// RUN: titan-opt --allow-unregistered-dialect %s | titan-opt --allow-unregistered-dialect | FileCheck %s
// RUN: titan-opt --allow-unregistered-dialect %s --cse --canonicalize | FileCheck %s --check-prefix=ORDER

// CHECK: exec.program target "cpu" mesh [#exec.axis<"pp", 2>, #exec.axis<"tp", 4>] flops_per_token 768 job "[model]\0Aname = \22llama3\22" sources ["job.toml"]
exec.program target "cpu" mesh [#exec.axis<"pp", 2>, #exec.axis<"tp", 4>] flops_per_token 768
    job "[model]\0Aname = \"llama3\"" sources ["job.toml"]

// CHECK: exec.segment @parameters size 65536 in device
exec.segment @parameters size 65536 in device
// CHECK: exec.segment @io size 64 in pinned
exec.segment @io size 64 in pinned
// CHECK: exec.segment @scratch size 65536 in host
exec.segment @scratch size 65536 in host
exec.segment @residuals size 1024 in device
// CHECK: exec.residual_class @batch in @residuals + 0 slots 2 bytes 128
exec.residual_class @batch in @residuals + 0 slots 2 bytes 128
exec.residual_class @fwd_to_bwd in @residuals + 256 slots 2 bytes 256

// CHECK: exec.variable @layers.0.attention.wq.weight : tensor<16x16xf32> role parameter in @parameters + 0 initializer <truncated_normal, 0.000000e+00, 2.000000e-02, -2.000000e+00, 2.000000e+00>
exec.variable @layers.0.attention.wq.weight : tensor<16x16xf32> role parameter in @parameters + 0 initializer <truncated_normal, 0.0, 0.02, -2.0, 2.0>
// CHECK: exec.variable @norm.weight : tensor<16xf32> role parameter in @parameters + 1024 initializer <constant, 1.000000e+00>
exec.variable @norm.weight : tensor<16xf32> role parameter in @parameters + 1024 initializer <constant, 1.0>
// CHECK: initializer <normal, 0.000000e+00, 1.000000e-01>
exec.variable @tok_embeddings.weight : tensor<8x16xf32> role parameter in @parameters + 2048 initializer <normal, 0.0, 0.1>
// CHECK: initializer <rope_cosine, 5.000000e+05, 8.000000e+00, 1.000000e+00, 4.000000e+00, 8.192000e+03>
exec.variable @rope.cosine : tensor<8x8xf32> role derived in @parameters + 4096 initializer <rope_cosine, 500000.0, 8.0, 1.0, 4.0, 8192.0>
// CHECK: exec.variable @slice : tensor<40xf32> global tensor<8x36xf32, #exec.sharding<{{\[}}["tp"], []] flat ["pp"] granule 8>> role gradient in @parameters + 8192{{$}}
exec.variable @slice : tensor<40xf32> global tensor<8x36xf32, #exec.sharding<[["tp"], []] flat ["pp"] granule 8>> role gradient in @parameters + 8192
// CHECK: exec.variable @padded : tensor<40xf32> global tensor<8x36xf32, #exec.sharding<{{\[}}["tp"], []] flat ["pp"] granule 8 padding 3>> role gradient in @parameters + 8192{{$}}
exec.variable @padded : tensor<40xf32> global tensor<8x36xf32, #exec.sharding<[["tp"], []] flat ["pp"] granule 8 padding 3>> role gradient in @parameters + 8192
// CHECK: exec.variable @addend : tensor<f32> global tensor<f32, #exec.sharding<[] partial ["pp", "tp"]>> role counter in @parameters + 8384{{$}}
exec.variable @addend : tensor<f32> global tensor<f32, #exec.sharding<[] partial ["pp", "tp"]>> role counter in @parameters + 8384
// CHECK: exec.variable @first_row : tensor<i32> role derived in @parameters + 8448 initializer <axis_index, 5.120000e+02, ["pp", "tp"]>
exec.variable @first_row : tensor<i32> role derived in @parameters + 8448 initializer <axis_index, 512.0, ["pp", "tp"]>
// CHECK: exec.variable @tokens : tensor<2x8xi32> role input in @batch + 0{{$}}
exec.variable @tokens : tensor<2x8xi32> role input in @batch + 0
// CHECK: exec.variable @loss_sum : tensor<f32> role output in @io + 0{{$}}
exec.variable @loss_sum : tensor<f32> role output in @io + 0

// CHECK: exec.image @cpu target "x86-64" features ["avx2", "fma"]{{$}}
exec.image @cpu target "x86-64" features ["avx2", "fma"]
// CHECK: exec.image @bytes target "x86-64" features [] contents dense_resource<bytes> : tensor<4xi8>
exec.image @bytes target "x86-64" features [] contents dense_resource<bytes> : tensor<4xi8>

// CHECK: exec.kernel @scale(read memref<16xf32>, write memref<4x16xf32, strided<[32, 1]>>, readwrite memref<f32>) stages [#exec.stage<"scale_0", 4>, #exec.stage<"scale_1", 1>] cost <flops = 64, bytes = 256> image @cpu
exec.kernel @scale(read memref<16xf32>, write memref<4x16xf32, strided<[32, 1]>>, readwrite memref<f32>)
    stages [#exec.stage<"scale_0", 4>, #exec.stage<"scale_1", 1>] cost <flops = 64, bytes = 256> image @cpu
// CHECK: exec.kernel @unemitted(read memref<16xf32>) stages [] {
// CHECK-NEXT: ^bb0(%{{.*}}: tensor<16xf32>):
exec.kernel @unemitted(read memref<16xf32>) stages [] {
^bb0(%argument : tensor<16xf32>):
  "kernel.end"(%argument) : (tensor<16xf32>) -> ()
}

// CHECK-LABEL: exec.func @fwd cost <flops = 100, bytes = 200>
// ORDER-LABEL: exec.func @fwd
exec.func @fwd cost <flops = 100, bytes = 200> {
  // CHECK: %[[NORM:.*]] = exec.buffer @parameters + 1024 : memref<16xf32>
  %norm = exec.buffer @parameters + 1024 : memref<16xf32>
  %again = exec.buffer @parameters + 1024 : memref<16xf32>
  // CHECK: %[[ROWS:.*]] = exec.buffer @scratch + 64 rotated <["tp"], 128, 3> : memref<4x8xf32>
  %rows = exec.buffer @scratch + 64 rotated <["tp"], 128, 3> : memref<4x8xf32>
  // CHECK: exec.fill %[[ROWS]] with 0.000000e+00 {exec.when = #exec.when<["pp", "tp"], 7>} : memref<4x8xf32>
  exec.fill %rows with 0.0 {exec.when = #exec.when<["pp", "tp"], 7>} : memref<4x8xf32>
  %wide = exec.buffer @scratch + 0 : memref<4x16xf32, strided<[32, 1]>>
  %scalar = exec.buffer @io + 0 : memref<f32>
  // CHECK: exec.launch @scale(%[[NORM]], %{{.*}}, %{{.*}}) : memref<16xf32>, memref<4x16xf32, strided<[32, 1]>>, memref<f32>
  // ORDER: exec.launch
  exec.launch @scale(%norm, %wide, %scalar) : memref<16xf32>, memref<4x16xf32, strided<[32, 1]>>, memref<f32>
  // ORDER: exec.launch
  exec.launch @scale(%again, %wide, %scalar) : memref<16xf32>, memref<4x16xf32, strided<[32, 1]>>, memref<f32>

  %w = exec.buffer @parameters + 0 : memref<16x16xf32>
  %x = exec.buffer @fwd_to_bwd + 0 : memref<2x2x16xf32>
  %y = exec.buffer @scratch + 4096 : memref<4x16xf32>
  %space = exec.buffer @scratch + 8192 : memref<1024xui8>
  // CHECK: exec.gemm %{{.*}}, %{{.*}} transposed into %{{.*}} m 4 n 16 k 16 lda 16 ldb 16 ldc 16 : memref<2x2x16xf32>, memref<16x16xf32> into memref<4x16xf32>
  // ORDER: exec.gemm
  exec.gemm %x, %w transposed into %y m 4 n 16 k 16 lda 16 ldb 16 ldc 16 : memref<2x2x16xf32>, memref<16x16xf32> into memref<4x16xf32>
  // CHECK: exec.gemm %{{.*}} transposed, %{{.*}} into %{{.*}} accumulate workspace %{{.*}} m 2 n 16 k 2 lda 16 ldb 16 ldc 16 batch 2 strides(32, 32, 32) : memref<2x2x16xf32>, memref<16x16xf32> into memref<4x16xf32> workspace memref<1024xui8>
  // ORDER: exec.gemm
  exec.gemm %x transposed, %w into %y accumulate workspace %space m 2 n 16 k 2 lda 16 ldb 16 ldc 16 batch 2 strides (32, 32, 32) : memref<2x2x16xf32>, memref<16x16xf32> into memref<4x16xf32> workspace memref<1024xui8>

  // ORDER: exec.fill
  // CHECK: exec.fill %{{.*}} with 1.000000e+00 : memref<f32>
  exec.fill %scalar with 1.0 : memref<f32>
  // ORDER: exec.copy
  // CHECK: exec.copy %{{.*}} into %{{.*}} : memref<4x16xf32> into memref<4x16xf32, strided<[32, 1]>>
  exec.copy %y into %wide : memref<4x16xf32> into memref<4x16xf32, strided<[32, 1]>>
  // ORDER: exec.check_finite
  // CHECK: exec.check_finite(%{{.*}}, %{{.*}}) into %{{.*}} : memref<4x16xf32>, memref<16x16xf32> into memref<f32>
  exec.check_finite (%y, %w) into %scalar : memref<4x16xf32>, memref<16x16xf32> into memref<f32>
}

// CHECK-LABEL: exec.func @attention
exec.func @attention {
  %q = exec.buffer @scratch + 0 : memref<2x4x4x8xf32, strided<[192, 48, 8, 1]>>
  %k = exec.buffer @scratch + 128 : memref<2x4x2x8xf32, strided<[192, 48, 8, 1]>>
  %out = exec.buffer @scratch + 4096 : memref<2x4x4x8xf32>
  %kv = exec.buffer @scratch + 8192 : memref<2x4x2x8xf32>
  %lse = exec.buffer @scratch + 6144 : memref<2x4x4xf32>
  %positions = exec.buffer @batch + 0 : memref<2x4xi32>
  %space = exec.buffer @scratch + 16384 : memref<64xui8>
  // CHECK: exec.attention causal scale 1.250000e-01(%{{.*}}, %{{.*}}, %{{.*}} : memref<2x4x4x8xf32, strided<[192, 48, 8, 1]>>, memref<2x4x2x8xf32, strided<[192, 48, 8, 1]>>, memref<2x4x2x8xf32, strided<[192, 48, 8, 1]>>) positions(%{{.*}}, %{{.*}} : memref<2x4xi32>, memref<2x4xi32>) into(%{{.*}}, %{{.*}} : memref<2x4x4x8xf32>, memref<2x4x4xf32>) scratch %{{.*}} : memref<64xui8>
  exec.attention causal scale 0.125 (%q, %k, %k : memref<2x4x4x8xf32, strided<[192, 48, 8, 1]>>, memref<2x4x2x8xf32, strided<[192, 48, 8, 1]>>, memref<2x4x2x8xf32, strided<[192, 48, 8, 1]>>)
      positions (%positions, %positions : memref<2x4xi32>, memref<2x4xi32>) into (%out, %lse : memref<2x4x4x8xf32>, memref<2x4x4xf32>) scratch %space : memref<64xui8>
  // CHECK: exec.attention_grad scale 1.250000e-01(
  exec.attention_grad scale 0.125 (%q, %k, %k, %out, %lse, %out : memref<2x4x4x8xf32, strided<[192, 48, 8, 1]>>, memref<2x4x2x8xf32, strided<[192, 48, 8, 1]>>, memref<2x4x2x8xf32, strided<[192, 48, 8, 1]>>, memref<2x4x4x8xf32>, memref<2x4x4xf32>, memref<2x4x4x8xf32>)
      into (%out, %kv, %kv : memref<2x4x4x8xf32>, memref<2x4x2x8xf32>, memref<2x4x2x8xf32>)
  // CHECK: exec.attention_grad causal scale 1.250000e-01({{.*}}) positions(%{{.*}}, %{{.*}} : memref<2x4xi32>, memref<2x4xi32>) into(
  exec.attention_grad causal scale 0.125 (%q, %k, %k, %out, %lse, %out : memref<2x4x4x8xf32, strided<[192, 48, 8, 1]>>, memref<2x4x2x8xf32, strided<[192, 48, 8, 1]>>, memref<2x4x2x8xf32, strided<[192, 48, 8, 1]>>, memref<2x4x4x8xf32>, memref<2x4x4xf32>, memref<2x4x4x8xf32>)
      positions (%positions, %positions : memref<2x4xi32>, memref<2x4xi32>) into (%out, %kv, %kv : memref<2x4x4x8xf32>, memref<2x4x2x8xf32>, memref<2x4x2x8xf32>)
}

// CHECK-LABEL: exec.func @embedding
exec.func @embedding {
  %tokens = exec.buffer @batch + 0 : memref<2x8xi32>
  %table = exec.buffer @parameters + 2048 : memref<8x16xf32>
  %out = exec.buffer @scratch + 0 : memref<2x8x16xf32>
  // CHECK: exec.embedding(%{{.*}}, %{{.*}}) into %{{.*}} : memref<2x8xi32>, memref<8x16xf32> into memref<2x8x16xf32>
  exec.embedding (%tokens, %table) into %out : memref<2x8xi32>, memref<8x16xf32> into memref<2x8x16xf32>
  // CHECK: exec.embedding_grad(%{{.*}}, %{{.*}}) into %{{.*}} : memref<2x8x16xf32>, memref<2x8xi32> into memref<8x16xf32>
  exec.embedding_grad (%out, %tokens) into %table : memref<2x8x16xf32>, memref<2x8xi32> into memref<8x16xf32>
  %first = exec.buffer @io + 0 : memref<i32>
  // CHECK: exec.embedding(%{{.*}}, %{{.*}}) into %{{.*}} from %{{.*}} : memref<2x8xi32>, memref<8x16xf32> into memref<2x8x16xf32> from memref<i32>
  exec.embedding (%tokens, %table) into %out from %first : memref<2x8xi32>, memref<8x16xf32> into memref<2x8x16xf32> from memref<i32>
  // CHECK: exec.embedding_grad(%{{.*}}, %{{.*}}) into %{{.*}} from %{{.*}} : memref<2x8x16xf32>, memref<2x8xi32> into memref<8x16xf32> from memref<i32>
  exec.embedding_grad (%out, %tokens) into %table from %first : memref<2x8x16xf32>, memref<2x8xi32> into memref<8x16xf32> from memref<i32>
}

// CHECK-LABEL: exec.func @collectives
exec.func @collectives {
  %shard = exec.buffer @scratch + 0 : memref<4xf32>
  %whole = exec.buffer @scratch + 64 : memref<16xf32>
  // CHECK: %[[GATHER:.*]] = exec.start all_gather none over ["tp"] from(%{{.*}} : memref<4xf32>) to(%{{.*}} : memref<16xf32>)
  %gather = exec.start all_gather none over ["tp"] from (%shard : memref<4xf32>) to (%whole : memref<16xf32>)
  // CHECK: exec.start reduce_scatter sum
  %scatter = exec.start reduce_scatter sum over ["tp"] from (%whole : memref<16xf32>) to (%shard : memref<4xf32>)
  // CHECK: exec.await %[[GATHER]]
  exec.await %gather
  exec.await %scatter
}

// CHECK-LABEL: exec.func async @receive
exec.func async @receive {
  %whole = exec.buffer @fwd_to_bwd + 64 : memref<16xf32>
  // CHECK: exec.start receive none over ["pp"] peer 0 from() to(%{{.*}} : memref<16xf32>)
  %token = exec.start receive none over ["pp"] peer 0 from () to (%whole : memref<16xf32>)
}

exec.func @none {
}

// CHECK-LABEL: exec.timeline @train prologue {
// CHECK-NEXT: exec.action run P @none stage 0 microbatch 0 slots()
// CHECK: } body {
// CHECK: exec.action start V @receive stage 0 microbatch 1 slots(@fwd_to_bwd = 1)
// CHECK: } epilogue {
exec.timeline @train prologue {
  exec.action run P @none stage 0 microbatch 0 slots()
} body {
  exec.action run F @fwd stage 0 microbatch 0 slots(@fwd_to_bwd = 0)
  exec.action start V @receive stage 0 microbatch 1 slots(@fwd_to_bwd = 1)
  exec.action await V @receive stage 0 microbatch 1 slots(@fwd_to_bwd = 1)
  exec.action run F @fwd stage 0 microbatch 1 slots(@fwd_to_bwd = 1)
  exec.action run B @attention stage 0 microbatch 0 slots(@batch = 0, @fwd_to_bwd = 0)
  exec.action run B @attention stage 0 microbatch 1 slots(@batch = 0, @fwd_to_bwd = 1)
} epilogue {
  exec.action run O @none stage 0 microbatch 0 slots()
}

{-#
  dialect_resources: {
    builtin: {
      bytes: "0x4000000001020304"
    }
  }
#-}
