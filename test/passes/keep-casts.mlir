// RUN: titan-opt %s -split-input-file --titan-keep-casts | FileCheck %s

// A narrow copy of a parameter becomes a variable that lies like it, once for all its uses; what
// stores the parameter stores the copy, and @derive makes it from the parameter.
// CHECK-DAG: #[[FLAT:.*]] = #titan.sharding<[{}], flat {dp} granule 4>
// CHECK: titan.variable derived @bf16.w : tensor<8xbf16, #[[FLAT]]> padding 2
// CHECK-NOT: @bf16.v
titan.mesh @mesh [dp = 2]
titan.variable parameter @w : tensor<8xf32, #titan.sharding<[{}], flat {dp} granule 4>> padding 2
titan.variable parameter @v : tensor<8xf32, #titan.sharding<[{}], flat {dp} granule 4>>
titan.variable gradient @gradient.w : tensor<8xf32, #titan.sharding<[{}], flat {dp} granule 4>>
// CHECK-LABEL: func.func @fwd
func.func @fwd() -> (tensor<8xbf16, #titan.sharding<[{}]>>, tensor<8xf32, #titan.sharding<[{}], flat {dp} granule 4>>, tensor<8xbf16, #titan.sharding<[{}], flat {dp} granule 4>>) {
  // CHECK-NEXT: %[[COPY:.*]] = titan.load @bf16.w : tensor<8xbf16, #[[FLAT]]>
  // CHECK-NEXT: %[[W:.*]] = titan.reshard %[[COPY]]
  %w = titan.load @w : tensor<8xf32, #titan.sharding<[{}], flat {dp} granule 4>>
  %c = titan.cast %w : tensor<8xf32, #titan.sharding<[{}], flat {dp} granule 4>> -> tensor<8xbf16, #titan.sharding<[{}], flat {dp} granule 4>>
  %r = titan.reshard %c : tensor<8xbf16, #titan.sharding<[{}], flat {dp} granule 4>> -> tensor<8xbf16, #titan.sharding<[{}]>>
  // What is not narrower, or no parameter's, is computed where it is.
  // CHECK-NEXT: %[[V:.*]] = titan.load @v
  // CHECK-NEXT: titan.neg %[[V]]
  %v = titan.load @v : tensor<8xf32, #titan.sharding<[{}], flat {dp} granule 4>>
  %n = titan.neg %v : tensor<8xf32, #titan.sharding<[{}], flat {dp} granule 4>>
  // CHECK-NEXT: %[[G:.*]] = titan.load @gradient.w
  // CHECK-NEXT: titan.cast %[[G]]
  %g = titan.load @gradient.w : tensor<8xf32, #titan.sharding<[{}], flat {dp} granule 4>>
  %h = titan.cast %g : tensor<8xf32, #titan.sharding<[{}], flat {dp} granule 4>> -> tensor<8xbf16, #titan.sharding<[{}], flat {dp} granule 4>>
  return %r, %n, %h : tensor<8xbf16, #titan.sharding<[{}]>>, tensor<8xf32, #titan.sharding<[{}], flat {dp} granule 4>>, tensor<8xbf16, #titan.sharding<[{}], flat {dp} granule 4>>
}
// What reads the parameter itself goes on doing so.
// CHECK-LABEL: func.func @bwd
func.func @bwd() -> (tensor<8xbf16, #titan.sharding<[{}], flat {dp} granule 4>>, tensor<8xf32, #titan.sharding<[{}], flat {dp} granule 4>>) {
  // CHECK-NEXT: %[[MASTER:.*]] = titan.load @w
  // CHECK-NEXT: %[[COPY:.*]] = titan.load @bf16.w
  // CHECK-NEXT: return %[[COPY]], %[[MASTER]]
  %w = titan.load @w : tensor<8xf32, #titan.sharding<[{}], flat {dp} granule 4>>
  %c = titan.cast %w : tensor<8xf32, #titan.sharding<[{}], flat {dp} granule 4>> -> tensor<8xbf16, #titan.sharding<[{}], flat {dp} granule 4>>
  return %c, %w : tensor<8xbf16, #titan.sharding<[{}], flat {dp} granule 4>>, tensor<8xf32, #titan.sharding<[{}], flat {dp} granule 4>>
}
// CHECK-LABEL: func.func @update
func.func @update() {
  %w = titan.load @w : tensor<8xf32, #titan.sharding<[{}], flat {dp} granule 4>>
  %g = titan.load @gradient.w : tensor<8xf32, #titan.sharding<[{}], flat {dp} granule 4>>
  // CHECK: %[[NEW:.*]] = titan.add
  %n = titan.add %w, %g : tensor<8xf32, #titan.sharding<[{}], flat {dp} granule 4>>
  // CHECK-NEXT: titan.store %[[NEW]], @w
  // CHECK-NEXT: %[[COPY:.*]] = titan.cast %[[NEW]]
  // CHECK-NEXT: titan.store %[[COPY]], @bf16.w : tensor<8xbf16, #[[FLAT]]>
  titan.store %n, @w : tensor<8xf32, #titan.sharding<[{}], flat {dp} granule 4>>
  return
}
// CHECK: func.func {{.*}}@derive()
// CHECK-NEXT: %[[W:.*]] = titan.load @w
// CHECK-NEXT: %[[COPY:.*]] = titan.cast %[[W]]
// CHECK-NEXT: titan.store %[[COPY]], @bf16.w
// CHECK-NEXT: return

// -----

// Another function of a parameter has a copy of its own. Ranks of a pipeline derive what they have.
// CHECK: titan.variable derived @bf16.w : tensor<8xbf16>
// CHECK: titan.variable derived @bf16.w.2 : tensor<8xbf16>
// CHECK: titan.variable derived @f16.v : tensor<8xf16>
titan.variable parameter @w : tensor<8xf32>
titan.variable parameter @v : tensor<8xf32>
// CHECK-LABEL: func.func @fwd.0
func.func @fwd.0() -> (tensor<8xbf16>, tensor<8xbf16>) attributes {titan.pipeline_rank = 0 : i64} {
  // CHECK-NEXT: titan.load @bf16.w :
  // CHECK-NEXT: titan.load @bf16.w.2
  // CHECK-NEXT: return
  %w = titan.load @w : tensor<8xf32>
  %c = titan.cast %w : tensor<8xf32> -> tensor<8xbf16>
  %m = titan.map (%a = %w) : (tensor<8xf32>) -> tensor<8xbf16> {
    %0 = arith.negf %a : f32
    titan.yield %0 : f32
  }
  return %c, %m : tensor<8xbf16>, tensor<8xbf16>
}
func.func @fwd.1() -> tensor<8xf16> attributes {titan.pipeline_rank = 1 : i64} {
  %v = titan.load @v : tensor<8xf32>
  %c = titan.cast %v : tensor<8xf32> -> tensor<8xf16>
  return %c : tensor<8xf16>
}
// CHECK: func.func {{.*}}@derive.0() attributes {titan.pipeline_rank = 0 : i64}
// CHECK-COUNT-2: titan.store {{.*}}@bf16.w
// CHECK-NOT: titan.store
// CHECK: func.func {{.*}}@derive.1() attributes {titan.pipeline_rank = 1 : i64}
// CHECK: titan.store {{.*}}@f16.v
// CHECK-NOT: titan.store

// -----

// Without narrow copies there is nothing to derive.
// CHECK-NOT: @derive
titan.variable parameter @w : tensor<8xf32>
// CHECK-LABEL: func.func @loss
func.func @loss() -> tensor<8xf32> {
  %w = titan.load @w : tensor<8xf32>
  return %w : tensor<8xf32>
}
