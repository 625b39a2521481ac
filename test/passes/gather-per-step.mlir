// RUN: titan-opt %s -split-input-file --titan-gather-per-step | FileCheck %s

// Gathers that are kept for the step move to @unshard, each parameter once; others stay.
// CHECK: titan.variable derived @gathered.w : tensor<8xf32, #[[WHOLE:.*]]>
// CHECK-NOT: @gathered.v
titan.mesh @mesh [dp = 2]
titan.variable parameter @v : tensor<8xf32, #titan.sharding<[{}], flat {dp} granule 4>>
titan.variable parameter @w : tensor<8xf32, #titan.sharding<[{}], flat {dp} granule 4>>
// CHECK-LABEL: func.func @fwd
func.func @fwd() -> (tensor<8xf32, #titan.sharding<[{}]>>, tensor<8xf32, #titan.sharding<[{}]>>) {
  // CHECK: titan.load @v
  %v = titan.load @v : tensor<8xf32, #titan.sharding<[{}], flat {dp} granule 4>>
  // CHECK: titan.reshard
  %0 = titan.reshard %v : tensor<8xf32, #titan.sharding<[{}], flat {dp} granule 4>> -> tensor<8xf32, #titan.sharding<[{}]>>
  // CHECK-NOT: titan.load @w
  %w = titan.load @w : tensor<8xf32, #titan.sharding<[{}], flat {dp} granule 4>>
  // CHECK: titan.load @gathered.w : tensor<8xf32, #[[WHOLE]]>
  // CHECK-NOT: titan.reshard
  %1 = titan.reshard %w placement per_step : tensor<8xf32, #titan.sharding<[{}], flat {dp} granule 4>> -> tensor<8xf32, #titan.sharding<[{}]>>
  return %0, %1 : tensor<8xf32, #titan.sharding<[{}]>>, tensor<8xf32, #titan.sharding<[{}]>>
}
// CHECK-LABEL: func.func @bwd
func.func @bwd() -> tensor<8xf32, #titan.sharding<[{}]>> {
  // CHECK-NEXT: titan.load @gathered.w
  %w = titan.load @w : tensor<8xf32, #titan.sharding<[{}], flat {dp} granule 4>>
  %1 = titan.reshard %w placement per_step : tensor<8xf32, #titan.sharding<[{}], flat {dp} granule 4>> -> tensor<8xf32, #titan.sharding<[{}]>>
  return %1 : tensor<8xf32, #titan.sharding<[{}]>>
}
// CHECK: func.func {{.*}}@unshard()
// CHECK: %[[SLICE:.*]] = titan.load @w
// CHECK: %[[GATHERED:.*]] = titan.reshard %[[SLICE]] placement per_step
// CHECK: titan.store %[[GATHERED]], @gathered.w
// CHECK-NOT: titan.store

// -----

// The narrow copy of a slice is gathered, and computed where it is.
// CHECK: titan.variable derived @gathered.w : tensor<8xbf16, #[[WHOLE:.*]]>
titan.mesh @mesh [dp = 2]
titan.variable parameter @w : tensor<8xf32, #titan.sharding<[{}], flat {dp} granule 4>>
// CHECK-LABEL: func.func @fwd
// CHECK-NEXT: titan.load @gathered.w : tensor<8xbf16, #[[WHOLE]]>
// CHECK-NEXT: return
func.func @fwd() -> tensor<8xbf16, #titan.sharding<[{}]>> {
  %w = titan.load @w : tensor<8xf32, #titan.sharding<[{}], flat {dp} granule 4>>
  %c = titan.cast %w : tensor<8xf32, #titan.sharding<[{}], flat {dp} granule 4>> -> tensor<8xbf16, #titan.sharding<[{}], flat {dp} granule 4>>
  %1 = titan.reshard %c placement per_step : tensor<8xbf16, #titan.sharding<[{}], flat {dp} granule 4>> -> tensor<8xbf16, #titan.sharding<[{}]>>
  return %1 : tensor<8xbf16, #titan.sharding<[{}]>>
}
// CHECK: func.func {{.*}}@unshard()
// CHECK: %[[SLICE:.*]] = titan.load @w
// CHECK: %[[COPY:.*]] = titan.cast %[[SLICE]]
// CHECK: %[[GATHERED:.*]] = titan.reshard %[[COPY]] placement per_step
// CHECK: titan.store %[[GATHERED]], @gathered.w

// -----

// Nothing to gather, no function.
// CHECK-LABEL: func.func @fwd
// CHECK-NOT: @unshard
func.func @fwd() {
  return
}
