// One grouped collective per layer, kind and axes; where each goes.
// RUN: titan-opt %s -titan-bucket-collectives -split-input-file | FileCheck %s
// RUN: titan-opt %s -titan-bucket-collectives=limit=0 -split-input-file | FileCheck %s --check-prefix=ALONE

titan.mesh @mesh [dp_shard = 2]
titan.variable parameter @layers.0.wq : tensor<8xf32>
titan.variable parameter @layers.0.wk : tensor<8xf32>
titan.variable parameter @layers.1.wq : tensor<8xf32>
titan.variable parameter @output : tensor<8xf32>

// Listed as one likes; each layer's gather stands before its first use, which is no view.
// CHECK-LABEL: func.func @gathers
// CHECK-SAME: %[[X:.*]]: tensor
// CHECK-DAG: %[[Q:.*]] = titan.load @layers.0.wq
// CHECK-DAG: %[[K:.*]] = titan.load @layers.0.wk
// CHECK: %[[G:.*]]:2 = titan.all_gather %[[Q]], %[[K]] over [dp_shard] dimension 0 : (tensor<8xf32>, tensor<8xf32>) -> (tensor<16xf32>, tensor<16xf32>)
// CHECK: %[[A:.*]] = titan.einsum {{.*}} %[[X]]
// CHECK: %[[B:.*]] = titan.einsum {{.*}} %[[A]]
// CHECK: titan.all_gather %{{[^,]*}} over [dp_shard]
// CHECK: %[[C:.*]] = titan.einsum {{.*}} %[[B]]
// CHECK: titan.all_gather %{{[^,]*}} over [dp_shard]
// CHECK: titan.einsum {{.*}} %[[C]]
// CHECK-NOT: titan.all_gather
// ALONE-LABEL: func.func @gathers
// ALONE-COUNT-4: titan.all_gather %{{[^,]*}} over
// ALONE-NOT: titan.all_gather
func.func @gathers(%x: tensor<4x4xf32>) -> tensor<4x4xf32> {
  %so = titan.load @output : tensor<8xf32>
  %fo = titan.all_gather %so over [dp_shard] dimension 0 : (tensor<8xf32>) -> tensor<16xf32>
  %wo = titan.reshape %fo : tensor<16xf32> -> tensor<4x4xf32>
  %sr = titan.load @layers.1.wq : tensor<8xf32>
  %fr = titan.all_gather %sr over [dp_shard] dimension 0 : (tensor<8xf32>) -> tensor<16xf32>
  %wr = titan.reshape %fr : tensor<16xf32> -> tensor<4x4xf32>
  %sq = titan.load @layers.0.wq : tensor<8xf32>
  %fq = titan.all_gather %sq over [dp_shard] dimension 0 : (tensor<8xf32>) -> tensor<16xf32>
  %wq = titan.reshape %fq : tensor<16xf32> -> tensor<4x4xf32>
  %a = titan.einsum "mk,nk->mn" %x, %wq : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>
  %sk = titan.load @layers.0.wk : tensor<8xf32>
  %fk = titan.all_gather %sk over [dp_shard] dimension 0 : (tensor<8xf32>) -> tensor<16xf32>
  %wk = titan.reshape %fk : tensor<16xf32> -> tensor<4x4xf32>
  %b = titan.einsum "mk,nk->mn" %a, %wk : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>
  %c = titan.einsum "mk,nk->mn" %b, %wr : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>
  %d = titan.einsum "mk,nk->mn" %c, %wo : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>
  return %d : tensor<4x4xf32>
}

// -----

titan.mesh @mesh [dp_replicate = 2, dp_shard = 2]
titan.variable gradient @gradient.layers.0.wq : tensor<8xf32>
titan.variable gradient @gradient.layers.0.wk : tensor<8xf32>

// The gradients of a layer are scattered when the last one is ready, and then reduced over the
// replicas; the sums that are stored wait.
// CHECK-LABEL: func.func @gradients
// CHECK: titan.einsum
// CHECK: titan.einsum
// CHECK: %[[S:.*]]:2 = titan.reduce_scatter %{{.*}}, %{{.*}} over [dp_shard]
// CHECK: %[[R:.*]]:2 = titan.all_reduce sum %[[S]]#0, %[[S]]#1 over [dp_replicate]
// CHECK: titan.add %{{.*}}, %[[R]]#0
// CHECK: titan.add %{{.*}}, %[[R]]#1
// CHECK-NOT: titan.reduce_scatter
func.func @gradients(%x: tensor<4x4xf32>) {
  %gq = titan.load @gradient.layers.0.wq : tensor<8xf32>
  %gk = titan.load @gradient.layers.0.wk : tensor<8xf32>
  %dq = titan.einsum "mk,nk->mn" %x, %x : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>
  %fq = titan.reshape %dq : tensor<4x4xf32> -> tensor<16xf32>
  %sq = titan.reduce_scatter %fq over [dp_shard] dimension 0 : (tensor<16xf32>) -> tensor<8xf32>
  %rq = titan.all_reduce sum %sq over [dp_replicate] : (tensor<8xf32>) -> tensor<8xf32>
  %aq = titan.add %gq, %rq : tensor<8xf32>
  titan.store %aq, @gradient.layers.0.wq : tensor<8xf32>
  %dk = titan.einsum "mk,kn->mn" %x, %x : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>
  %fk = titan.reshape %dk : tensor<4x4xf32> -> tensor<16xf32>
  %sk = titan.reduce_scatter %fk over [dp_shard] dimension 0 : (tensor<16xf32>) -> tensor<8xf32>
  %rk = titan.all_reduce sum %sk over [dp_replicate] : (tensor<8xf32>) -> tensor<8xf32>
  %ak = titan.add %gk, %rk : tensor<8xf32>
  titan.store %ak, @gradient.layers.0.wk : tensor<8xf32>
  return
}

// -----

// A sum that the next operand depends on stays alone.
titan.mesh @mesh [tp = 2]
// CHECK-LABEL: func.func @chain
// CHECK: titan.all_reduce sum %{{[^,]*}} over
// CHECK: titan.einsum
// CHECK: titan.all_reduce sum %{{[^,]*}} over
func.func @chain(%x: tensor<4x4xf32>) -> tensor<4x4xf32> {
  %a = titan.all_reduce sum %x over [tp] : (tensor<4x4xf32>) -> tensor<4x4xf32>
  %b = titan.einsum "mk,nk->mn" %a, %a : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>
  %c = titan.all_reduce sum %b over [tp] : (tensor<4x4xf32>) -> tensor<4x4xf32>
  return %c : tensor<4x4xf32>
}
