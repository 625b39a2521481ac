// Errors of instructions.
// RUN: titan-opt %s --split-input-file --verify-diagnostics --allow-unregistered-dialect

exec.segment @s size 4096 in device
exec.func @f {
  // expected-error @+1 {{offset is a multiple of the element's 4 bytes, found 2}}
  %0 = exec.buffer @s + 2 : memref<4xf32>
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  // expected-error @+1 {{offset is a multiple of the element's 4 bytes, found -4}}
  %0 = exec.buffer @s + -4 : memref<4xf32>
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  // expected-error @+1 {{'t' is no segment and no residual class}}
  %0 = exec.buffer @t + 0 : memref<4xf32>
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  // expected-error @+1 {{52 bytes at offset 4048 exceed 's' of 4096 bytes}}
  %0 = exec.buffer @s + 4048 : memref<2x5xf32, strided<[8, 1]>>
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  // expected-error @+1 {{result #0 must be memref of rank at most 6 with static extents and static positive strides at offset 0 over an element type of the program format, but got 'memref<?xf32>'}}
  %0 = exec.buffer @s + 0 : memref<?xf32>
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4xf32>
  // expected-error @+1 {{'j' is no kernel}}
  exec.launch @j(%0) : memref<4xf32>
}

// -----

exec.segment @s size 4096 in device
exec.kernel @k(read memref<4xf32>, write memref<4xf32>) stages [#exec.stage<"s", 1>]
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4xf32>
  // expected-error @+1 {{passes 1 buffers, kernel 'k' takes 2}}
  exec.launch @k(%0) : memref<4xf32>
}

// -----

exec.segment @s size 4096 in device
exec.kernel @k(read memref<4xf32>, write memref<4xf32>) stages [#exec.stage<"s", 1>]
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4xf32>
  %1 = exec.buffer @s + 0 : memref<8xf32>
  // expected-error @+1 {{buffer #1 is 'memref<8xf32>', kernel 'k' takes 'memref<4xf32>'}}
  exec.launch @k(%0, %1) : memref<4xf32>, memref<8xf32>
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4x8xf32>
  %1 = exec.buffer @s + 0 : memref<8x2xf32>
  %2 = exec.buffer @s + 0 : memref<4x2xf32>
  // expected-error @+1 {{m, n, k and batch are at least 1, found 0, 2, 8 and 1}}
  exec.gemm %0, %1 into %2 m 0 n 2 k 8 lda 8 ldb 2 ldc 2 : memref<4x8xf32>, memref<8x2xf32> into memref<4x2xf32>
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4x8xf32>
  %1 = exec.buffer @s + 0 : memref<8x2xf32>
  %2 = exec.buffer @s + 0 : memref<4x2xf32>
  // expected-error @+1 {{lda is at least the 8 stored columns, found 7}}
  exec.gemm %0, %1 into %2 m 4 n 2 k 8 lda 7 ldb 2 ldc 2 : memref<4x8xf32>, memref<8x2xf32> into memref<4x2xf32>
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4x8xf32>
  %1 = exec.buffer @s + 0 : memref<8x2xf32>
  %2 = exec.buffer @s + 0 : memref<4x2xf32>
  // expected-error @+1 {{ldb is at least the 8 stored columns, found 2}}
  exec.gemm %0, %1 transposed into %2 m 4 n 2 k 8 lda 8 ldb 2 ldc 2 : memref<4x8xf32>, memref<8x2xf32> into memref<4x2xf32>
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4x8xf32>
  %1 = exec.buffer @s + 0 : memref<8x2xf32>
  %2 = exec.buffer @s + 0 : memref<4x2xf32>
  // expected-error @+1 {{a needs 40 elements, its buffer spans 32}}
  exec.gemm %0, %1 into %2 m 5 n 2 k 8 lda 8 ldb 2 ldc 2 : memref<4x8xf32>, memref<8x2xf32> into memref<4x2xf32>
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4x8xf32>
  %1 = exec.buffer @s + 0 : memref<8x2xf32>
  %2 = exec.buffer @s + 0 : memref<4x2xf32>
  // expected-error @+1 {{b needs 18 elements, its buffer spans 16}}
  exec.gemm %0 transposed, %1 into %2 m 2 n 2 k 9 lda 2 ldb 2 ldc 2 : memref<4x8xf32>, memref<8x2xf32> into memref<4x2xf32>
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4x8xf32>
  %1 = exec.buffer @s + 0 : memref<8x2xf32>
  %2 = exec.buffer @s + 0 : memref<4x2xf32>
  // expected-error @+1 {{c needs 11 elements, its buffer spans 8}}
  exec.gemm %0, %1 into %2 m 4 n 2 k 8 lda 8 ldb 2 ldc 3 : memref<4x8xf32>, memref<8x2xf32> into memref<4x2xf32>
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4x8xf32>
  %1 = exec.buffer @s + 0 : memref<8x2xf32>
  %2 = exec.buffer @s + 0 : memref<4x2xf32>
  // expected-error @+1 {{stride_a is at least 0, found -8}}
  exec.gemm %0, %1 into %2 m 1 n 2 k 8 lda 8 ldb 2 ldc 2 batch 2 strides (-8, 0, 2) : memref<4x8xf32>, memref<8x2xf32> into memref<4x2xf32>
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4x8xf32>
  %1 = exec.buffer @s + 0 : memref<8x2xf32>
  %2 = exec.buffer @s + 0 : memref<4x2xf32>
  // expected-error @+1 {{items of c overlap: stride_c is at least 4, found 2}}
  exec.gemm %0, %1 into %2 m 2 n 2 k 8 lda 8 ldb 2 ldc 2 batch 2 strides (16, 0, 2) : memref<4x8xf32>, memref<8x2xf32> into memref<4x2xf32>
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4x8xf32>
  %1 = exec.buffer @s + 0 : memref<8x2xf32>
  %2 = exec.buffer @s + 0 : memref<4x2xf32>
  // expected-error @+1 {{m, n, k and batch are at least 1, found 2, 2, 8 and 0}}
  exec.gemm %0, %1 into %2 m 2 n 2 k 8 lda 8 ldb 2 ldc 2 batch 0 strides (0, 0, 0) : memref<4x8xf32>, memref<8x2xf32> into memref<4x2xf32>
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %q = exec.buffer @s + 0 : memref<2x4x8xf32>
  %k = exec.buffer @s + 0 : memref<2x4x2x8xf32>
  %v = exec.buffer @s + 0 : memref<2x4x2x8xf32>
  %out = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %lse = exec.buffer @s + 0 : memref<2x4x4xf32>
  // expected-error @+1 {{q and k have rank 4, found 3 and 4}}
  exec.attention causal scale 0.5 (%q, %k, %v : memref<2x4x8xf32>, memref<2x4x2x8xf32>, memref<2x4x2x8xf32>) into (%out, %lse : memref<2x4x4x8xf32>, memref<2x4x4xf32>)
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %q = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %k = exec.buffer @s + 0 : memref<1x4x2x8xf32>
  %v = exec.buffer @s + 0 : memref<2x4x2x8xf32>
  %out = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %lse = exec.buffer @s + 0 : memref<2x4x4xf32>
  // expected-error @+1 {{q and k agree in batch and dim, found 2 and 1, 8 and 8}}
  exec.attention causal scale 0.5 (%q, %k, %v : memref<2x4x4x8xf32>, memref<1x4x2x8xf32>, memref<2x4x2x8xf32>) into (%out, %lse : memref<2x4x4x8xf32>, memref<2x4x4xf32>)
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %q = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %k = exec.buffer @s + 0 : memref<2x4x2x4xf32>
  %v = exec.buffer @s + 0 : memref<2x4x2x8xf32>
  %out = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %lse = exec.buffer @s + 0 : memref<2x4x4xf32>
  // expected-error @+1 {{q and k agree in batch and dim, found 2 and 2, 8 and 4}}
  exec.attention causal scale 0.5 (%q, %k, %v : memref<2x4x4x8xf32>, memref<2x4x2x4xf32>, memref<2x4x2x8xf32>) into (%out, %lse : memref<2x4x4x8xf32>, memref<2x4x4xf32>)
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %q = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %k = exec.buffer @s + 0 : memref<2x4x3x8xf32>
  %v = exec.buffer @s + 0 : memref<2x4x2x8xf32>
  %out = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %lse = exec.buffer @s + 0 : memref<2x4x4xf32>
  // expected-error @+1 {{heads are a multiple of kv heads, found 4 and 3}}
  exec.attention causal scale 0.5 (%q, %k, %v : memref<2x4x4x8xf32>, memref<2x4x3x8xf32>, memref<2x4x2x8xf32>) into (%out, %lse : memref<2x4x4x8xf32>, memref<2x4x4xf32>)
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %q = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %k = exec.buffer @s + 0 : memref<2x4x2x8xf32>
  %v = exec.buffer @s + 0 : memref<2x4x1x8xf32>
  %out = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %lse = exec.buffer @s + 0 : memref<2x4x4xf32>
  // expected-error @+1 {{v has shape [2, 4, 1, 8], expected [2, 4, 2, 8]}}
  exec.attention causal scale 0.5 (%q, %k, %v : memref<2x4x4x8xf32>, memref<2x4x2x8xf32>, memref<2x4x1x8xf32>) into (%out, %lse : memref<2x4x4x8xf32>, memref<2x4x4xf32>)
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %q = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %k = exec.buffer @s + 0 : memref<2x4x2x8xf32>
  %v = exec.buffer @s + 0 : memref<2x4x2x8xf32>
  %out = exec.buffer @s + 0 : memref<2x4x4x4xf32>
  %lse = exec.buffer @s + 0 : memref<2x4x4xf32>
  // expected-error @+1 {{out has shape [2, 4, 4, 4], expected [2, 4, 4, 8]}}
  exec.attention causal scale 0.5 (%q, %k, %v : memref<2x4x4x8xf32>, memref<2x4x2x8xf32>, memref<2x4x2x8xf32>) into (%out, %lse : memref<2x4x4x4xf32>, memref<2x4x4xf32>)
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %q = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %k = exec.buffer @s + 0 : memref<2x4x2x8xf32>
  %v = exec.buffer @s + 0 : memref<2x4x2x8xf32>
  %out = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %lse = exec.buffer @s + 0 : memref<2x4x2xf32>
  // expected-error @+1 {{lse has shape [2, 4, 2], expected [2, 4, 4]}}
  exec.attention causal scale 0.5 (%q, %k, %v : memref<2x4x4x8xf32>, memref<2x4x2x8xf32>, memref<2x4x2x8xf32>) into (%out, %lse : memref<2x4x4x8xf32>, memref<2x4x2xf32>)
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %q = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %k = exec.buffer @s + 0 : memref<2x4x2x8xf32>
  %v = exec.buffer @s + 0 : memref<2x4x2x8xf32>
  %out = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %lse = exec.buffer @s + 0 : memref<2x4x4xbf16>
  // expected-error @+1 {{lse has element type 'bf16', expected 'f32'}}
  exec.attention causal scale 0.5 (%q, %k, %v : memref<2x4x4x8xf32>, memref<2x4x2x8xf32>, memref<2x4x2x8xf32>) into (%out, %lse : memref<2x4x4x8xf32>, memref<2x4x4xbf16>)
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %q = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %k = exec.buffer @s + 0 : memref<2x4x2x8xbf16>
  %v = exec.buffer @s + 0 : memref<2x4x2x8xf32>
  %out = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %lse = exec.buffer @s + 0 : memref<2x4x4xf32>
  // expected-error @+1 {{k has element type 'bf16', expected 'f32'}}
  exec.attention causal scale 0.5 (%q, %k, %v : memref<2x4x4x8xf32>, memref<2x4x2x8xbf16>, memref<2x4x2x8xf32>) into (%out, %lse : memref<2x4x4x8xf32>, memref<2x4x4xf32>)
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %q = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %k = exec.buffer @s + 0 : memref<2x6x2x8xf32>
  %v = exec.buffer @s + 0 : memref<2x6x2x8xf32>
  %out = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %lse = exec.buffer @s + 0 : memref<2x4x4xf32>
  %p0 = exec.buffer @s + 0 : memref<2x3xi32>
  %p1 = exec.buffer @s + 0 : memref<2x6xi32>
  // expected-error @+1 {{query positions has shape [2, 3], expected [2, 4]}}
  exec.attention causal scale 0.5 (%q, %k, %v : memref<2x4x4x8xf32>, memref<2x6x2x8xf32>, memref<2x6x2x8xf32>) positions (%p0, %p1 : memref<2x3xi32>, memref<2x6xi32>) into (%out, %lse : memref<2x4x4x8xf32>, memref<2x4x4xf32>)
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %q = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %k = exec.buffer @s + 0 : memref<2x6x2x8xf32>
  %v = exec.buffer @s + 0 : memref<2x6x2x8xf32>
  %out = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %lse = exec.buffer @s + 0 : memref<2x4x4xf32>
  %p0 = exec.buffer @s + 0 : memref<2x4xi32>
  %p1 = exec.buffer @s + 0 : memref<2x4xi32>
  // expected-error @+1 {{key positions has shape [2, 4], expected [2, 6]}}
  exec.attention causal scale 0.5 (%q, %k, %v : memref<2x4x4x8xf32>, memref<2x6x2x8xf32>, memref<2x6x2x8xf32>) positions (%p0, %p1 : memref<2x4xi32>, memref<2x4xi32>) into (%out, %lse : memref<2x4x4x8xf32>, memref<2x4x4xf32>)
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %q = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %k = exec.buffer @s + 0 : memref<2x6x2x8xf32>
  %v = exec.buffer @s + 0 : memref<2x6x2x8xf32>
  %out = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %lse = exec.buffer @s + 0 : memref<2x4x4xf32>
  %p0 = exec.buffer @s + 0 : memref<2x4xi64>
  %p1 = exec.buffer @s + 0 : memref<2x6xi32>
  // expected-error @+1 {{query positions has element type 'i64', expected 'i32'}}
  exec.attention causal scale 0.5 (%q, %k, %v : memref<2x4x4x8xf32>, memref<2x6x2x8xf32>, memref<2x6x2x8xf32>) positions (%p0, %p1 : memref<2x4xi64>, memref<2x6xi32>) into (%out, %lse : memref<2x4x4x8xf32>, memref<2x4x4xf32>)
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %q = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %k = exec.buffer @s + 0 : memref<2x6x2x8xf32>
  %v = exec.buffer @s + 0 : memref<2x6x2x8xf32>
  %out = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %lse = exec.buffer @s + 0 : memref<2x4x4xf32>
  %p0 = exec.buffer @s + 0 : memref<2x4xi32>
  %p1 = exec.buffer @s + 0 : memref<2x6xf32>
  // expected-error @+1 {{key positions has element type 'f32', expected 'i32'}}
  exec.attention causal scale 0.5 (%q, %k, %v : memref<2x4x4x8xf32>, memref<2x6x2x8xf32>, memref<2x6x2x8xf32>) positions (%p0, %p1 : memref<2x4xi32>, memref<2x6xf32>) into (%out, %lse : memref<2x4x4x8xf32>, memref<2x4x4xf32>)
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %q = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %k = exec.buffer @s + 0 : memref<2x6x2x8xf32>
  %v = exec.buffer @s + 0 : memref<2x6x2x8xf32>
  %out = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %lse = exec.buffer @s + 0 : memref<2x4x4xf32>
  %p0 = exec.buffer @s + 0 : memref<2x4xi32>
  %p1 = exec.buffer @s + 0 : memref<1x6xi32>
  // expected-error @+1 {{key positions has shape [1, 6], expected [2, 6]}}
  exec.attention_grad causal scale 0.5 (%q, %k, %v, %out, %lse, %out : memref<2x4x4x8xf32>, memref<2x6x2x8xf32>, memref<2x6x2x8xf32>, memref<2x4x4x8xf32>, memref<2x4x4xf32>, memref<2x4x4x8xf32>) positions (%p0, %p1 : memref<2x4xi32>, memref<1x6xi32>) into (%q, %k, %v : memref<2x4x4x8xf32>, memref<2x6x2x8xf32>, memref<2x6x2x8xf32>)
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %q = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %lse = exec.buffer @s + 0 : memref<2x4x4xf32>
  %p = exec.buffer @s + 0 : memref<2x4xi32>
  // expected-error @+1 {{has query and key positions together}}
  "exec.attention"(%q, %q, %q, %p, %q, %lse) <{causal, scale = 0.5 : f32, operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 1, 1, 0>}> : (memref<2x4x4x8xf32>, memref<2x4x4x8xf32>, memref<2x4x4x8xf32>, memref<2x4xi32>, memref<2x4x4x8xf32>, memref<2x4x4xf32>) -> ()
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %q = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %k = exec.buffer @s + 0 : memref<2x4x2x8xf32>
  %v = exec.buffer @s + 0 : memref<2x4x2x8xf32>
  %out = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %lse = exec.buffer @s + 0 : memref<2x4x4xf32>
  %dout = exec.buffer @s + 0 : memref<2x4x4x4xf32>
  %dq = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %dk = exec.buffer @s + 0 : memref<2x4x2x8xf32>
  %dv = exec.buffer @s + 0 : memref<2x4x2x8xf32>
  // expected-error @+1 {{dout has shape [2, 4, 4, 4], expected [2, 4, 4, 8]}}
  exec.attention_grad scale 0.5 (%q, %k, %v, %out, %lse, %dout : memref<2x4x4x8xf32>, memref<2x4x2x8xf32>, memref<2x4x2x8xf32>, memref<2x4x4x8xf32>, memref<2x4x4xf32>, memref<2x4x4x4xf32>) into (%dq, %dk, %dv : memref<2x4x4x8xf32>, memref<2x4x2x8xf32>, memref<2x4x2x8xf32>)
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %q = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %k = exec.buffer @s + 0 : memref<2x4x2x8xf32>
  %v = exec.buffer @s + 0 : memref<2x4x2x8xf32>
  %out = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %lse = exec.buffer @s + 0 : memref<2x4x4xf32>
  %dout = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %dq = exec.buffer @s + 0 : memref<2x4x4x8xbf16>
  %dk = exec.buffer @s + 0 : memref<2x4x2x8xf32>
  %dv = exec.buffer @s + 0 : memref<2x4x2x8xf32>
  // expected-error @+1 {{dq has element type 'bf16', expected 'f32'}}
  exec.attention_grad scale 0.5 (%q, %k, %v, %out, %lse, %dout : memref<2x4x4x8xf32>, memref<2x4x2x8xf32>, memref<2x4x2x8xf32>, memref<2x4x4x8xf32>, memref<2x4x4xf32>, memref<2x4x4x8xf32>) into (%dq, %dk, %dv : memref<2x4x4x8xbf16>, memref<2x4x2x8xf32>, memref<2x4x2x8xf32>)
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %q = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %k = exec.buffer @s + 0 : memref<2x4x2x8xf32>
  %v = exec.buffer @s + 0 : memref<2x4x2x8xf32>
  %out = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %lse = exec.buffer @s + 0 : memref<2x4x4xf32>
  %dout = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %dq = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %dk = exec.buffer @s + 0 : memref<2x4x4x8xf32>
  %dv = exec.buffer @s + 0 : memref<2x4x2x8xf32>
  // expected-error @+1 {{dk has shape [2, 4, 4, 8], expected [2, 4, 2, 8]}}
  exec.attention_grad scale 0.5 (%q, %k, %v, %out, %lse, %dout : memref<2x4x4x8xf32>, memref<2x4x2x8xf32>, memref<2x4x2x8xf32>, memref<2x4x4x8xf32>, memref<2x4x4xf32>, memref<2x4x4x8xf32>) into (%dq, %dk, %dv : memref<2x4x4x8xf32>, memref<2x4x4x8xf32>, memref<2x4x2x8xf32>)
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %t = exec.buffer @s + 0 : memref<2x3xi32>
  %w = exec.buffer @s + 0 : memref<8xf32>
  %o = exec.buffer @s + 0 : memref<2x3x4xf32>
  // expected-error @+1 {{table has rank 2, found 1}}
  exec.embedding (%t, %w) into %o : memref<2x3xi32>, memref<8xf32> into memref<2x3x4xf32>
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %t = exec.buffer @s + 0 : memref<2x3xi32>
  %w = exec.buffer @s + 0 : memref<8x4xf32>
  %o = exec.buffer @s + 0 : memref<2x4xf32>
  // expected-error @+1 {{out has shape [2, 4], expected [2, 3, 4]}}
  exec.embedding (%t, %w) into %o : memref<2x3xi32>, memref<8x4xf32> into memref<2x4xf32>
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %t = exec.buffer @s + 0 : memref<2x3xi64>
  %w = exec.buffer @s + 0 : memref<8x4xf32>
  %o = exec.buffer @s + 0 : memref<2x3x4xf32>
  // expected-error @+1 {{tokens has element type 'i64', expected 'i32'}}
  exec.embedding (%t, %w) into %o : memref<2x3xi64>, memref<8x4xf32> into memref<2x3x4xf32>
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %t = exec.buffer @s + 0 : memref<2x3xi32>
  %w = exec.buffer @s + 0 : memref<8x4xf32>
  %o = exec.buffer @s + 0 : memref<2x3x4xbf16>
  // expected-error @+1 {{out has element type 'bf16', expected 'f32'}}
  exec.embedding (%t, %w) into %o : memref<2x3xi32>, memref<8x4xf32> into memref<2x3x4xbf16>
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %t = exec.buffer @s + 0 : memref<2x3xi32>
  %w = exec.buffer @s + 0 : memref<8x4xf32>
  %o = exec.buffer @s + 0 : memref<2x4xf32>
  // expected-error @+1 {{dout has shape [2, 4], expected [2, 3, 4]}}
  exec.embedding_grad (%o, %t) into %w : memref<2x4xf32>, memref<2x3xi32> into memref<8x4xf32>
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %t = exec.buffer @s + 0 : memref<2x3xi32>
  %w = exec.buffer @s + 0 : memref<8x4xf32>
  %o = exec.buffer @s + 0 : memref<2x3x4xf32>
  %f = exec.buffer @s + 0 : memref<f32>
  // expected-error @+1 {{first_row is one i32, found 'memref<f32>'}}
  exec.embedding (%t, %w) into %o from %f : memref<2x3xi32>, memref<8x4xf32> into memref<2x3x4xf32> from memref<f32>
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4xf32>
  %1 = exec.buffer @s + 0 : memref<8xf32>
  // expected-error @+1 {{destination has shape [8], expected [4]}}
  exec.copy %0 into %1 : memref<4xf32> into memref<8xf32>
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4xf32>
  %1 = exec.buffer @s + 0 : memref<4xi32>
  // expected-error @+1 {{destination has element type 'i32', expected 'f32'}}
  exec.copy %0 into %1 : memref<4xf32> into memref<4xi32>
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %f = exec.buffer @s + 0 : memref<f32>
  // expected-error @+1 {{needs at least 1 buffer to check}}
  "exec.check_finite"(%f) : (memref<f32>) -> ()
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %f = exec.buffer @s + 0 : memref<f32>
  %1 = exec.buffer @s + 0 : memref<4xi32>
  // expected-error @+1 {{buffer #0 holds floating point values, found 'i32'}}
  exec.check_finite (%1) into %f : memref<4xi32> into memref<f32>
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4xf32>
  // expected-error @+1 {{flag is one f32, found 'memref<4xf32>'}}
  exec.check_finite (%0) into %0 : memref<4xf32> into memref<4xf32>
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4xf32>
  %1 = exec.buffer @s + 0 : memref<8xf32>
  // expected-error @+1 {{all_reduce needs a reduction, found none}}
  %t = exec.start all_reduce none over ["tp"] from (%0 : memref<4xf32>) to (%0 : memref<4xf32>)
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4xf32>
  %1 = exec.buffer @s + 0 : memref<8xf32>
  // expected-error @+1 {{all_gather has no reduction, found sum}}
  %t = exec.start all_gather sum over ["tp"] from (%0 : memref<4xf32>) to (%0 : memref<4xf32>)
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4xf32>
  %1 = exec.buffer @s + 0 : memref<8xf32>
  // expected-error @+1 {{needs at least 1 mesh axis}}
  %t = exec.start all_reduce sum over [] from (%0 : memref<4xf32>) to (%0 : memref<4xf32>)
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4xf32>
  %1 = exec.buffer @s + 0 : memref<8xf32>
  // expected-error @+1 {{broadcast needs a peer}}
  %t = exec.start broadcast none over ["tp"] from (%0 : memref<4xf32>) to (%0 : memref<4xf32>)
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4xf32>
  %1 = exec.buffer @s + 0 : memref<8xf32>
  // expected-error @+1 {{all_reduce has no peer}}
  %t = exec.start all_reduce sum over ["tp"] peer 0 from (%0 : memref<4xf32>) to (%0 : memref<4xf32>)
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4xf32>
  %1 = exec.buffer @s + 0 : memref<8xf32>
  // expected-error @+1 {{peer is at least 0, found -1}}
  %t = exec.start broadcast none over ["tp"] peer -1 from (%0 : memref<4xf32>) to (%0 : memref<4xf32>)
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4xf32>
  %1 = exec.buffer @s + 0 : memref<8xf32>
  %w = exec.buffer @s + 0 : memref<2x2xf32, strided<[4, 1]>>
  // expected-error @+1 {{moves contiguous buffers, found 'memref<2x2xf32, strided<[4, 1]>>'}}
  %t = exec.start send none over ["pp"] peer 1 from (%w : memref<2x2xf32, strided<[4, 1]>>) to ()
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4xf32>
  %1 = exec.buffer @s + 0 : memref<8xf32>
  // expected-error @+1 {{send has only sources, found 1 sources and 1 destinations}}
  %t = exec.start send none over ["pp"] peer 1 from (%0 : memref<4xf32>) to (%0 : memref<4xf32>)
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4xf32>
  %1 = exec.buffer @s + 0 : memref<8xf32>
  // expected-error @+1 {{receive has only destinations, found 1 sources and 0 destinations}}
  %t = exec.start receive none over ["pp"] peer 1 from (%0 : memref<4xf32>) to ()
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4xf32>
  %1 = exec.buffer @s + 0 : memref<8xf32>
  // expected-error @+1 {{has as many sources as destinations, found 1 and 0}}
  %t = exec.start all_reduce sum over ["tp"] from (%0 : memref<4xf32>) to ()
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4xf32>
  %1 = exec.buffer @s + 0 : memref<8xf32>
  // expected-error @+1 {{pair #0 does not fit: 'memref<4xf32>' and 'memref<8xf32>'}}
  %t = exec.start all_reduce sum over ["tp"] from (%0 : memref<4xf32>) to (%1 : memref<8xf32>)
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4xf32>
  %1 = exec.buffer @s + 0 : memref<8xf32>
  // expected-error @+1 {{pair #0 does not fit: 'memref<8xf32>' and 'memref<4xf32>'}}
  %t = exec.start all_gather none over ["tp"] from (%1 : memref<8xf32>) to (%0 : memref<4xf32>)
}

// -----

exec.segment @s size 4096 in device
exec.func @f {
  %0 = exec.buffer @s + 0 : memref<4xf32>
  %1 = exec.buffer @s + 0 : memref<8xf32>
  // expected-error @+1 {{pair #0 does not fit: 'memref<4xf32>' and 'memref<8xf32>'}}
  %t = exec.start reduce_scatter sum over ["tp"] from (%0 : memref<4xf32>) to (%1 : memref<8xf32>)
}
