// Collectives under way: where they live, and the instructions that they become.
// RUN: titan-opt %s -titan-plan-memory -split-input-file | FileCheck %s

titan.mesh @mesh [dp_replicate = 1, dp_shard = 4, tp = 2]
#storage = #titan.sharding<[{tp}, {}], flat {dp_shard} granule 4>
titan.variable parameter @w : tensor<36xf32> global tensor<32x9xf32, #storage> init #titan.constant<1.0>
titan.variable counter @sum : tensor<f32> global tensor<f32, #titan.sharding<[], partial {dp_shard}>>
titan.variable derived @index : tensor<i32> init #titan.axis_index<{tp} times 16>
titan.variable derived @y : tensor<16x9xf32>

// CHECK: exec.program target "cpu" mesh [#exec.axis<"dp_replicate", 1>, #exec.axis<"dp_shard", 4>, #exec.axis<"tp", 2>]
// CHECK: exec.variable @w : tensor<36xf32> global tensor<32x9xf32, #exec.sharding<{{\[}}["tp"], []] flat ["dp_shard"] granule 4>> role parameter
// CHECK: exec.variable @sum : tensor<f32> global tensor<f32, #exec.sharding<[] partial ["dp_shard"]>> role counter
// CHECK: exec.variable @index : tensor<i32> role derived {{.*}} initializer <axis_index, 1.600000e+01, ["tp"]>
// CHECK: exec.variable @x : tensor<2x8x4xf32> global tensor<8x8x4xf32, #exec.sharding<{{\[}}["dp_shard"], [], []]>> role input

// CHECK: exec.func @fwd
func.func @fwd(%x: tensor<2x8x4xf32> {titan.name = "x", titan.global_type = tensor<8x8x4xf32, #titan.sharding<[{dp_shard}, {}, {}]>>}) -> tensor<2x8x4xf32> {
  // The whole weight is gathered from the variable to where it is stored; there is no copy.
  // CHECK-DAG: %[[W:.*]] = exec.buffer @parameters + 0 : memref<36xf32>
  // CHECK-DAG: %[[WHOLE:.*]] = exec.buffer @derived + 64 : memref<144xf32>
  // CHECK: %[[T:.*]] = exec.start all_gather none over ["dp_shard"] from(%[[W]] : memref<36xf32>) to(%[[WHOLE]] : memref<144xf32>)
  %w = titan.load @w : tensor<36xf32>
  %p = titan.start all_gather %w over [dp_shard] : (tensor<36xf32>) -> tensor<144xf32>
  // Along the second dimension there is one pair for each index of the first.
  // CHECK: %[[S:.*]] = exec.start reduce_scatter sum over ["tp"] from(%{{.*}}, %{{.*}} : memref<32xf32>, memref<32xf32>) to(%{{.*}}, %{{.*}} : memref<16xf32>, memref<16xf32>)
  %q = titan.start reduce_scatter %x over [tp] dimension 1 : (tensor<2x8x4xf32>) -> tensor<2x4x4xf32>
  // CHECK: exec.await %[[T]]
  %f = titan.await %p of %w : (tensor<144xf32>, tensor<36xf32>) -> tensor<144xf32>
  // CHECK: exec.await %[[S]]
  %s = titan.await %q of %x : (tensor<2x4x4xf32>, tensor<2x8x4xf32>) -> tensor<2x4x4xf32>
  %m = titan.reshape %f : tensor<144xf32> -> tensor<16x9xf32>
  titan.store %m, @y : tensor<16x9xf32>
  // CHECK: exec.start all_gather none over ["tp"]
  // CHECK-SAME: to(%[[D0:.*]], %[[D1:.*]] : memref<32xf32>, memref<32xf32>)
  // CHECK: exec.await
  %g = titan.start all_gather %s over [tp] dimension 1 : (tensor<2x4x4xf32>) -> tensor<2x8x4xf32>
  %h = titan.await %g of %s : (tensor<2x8x4xf32>, tensor<2x4x4xf32>) -> tensor<2x8x4xf32>
  // CHECK-NOT: exec.copy
  return %h : tensor<2x8x4xf32>
}

// -----

// An all_reduce in place works in the memory of its operand. A slice by the rank's coordinate is a
// view that is rotated, if it is one piece; columns are copied.
titan.mesh @mesh [tp = 2]
titan.variable derived @x : tensor<4x8xf32>
titan.variable derived @y : tensor<4x8xf32>
titan.variable derived @z : tensor<4x4xf32>
// CHECK: exec.func @update
func.func @update() {
  %x = titan.load @x : tensor<4x8xf32>
  // CHECK: exec.gemm %{{.*}} into %[[V:[0-9]+]]
  %v = titan.einsum "mk,nk->mn" %x, %x : tensor<4x8xf32>, tensor<4x8xf32> -> tensor<4x4xf32>
  // CHECK: exec.start all_reduce sum over ["tp"] from(%[[V]] : memref<4x4xf32>) to(%[[V]] : memref<4x4xf32>)
  %p = titan.start all_reduce in_place %v over [tp] : (tensor<4x4xf32>) -> tensor<4x4xf32>
  %r = titan.await %p : (tensor<4x4xf32>) -> tensor<4x4xf32>
  // CHECK: %[[ROWS:.*]] = exec.buffer {{.*}} rotated <["tp"], 32, 0> : memref<2x4xf32>
  // CHECK: %[[COLUMNS:.*]] = exec.buffer @derived + 0 rotated <["tp"], 16, 0> : memref<4x4xf32, strided<[8, 1]>>
  // CHECK: exec.copy %[[COLUMNS]] into
  // CHECK-NOT: exec.copy
  // CHECK: exec.gemm %{{.*}}, %[[ROWS]] transposed
  %s = titan.axis_slice %r over [tp] dimension 0 : tensor<4x4xf32> -> tensor<2x4xf32>
  %t = titan.axis_slice %x over [tp] dimension 1 : tensor<4x8xf32> -> tensor<4x4xf32>
  %u = titan.einsum "mk,nk->mn" %t, %s : tensor<4x4xf32>, tensor<2x4xf32> -> tensor<4x2xf32>
  %w = titan.einsum "mk,nk->mn" %u, %u : tensor<4x2xf32>, tensor<4x2xf32> -> tensor<4x4xf32>
  titan.store %w, @z : tensor<4x4xf32>
  return
}

// -----

// A slice that is stored is copied, and so is a slice of a slice: of a part there is no further part.
titan.mesh @mesh [a = 2, b = 2]
titan.variable derived @x : tensor<16x4xf32>
titan.variable derived @y : tensor<8x4xf32>
titan.variable derived @z : tensor<4x4xf32>
// CHECK: exec.func @update
func.func @update() {
  %x = titan.load @x : tensor<16x4xf32>
  // CHECK: %[[A:.*]] = exec.buffer @derived + 0 rotated <["a"], 128, 0> : memref<8x4xf32>
  // CHECK: exec.copy %[[A]] into %[[HALF:[0-9]+]]
  %s = titan.axis_slice %x over [a] dimension 0 : tensor<16x4xf32> -> tensor<8x4xf32>
  titan.store %s, @y : tensor<8x4xf32>
  // CHECK-NOT: exec.copy
  // CHECK: %[[B:.*]] = exec.buffer @derived + 256 rotated <["b"], 64, 0> : memref<4x4xf32>
  // CHECK: exec.gemm %[[B]], %[[B]] transposed
  %t = titan.axis_slice %s over [b] dimension 0 : tensor<8x4xf32> -> tensor<4x4xf32>
  %u = titan.einsum "mk,nk->mn" %t, %t : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>
  titan.store %u, @z : tensor<4x4xf32>
  return
}

// -----

// What is gathered and used for nothing else is computed where the gathered tensor will have it:
// nobody copies it there. A variable stays where it is, and columns are no one piece.
titan.mesh @mesh [tp = 2]
titan.variable derived @x : tensor<4x4xf32>
titan.variable derived @y : tensor<8x8xf32>
titan.variable derived @z : tensor<8x8xf32>
// CHECK: exec.func @update
func.func @update() {
  %x = titan.load @x : tensor<4x4xf32>
  // CHECK: %[[PART:.*]] = exec.buffer @scratch + [[AT:[0-9]+]] rotated <["tp"], 64, 0> : memref<4x4xf32>
  // CHECK: exec.gemm %{{.*}} into %[[PART]]
  // CHECK: %[[WHOLE:.*]] = exec.buffer @scratch + [[AT]] : memref<8x4xf32>
  %v = titan.einsum "mk,nk->mn" %x, %x : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>
  // CHECK: exec.start all_gather none over ["tp"] from(%[[PART]] : memref<4x4xf32>) to(%[[WHOLE]] : memref<8x4xf32>)
  %p = titan.start all_gather %v over [tp] : (tensor<4x4xf32>) -> tensor<8x4xf32>
  %g = titan.await %p of %v : (tensor<8x4xf32>, tensor<4x4xf32>) -> tensor<8x4xf32>
  // CHECK: exec.start all_gather none over ["tp"] from(%{{.*}} : memref<4x4xf32>) to(%{{.*}} : memref<8x4xf32>)
  %q = titan.start all_gather %x over [tp] : (tensor<4x4xf32>) -> tensor<8x4xf32>
  %h = titan.await %q of %x : (tensor<8x4xf32>, tensor<4x4xf32>) -> tensor<8x4xf32>
  // CHECK-NOT: rotated
  %w = titan.einsum "mk,nk->mn" %g, %h : tensor<8x4xf32>, tensor<8x4xf32> -> tensor<8x8xf32>
  titan.store %w, @z : tensor<8x8xf32>
  %c = titan.einsum "mk,nk->mn" %h, %x : tensor<8x4xf32>, tensor<4x4xf32> -> tensor<8x4xf32>
  %r = titan.start all_gather %c over [tp] dimension 1 : (tensor<8x4xf32>) -> tensor<8x8xf32>
  %d = titan.await %r of %c : (tensor<8x8xf32>, tensor<8x4xf32>) -> tensor<8x8xf32>
  titan.store %d, @y : tensor<8x8xf32>
  // CHECK-NOT: exec.copy
  return
}

// -----

// What is read later is not reduced in place: it is copied first.
titan.mesh @mesh [tp = 2]
titan.variable derived @x : tensor<4xf32>
titan.variable derived @y : tensor<4xf32>
// CHECK: exec.func @update
// CHECK: exec.copy %[[X:.*]] into %[[Y:.*]] :
// CHECK: exec.start all_reduce sum over ["tp"] from(%[[Y]] : memref<4xf32>) to(%[[Y]] : memref<4xf32>)
func.func @update() {
  %x = titan.load @x : tensor<4xf32>
  %p = titan.start all_reduce in_place %x over [tp] : (tensor<4xf32>) -> tensor<4xf32>
  %r = titan.await %p : (tensor<4xf32>) -> tensor<4xf32>
  titan.store %r, @y : tensor<4xf32>
  return
}

// -----

// What is kept as the front of a gathered tensor that is a little longer has room for all of it; of one
// that is much longer, the front is copied out.
titan.mesh @mesh [dp_shard = 2]
titan.variable derived @u : tensor<20480xf32>
titan.variable derived @v : tensor<20480xf32>
titan.variable derived @padded : tensor<40950xf32>
titan.variable derived @part : tensor<20000xf32>
// CHECK: exec.segment @derived size 407680
// CHECK: exec.variable @padded {{.*}}in @derived + 163840
// CHECK: exec.variable @part {{.*}}in @derived + 327680
// CHECK: exec.func @unshard
func.func @unshard() {
  %u = titan.load @u : tensor<20480xf32>
  // CHECK: %[[ROOM:.*]] = exec.buffer @derived + 163840 : memref<40960xf32>
  // CHECK: exec.start all_gather none over ["dp_shard"] from({{.*}}to(%[[ROOM]] :
  %p = titan.start all_gather %u over [dp_shard] : (tensor<20480xf32>) -> tensor<40960xf32>
  %a = titan.await %p of %u : (tensor<40960xf32>, tensor<20480xf32>) -> tensor<40960xf32>
  %padded = titan.slice %a at 0 : tensor<40960xf32> -> tensor<40950xf32>
  titan.store %padded, @padded : tensor<40950xf32>
  %v = titan.load @v : tensor<20480xf32>
  // CHECK: %[[WHOLE:.*]] = exec.buffer @scratch + 0 : memref<40960xf32>
  // CHECK: exec.start all_gather none over ["dp_shard"] from({{.*}}to(%[[WHOLE]] :
  %q = titan.start all_gather %v over [dp_shard] : (tensor<20480xf32>) -> tensor<40960xf32>
  %b = titan.await %q of %v : (tensor<40960xf32>, tensor<20480xf32>) -> tensor<40960xf32>
  %part = titan.slice %b at 0 : tensor<40960xf32> -> tensor<20000xf32>
  titan.store %part, @part : tensor<20000xf32>
  // CHECK: exec.copy {{.*}}memref<20000xf32> into memref<20000xf32>
  // CHECK-NOT: exec.copy
  return
}
