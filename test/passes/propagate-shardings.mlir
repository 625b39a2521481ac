// RUN: titan-opt %s -split-input-file --titan-propagate-shardings | FileCheck %s
// RUN: titan-opt %s -split-input-file --titan-propagate-shardings="placement=per-step" | FileCheck %s --check-prefix=STEP

// Storage is gathered where a matrix is needed; what is split and contracted is a partial sum; a
// constraint makes it a scattered one; constants and pointwise ops follow.
// CHECK-DAG: #[[STORAGE:.*]] = #titan.sharding<[{}, {tp}], flat {dp_shard} granule 4>
// CHECK-DAG: #[[ROWS:.*]] = #titan.sharding<[{}, {tp}]>
// CHECK-DAG: #[[PARTIAL:.*]] = #titan.sharding<[{dp_shard}, {}], partial {tp}>
// CHECK-DAG: #[[SCATTERED:.*]] = #titan.sharding<[{dp_shard, tp}, {}]>
titan.mesh @mesh [dp_shard = 2, tp = 2]
titan.variable parameter @w : tensor<8x4xf32, #titan.sharding<[{}, {tp}], flat {dp_shard} granule 4>>
// CHECK-LABEL: func.func @f
func.func @f(%x: tensor<8x4xf32> {titan.sharding = #titan.sharding<[{dp_shard}, {tp}]>}) -> tensor<8x8xf32> {
  // CHECK: %[[SLICE:.*]] = titan.load @w : tensor<8x4xf32, #[[STORAGE]]>
  %w = titan.load @w : tensor<8x4xf32>
  // CHECK: %[[W:.*]] = titan.reshard %[[SLICE]] because "operand 1 of 'einsum' needs the tensor, not its flat slices over 'dp_shard'" : tensor<8x4xf32, #[[STORAGE]]> -> tensor<8x4xf32, #[[ROWS]]>
  // STEP: titan.reshard %{{.*}} placement per_step because
  // CHECK: %[[Y:.*]] = titan.einsum "bd,nd->bn" %{{.*}}, %[[W]] : {{.*}} -> tensor<8x8xf32, #[[PARTIAL]]>
  %y = titan.einsum "bd,nd->bn" %x, %w : tensor<8x4xf32>, tensor<8x4xf32> -> tensor<8x8xf32>
  // CHECK: %[[Z:.*]] = titan.reshard %[[Y]] {{.*}} : tensor<8x8xf32, #[[PARTIAL]]> -> tensor<8x8xf32, #[[SCATTERED]]>
  // CHECK-NOT: sharding_constraint
  %z = titan.sharding_constraint %y to <[{dp_shard, tp}, {}]> : tensor<8x8xf32>
  // CHECK: %[[ONE:.*]] = titan.full 1.000000e+00 : tensor<8x8xf32, #[[SCATTERED]]>
  %one = titan.full 1.0 : tensor<8x8xf32>
  // CHECK: titan.add %[[Z]], %[[ONE]] : tensor<8x8xf32, #[[SCATTERED]]>
  %r = titan.add %z, %one : tensor<8x8xf32>
  return %r : tensor<8x8xf32>
}

// -----

// Pointwise work stays on slices, and a variable may be a sum of parts. The parts of a zero are
// zeros.
// CHECK-LABEL: func.func @update
titan.mesh @mesh [dp_shard = 4]
titan.variable parameter @w : tensor<6xf32, #titan.sharding<[{}], flat {dp_shard} granule 4>>
titan.variable counter @sum : tensor<f32, #titan.sharding<[], partial {dp_shard}>>
func.func @update() {
  %w = titan.load @w : tensor<6xf32>
  // CHECK: titan.neg %{{.*}} : tensor<6xf32, #sharding>
  %n = titan.neg %w : tensor<6xf32>
  titan.store %n, @w : tensor<6xf32>
  // CHECK: titan.full 0.000000e+00 : tensor<f32, #sharding1>
  // CHECK-NOT: titan.reshard
  %zero = titan.full 0.0 : tensor<f32>
  titan.store %zero, @sum : tensor<f32>
  return
}

// -----

// What has layouts stays as it is.
// CHECK-LABEL: func.func @done
titan.mesh @mesh [dp = 2]
func.func @done(%x: tensor<4xf32, #titan.sharding<[{dp}]>>) -> tensor<4xf32, #titan.sharding<[{dp}]>> {
  // CHECK: titan.exp %{{.*}} : tensor<4xf32, #sharding>
  %y = titan.exp %x : tensor<4xf32, #titan.sharding<[{dp}]>>
  return %y : tensor<4xf32, #titan.sharding<[{dp}]>>
}

// -----

// A variable may say itself how long it is kept once it is gathered, also by way of its copy.
titan.mesh @mesh [dp_shard = 2]
titan.variable parameter @w : tensor<8x4xf32, #titan.sharding<[{}, {}], flat {dp_shard} granule 4>> placement per_microbatch
// CHECK-LABEL: func.func @keeps
func.func @keeps(%x: tensor<8x4xbf16> {titan.sharding = #titan.sharding<[{dp_shard}, {}]>}) -> tensor<8x8xbf16> {
  %w = titan.load @w : tensor<8x4xf32>
  // CHECK: %[[C:.*]] = titan.cast
  // CHECK: titan.reshard %[[C]] placement per_microbatch because
  // STEP: titan.reshard %{{.*}} placement per_step because
  %c = titan.cast %w : tensor<8x4xf32> -> tensor<8x4xbf16>
  %y = titan.einsum "bd,nd->bn" %x, %c : tensor<8x4xbf16>, tensor<8x4xbf16> -> tensor<8x8xbf16>
  return %y : tensor<8x8xbf16>
}

// -----

// A sum of squares wants all its operands split over both axes. A slice of 8 elements is cut into two of 4:
// with the storage's granule, parts would be of 8 again, and belong to other ranks.
// CHECK-DAG: #[[SLICES:.*]] = #titan.sharding<[{}], flat {dp_shard} granule 8>
// CHECK-DAG: #[[PARTS:.*]] = #titan.sharding<[{}], flat {dp_shard, tp} granule 4>
titan.mesh @mesh [dp_shard = 3, tp = 2]
titan.variable gradient @norm : tensor<16xf32, #titan.sharding<[{}], flat {dp_shard} granule 8>>
titan.variable gradient @w : tensor<16x8xf32, #titan.sharding<[{tp}, {}], flat {dp_shard} granule 8>>
// CHECK-LABEL: func.func @squares
func.func @squares() -> tensor<f32> {
  %norm = titan.load @norm : tensor<16xf32>
  %w = titan.load @w : tensor<16x8xf32>
  // CHECK: %[[PART:.*]] = titan.reshard %{{.*}} : tensor<16xf32, #[[SLICES]]> -> tensor<16xf32, #[[PARTS]]>
  // CHECK: titan.sum_of_squares %[[PART]], %{{.*}} : tensor<16xf32, #[[PARTS]]>
  %s = titan.sum_of_squares %norm, %w : tensor<16xf32>, tensor<16x8xf32> -> tensor<f32>
  return %s : tensor<f32>
}
