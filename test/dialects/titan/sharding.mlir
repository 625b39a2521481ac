// Meshes, shardings and collectives print and parse; aliases keep types short.
// RUN: titan-opt %s | titan-opt | FileCheck %s

// CHECK: #sharding = #titan.sharding<[{tp}, {}], flat {dp_shard} granule 4>
// CHECK: #sharding1 = #titan.sharding<[{dp_replicate, dp_shard}, {tp}, {}]>
// CHECK: titan.mesh @mesh [dp_replicate = 1, dp_shard = 4, tp = 2]
titan.mesh @mesh [dp_replicate = 1, dp_shard = 4, tp = 2]

// CHECK: titan.variable parameter @w : tensor<8x16xf32, #sharding>
titan.variable parameter @w : tensor<8x16xf32, #titan.sharding<[{tp}, {}], flat {dp_shard} granule 4>>
// CHECK: titan.variable derived @index : tensor<i32> init #titan.axis_index<{dp_shard, tp} times 512>
titan.variable derived @index : tensor<i32> init #titan.axis_index<{dp_shard, tp} times 512>

// CHECK-LABEL: func.func @global
func.func @global(%x: tensor<8x32x16xf32>) -> tensor<8x32x16xf32> {
  // Before propagation a load may have no sharding.
  // CHECK: titan.load @w : tensor<8x16xf32>
  %w = titan.load @w : tensor<8x16xf32>
  // CHECK: titan.sharding_constraint %{{.*}} to #sharding1 : tensor<8x32x16xf32>
  %y = titan.sharding_constraint %x to <[{dp_replicate, dp_shard}, {tp}, {}]> : tensor<8x32x16xf32>
  return %y : tensor<8x32x16xf32>
}

#whole = #titan.sharding<[{tp}, {}]>
// CHECK-LABEL: func.func @sharded
func.func @sharded() -> tensor<8x16xf32, #whole> {
  // CHECK: titan.load @w : tensor<8x16xf32, #sharding>
  %w = titan.load @w : tensor<8x16xf32, #titan.sharding<[{tp}, {}], flat {dp_shard} granule 4>>
  // CHECK: titan.reshard %{{.*}} because "a matrix is needed"
  %m = titan.reshard %w because "a matrix is needed" : tensor<8x16xf32, #titan.sharding<[{tp}, {}], flat {dp_shard} granule 4>> -> tensor<8x16xf32, #whole>
  // CHECK: titan.reshard %{{.*}} placement per_step
  %n = titan.reshard %w placement per_step : tensor<8x16xf32, #titan.sharding<[{tp}, {}], flat {dp_shard} granule 4>> -> tensor<8x16xf32, #whole>
  return %m : tensor<8x16xf32, #whole>
}

// CHECK-LABEL: func.func @local
func.func @local(%a: tensor<4x6xf32>, %b: tensor<2x3xf32>) -> tensor<2x6xf32> {
  // CHECK: titan.all_gather %{{.*}}, %{{.*}} over [dp_shard] dimension 1 : (tensor<4x6xf32>, tensor<2x3xf32>) -> (tensor<4x24xf32>, tensor<2x12xf32>)
  %g:2 = titan.all_gather %a, %b over [dp_shard] dimension 1 : (tensor<4x6xf32>, tensor<2x3xf32>) -> (tensor<4x24xf32>, tensor<2x12xf32>)
  // CHECK: titan.reduce_scatter %{{.*}} over [tp] dimension 0 : (tensor<4x6xf32>) -> tensor<2x6xf32>
  %s = titan.reduce_scatter %a over [tp] dimension 0 : (tensor<4x6xf32>) -> tensor<2x6xf32>
  // CHECK: titan.all_reduce max %{{.*}} over [dp_shard, tp] : (tensor<2x6xf32>) -> tensor<2x6xf32>
  %r = titan.all_reduce max %s over [dp_shard, tp] : (tensor<2x6xf32>) -> tensor<2x6xf32>
  // CHECK: titan.axis_slice %{{.*}} over [tp] dimension 1 : tensor<4x6xf32> -> tensor<4x3xf32>
  %p = titan.axis_slice %a over [tp] dimension 1 : tensor<4x6xf32> -> tensor<4x3xf32>
  return %r : tensor<2x6xf32>
}
