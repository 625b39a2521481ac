// Collectives under way print and parse.
// RUN: titan-opt %s | titan-opt | FileCheck %s

titan.mesh @mesh [dp_shard = 4, tp = 2]

// CHECK: titan.variable parameter @w : tensor<16xf32> global tensor<8x8xf32, #sharding> init #titan.normal
titan.variable parameter @w : tensor<16xf32> global tensor<8x8xf32, #titan.sharding<[{}, {}], flat {dp_shard} granule 4>> init #titan.normal<mean = 0.0, std = 1.0>

// CHECK-LABEL: func.func @f
func.func @f(%a: tensor<4x6xf32>, %b: tensor<2x3xf32>) -> (tensor<4x24xf32>, tensor<1x6xf32>) {
  // CHECK: %[[P:.*]]:2 = titan.start all_gather %{{.*}}, %{{.*}} over [dp_shard] dimension 1 : (tensor<4x6xf32>, tensor<2x3xf32>) -> (tensor<4x24xf32>, tensor<2x12xf32>)
  %p:2 = titan.start all_gather %a, %b over [dp_shard] dimension 1 : (tensor<4x6xf32>, tensor<2x3xf32>) -> (tensor<4x24xf32>, tensor<2x12xf32>)
  // CHECK: titan.start reduce_scatter %{{.*}} over [dp_shard] : (tensor<4x6xf32>) -> tensor<1x6xf32>
  %q = titan.start reduce_scatter %a over [dp_shard] : (tensor<4x6xf32>) -> tensor<1x6xf32>
  // CHECK: titan.await %[[P]]#0, %[[P]]#1 of %{{.*}}, %{{.*}} : (tensor<4x24xf32>, tensor<2x12xf32>, tensor<4x6xf32>, tensor<2x3xf32>) -> (tensor<4x24xf32>, tensor<2x12xf32>)
  %r:2 = titan.await %p#0, %p#1 of %a, %b : (tensor<4x24xf32>, tensor<2x12xf32>, tensor<4x6xf32>, tensor<2x3xf32>) -> (tensor<4x24xf32>, tensor<2x12xf32>)
  // CHECK: titan.start all_reduce reduction max in_place %{{.*}} over [dp_shard, tp] : (tensor<2x12xf32>) -> tensor<2x12xf32>
  %m = titan.start all_reduce reduction max in_place %r#1 over [dp_shard, tp] : (tensor<2x12xf32>) -> tensor<2x12xf32>
  // CHECK: titan.await %{{.*}} : (tensor<2x12xf32>) -> tensor<2x12xf32>
  %n = titan.await %m : (tensor<2x12xf32>) -> tensor<2x12xf32>
  %s = titan.await %q of %a : (tensor<1x6xf32>, tensor<4x6xf32>) -> tensor<1x6xf32>
  return %r#0, %s : tensor<4x24xf32>, tensor<1x6xf32>
}
