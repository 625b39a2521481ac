// RUN: titan-opt %s -split-input-file -titan-partition-spmd | FileCheck %s

// Storage is gathered and cut to size; a split result needs nothing. What is distributed keeps its
// global type, what every rank holds whole does not need one. A gather keeps its placement.
titan.mesh @mesh [dp_shard = 2, tp = 2]
// CHECK: titan.variable parameter @w : tensor<12xf32> global tensor<10x4xf32, #{{.*}}>
titan.variable parameter @w : tensor<10x4xf32, #titan.sharding<[{tp}, {}], flat {dp_shard} granule 4>>
// CHECK: titan.variable input @lr : tensor<f32>
// CHECK-NOT: global
titan.variable input @lr : tensor<f32>
// CHECK-LABEL: func.func @project(
// CHECK-SAME: %[[X:.*]]: tensor<3x4xf32> {titan.global_type = tensor<6x4xf32, #{{[^)]*}})
// CHECK-SAME: -> (tensor<3x5xf32> {titan.global_type = tensor<6x10xf32, #{{[^)]*}})
func.func @project(%x: tensor<6x4xf32, #titan.sharding<[{dp_shard}, {}]>>)
    -> tensor<6x10xf32, #titan.sharding<[{dp_shard}, {tp}]>> {
  // CHECK: %[[S:.*]] = titan.load @w : tensor<12xf32>
  // CHECK: %[[G:.*]] = titan.all_gather %[[S]] over [dp_shard] dimension 0 placement per_microbatch : (tensor<12xf32>) -> tensor<24xf32>
  // CHECK: %[[F:.*]] = titan.slice %[[G]] at 0 : tensor<24xf32> -> tensor<20xf32>
  // CHECK: %[[W:.*]] = titan.reshape %[[F]] : tensor<20xf32> -> tensor<5x4xf32>
  // CHECK: titan.einsum "td,nd->tn" %[[X]], %[[W]] : tensor<3x4xf32>, tensor<5x4xf32> -> tensor<3x5xf32>
  %s = titan.load @w : tensor<10x4xf32, #titan.sharding<[{tp}, {}], flat {dp_shard} granule 4>>
  %w = titan.reshard %s placement per_microbatch because "einsum needs a matrix"
      : tensor<10x4xf32, #titan.sharding<[{tp}, {}], flat {dp_shard} granule 4>>
      -> tensor<10x4xf32, #titan.sharding<[{tp}, {}]>>
  %y = titan.einsum "td,nd->tn" %x, %w
      : tensor<6x4xf32, #titan.sharding<[{dp_shard}, {}]>>, tensor<10x4xf32, #titan.sharding<[{tp}, {}]>>
      -> tensor<6x10xf32, #titan.sharding<[{dp_shard}, {tp}]>>
  return %y : tensor<6x10xf32, #titan.sharding<[{dp_shard}, {tp}]>>
}

// -----

// A gradient: padded with zeros, scattered over the storage axes, then summed over the others on
// the slice.
titan.mesh @mesh [dp_replicate = 2, dp_shard = 2]
titan.variable gradient @g : tensor<5x2xf32, #titan.sharding<[{}, {}], flat {dp_shard} granule 4>>
// CHECK-LABEL: func.func @accumulate
func.func @accumulate(%x: tensor<8x2xf32, #titan.sharding<[{dp_replicate, dp_shard}, {}]>>,
                      %dy: tensor<8x5xf32, #titan.sharding<[{dp_replicate, dp_shard}, {}]>>) {
  // CHECK: %[[DW:.*]] = titan.einsum "tn,td->nd" {{.*}} : tensor<2x5xf32>, tensor<2x2xf32> -> tensor<5x2xf32>
  // CHECK: %[[FLAT:.*]] = titan.reshape %[[DW]] : tensor<5x2xf32> -> tensor<10xf32>
  // CHECK: %[[ZERO:.*]] = titan.full 0.000000e+00 : tensor<6xf32>
  // CHECK: %[[ALL:.*]] = titan.concat %[[FLAT]], %[[ZERO]]
  // CHECK: %[[PART:.*]] = titan.reduce_scatter %[[ALL]] over [dp_shard] dimension 0 : (tensor<16xf32>) -> tensor<8xf32>
  // CHECK: %[[SUM:.*]] = titan.all_reduce sum %[[PART]] over [dp_replicate] : (tensor<8xf32>) -> tensor<8xf32>
  // CHECK: %[[OLD:.*]] = titan.load @g : tensor<8xf32>
  // CHECK: %[[NEW:.*]] = titan.add %[[OLD]], %[[SUM]] : tensor<8xf32>
  // CHECK: titan.store %[[NEW]], @g : tensor<8xf32>
  %dw = titan.einsum "tn,td->nd" %dy, %x
      : tensor<8x5xf32, #titan.sharding<[{dp_replicate, dp_shard}, {}]>>,
        tensor<8x2xf32, #titan.sharding<[{dp_replicate, dp_shard}, {}]>>
      -> tensor<5x2xf32, #titan.sharding<[{}, {}], partial {dp_replicate, dp_shard}>>
  %r = titan.reshard %dw : tensor<5x2xf32, #titan.sharding<[{}, {}], partial {dp_replicate, dp_shard}>>
      -> tensor<5x2xf32, #titan.sharding<[{}, {}], flat {dp_shard} granule 4>>
  %old = titan.load @g : tensor<5x2xf32, #titan.sharding<[{}, {}], flat {dp_shard} granule 4>>
  %new = titan.add %old, %r : tensor<5x2xf32, #titan.sharding<[{}, {}], flat {dp_shard} granule 4>>
  titan.store %new, @g : tensor<5x2xf32, #titan.sharding<[{}, {}], flat {dp_shard} granule 4>>
  return
}

// -----

// Split rows: the first one is a number that each rank has in a variable.
titan.mesh @mesh [tp = 2]
// CHECK: titan.variable derived @axis_index.tp.4 : tensor<i32> init #titan.axis_index<{tp} times 4>
// CHECK-LABEL: func.func @embed(
// CHECK-SAME: %[[TOKENS:.*]]: tensor<3xi32>, %[[TABLE:.*]]: tensor<4x2xf32>
func.func @embed(%tokens: tensor<3xi32, #titan.sharding<[{}]>>, %table: tensor<8x2xf32, #titan.sharding<[{tp}, {}]>>)
    -> (tensor<3x2xf32, #titan.sharding<[{}, {}]>>, tensor<8x2xf32, #titan.sharding<[{tp}, {}]>>) {
  // CHECK: %[[FIRST:.*]] = titan.load @axis_index.tp.4 : tensor<i32>
  // CHECK: %[[ROWS:.*]] = titan.embedding %[[TOKENS]], %[[TABLE]] from %[[FIRST]] : tensor<3xi32>, tensor<4x2xf32> -> tensor<3x2xf32>
  // CHECK: %[[SUM:.*]] = titan.all_reduce sum %[[ROWS]] over [tp]
  // CHECK: titan.embedding_grad %[[SUM]], %[[TOKENS]] from %[[FIRST]] : tensor<3x2xf32>, tensor<3xi32> -> tensor<4x2xf32>
  %rows = titan.embedding %tokens, %table
      : tensor<3xi32, #titan.sharding<[{}]>>, tensor<8x2xf32, #titan.sharding<[{tp}, {}]>>
      -> tensor<3x2xf32, #titan.sharding<[{}, {}], partial {tp}>>
  %all = titan.reshard %rows : tensor<3x2xf32, #titan.sharding<[{}, {}], partial {tp}>>
      -> tensor<3x2xf32, #titan.sharding<[{}, {}]>>
  %grad = titan.embedding_grad %all, %tokens
      : tensor<3x2xf32, #titan.sharding<[{}, {}]>>, tensor<3xi32, #titan.sharding<[{}]>>
      -> tensor<8x2xf32, #titan.sharding<[{tp}, {}]>>
  return %all, %grad : tensor<3x2xf32, #titan.sharding<[{}, {}]>>, tensor<8x2xf32, #titan.sharding<[{tp}, {}]>>
}

// -----

// Split classes: the op keeps the axes, and its unrolling exchanges maxima and sums. dinput is
// partial, left so for a reduce-scatter.
titan.mesh @mesh [tp = 2]
// CHECK-LABEL: func.func @head
// CHECK: %[[FIRST:.*]] = titan.load @axis_index.tp.4
// CHECK: titan.head_loss_grad {{.*}} classes from %[[FIRST]] over [tp]
// CHECK-SAME: -> (tensor<f32>, tensor<f32>, tensor<6x2xf32>, tensor<4x2xf32>)
// CHECK: titan.reduce_scatter {{.*}} over [tp] dimension 0 : (tensor<6x2xf32>) -> tensor<3x2xf32>
func.func @head(%x: tensor<6x2xf32, #titan.sharding<[{}, {}]>>, %w: tensor<8x2xf32, #titan.sharding<[{tp}, {}]>>,
                %l: tensor<6xi32, #titan.sharding<[{}]>>, %d: tensor<f32, #titan.sharding<[]>>)
    -> (tensor<f32, #titan.sharding<[]>>, tensor<6x2xf32, #titan.sharding<[{tp}, {}]>>) {
  %loss, %valid, %dx, %dw = titan.head_loss_grad %x, %w, %l, %d
      : (tensor<6x2xf32, #titan.sharding<[{}, {}]>>, tensor<8x2xf32, #titan.sharding<[{tp}, {}]>>,
         tensor<6xi32, #titan.sharding<[{}]>>, tensor<f32, #titan.sharding<[]>>)
      -> (tensor<f32, #titan.sharding<[]>>, tensor<f32, #titan.sharding<[]>>,
          tensor<6x2xf32, #titan.sharding<[{}, {}], partial {tp}>>, tensor<8x2xf32, #titan.sharding<[{tp}, {}]>>)
  %dxs = titan.reshard %dx : tensor<6x2xf32, #titan.sharding<[{}, {}], partial {tp}>>
      -> tensor<6x2xf32, #titan.sharding<[{tp}, {}]>>
  return %loss, %dxs : tensor<f32, #titan.sharding<[]>>, tensor<6x2xf32, #titan.sharding<[{tp}, {}]>>
}

// -----

// A factor of a merged dimension stays split, and a partial variable takes each rank's addend.
titan.mesh @mesh [dp = 2, tp = 3]
// CHECK: titan.variable counter @sum : tensor<f32> global tensor<f32, #{{.*}}>
titan.variable counter @sum : tensor<f32, #titan.sharding<[], partial {dp, tp}>>
// CHECK-LABEL: func.func @merge
func.func @merge(%x: tensor<4x6x5xf32, #titan.sharding<[{dp}, {tp}, {}]>>)
    -> tensor<4x30xf32, #titan.sharding<[{dp}, {}]>> {
  // CHECK: %[[Y:.*]] = titan.reshape %{{.*}} : tensor<2x2x5xf32> -> tensor<2x10xf32>
  // CHECK: %[[S:.*]] = titan.reduce sum %[[Y]] [0, 1] : tensor<2x10xf32> -> tensor<f32>
  // CHECK: titan.store %[[S]], @sum : tensor<f32>
  // CHECK: titan.all_gather %[[Y]] over [tp] dimension 1 : (tensor<2x10xf32>) -> tensor<2x30xf32>
  %y = titan.reshape %x : tensor<4x6x5xf32, #titan.sharding<[{dp}, {tp}, {}]>> -> tensor<4x30xf32, #titan.sharding<[{dp}, {tp}]>>
  %s = titan.reduce sum %y [0, 1] : tensor<4x30xf32, #titan.sharding<[{dp}, {tp}]>> -> tensor<f32, #titan.sharding<[], partial {dp, tp}>>
  titan.store %s, @sum : tensor<f32, #titan.sharding<[], partial {dp, tp}>>
  %z = titan.reshard %y : tensor<4x30xf32, #titan.sharding<[{dp}, {tp}]>> -> tensor<4x30xf32, #titan.sharding<[{dp}, {}]>>
  return %z : tensor<4x30xf32, #titan.sharding<[{dp}, {}]>>
}

// -----

// Without shardings there is nothing to do.
titan.mesh @mesh [tp = 2]
titan.variable parameter @w : tensor<4xf32>
// CHECK-LABEL: func.func @plain
// CHECK-SAME: (%{{.*}}: tensor<4xf32>) -> tensor<4xf32>
// CHECK-NEXT: titan.load @w
// CHECK-NEXT: titan.add
// CHECK-NEXT: return
func.func @plain(%x: tensor<4xf32>) -> tensor<4xf32> {
  %w = titan.load @w : tensor<4xf32>
  %y = titan.add %x, %w : tensor<4xf32>
  return %y : tensor<4xf32>
}
