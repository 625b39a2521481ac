// RUN: titan-opt %s -titan-plan-memory | FileCheck %s

titan.variable parameter @w : tensor<16x16xf32> init #titan.normal<mean = 0.0, std = 1.0>
titan.variable parameter @v : tensor<5xf32> init #titan.constant<1.0>
titan.variable gradient @gradient.w : tensor<16x16xf32>
titan.variable gradient @gradient.v : tensor<5xf32>
titan.variable input @lr : tensor<f32>

// Congruent segments, 64-byte aligned.
// CHECK: exec.segment @parameters size 1088 in device
// CHECK: exec.segment @gradients size 1088 in device
// CHECK: exec.residual_class @batch in @residuals + 0 slots 1 bytes 1024
// CHECK: exec.residual_class @fwd_to_bwd in @residuals + 1024 slots 1 bytes 1024
// CHECK: exec.variable @w : tensor<16x16xf32> role parameter in @parameters + 0 initializer <normal
// CHECK: exec.variable @v : tensor<5xf32> role parameter in @parameters + 1024 initializer <constant
// CHECK: exec.variable @gradient.v : tensor<5xf32> role gradient in @gradients + 1024
// CHECK: exec.variable @x : tensor<16x16xf32> role input in @batch + 0

// The residual is computed where it has to be.
// CHECK: exec.func @fwd
// CHECK-DAG: %[[X:.*]] = exec.buffer @batch + 0
// CHECK-DAG: %[[W:.*]] = exec.buffer @parameters + 0
// CHECK-DAG: %[[H:.*]] = exec.buffer @fwd_to_bwd + 0
// CHECK: exec.gemm %[[X]], %[[W]] into %[[H]] m 16
// CHECK-NOT: exec.copy
func.func @fwd(%x: tensor<16x16xf32> {titan.name = "x"}) -> tensor<16x16xf32> {
  %w = titan.load @w : tensor<16x16xf32>
  %h = titan.einsum "mk,kn->mn" %x, %w : tensor<16x16xf32>, tensor<16x16xf32> -> tensor<16x16xf32>
  return %h : tensor<16x16xf32>
}

// The gradient is added in its variable, in place. The parts of the concatenation are computed into
// it.
// CHECK: exec.func @bwd
// CHECK-DAG: %[[G:.*]] = exec.buffer @gradients + 0 : memref<16x16xf32>
// CHECK: exec.gemm {{.*}} into %[[G]] accumulate
// CHECK: exec.gemm {{.*}} into %[[PART0:.*]] m 8 n 16 k 16
// CHECK: exec.gemm {{.*}} into %[[PART1:.*]] m 8 n 16 k 16
// CHECK-NOT: exec.copy
// CHECK: exec.gemm {{.*}} into %[[G]] accumulate
// CHECK-NOT: exec.copy
func.func @bwd(%x: tensor<16x16xf32> {titan.name = "x"}, %h: tensor<16x16xf32>) {
  %g = titan.load @gradient.w : tensor<16x16xf32>
  %s = titan.einsum "mk,kn->mn" %h, %x acc(%g : tensor<16x16xf32>) : tensor<16x16xf32>, tensor<16x16xf32> -> tensor<16x16xf32>
  %a = titan.slice %x at 0 : tensor<16x16xf32> -> tensor<8x16xf32>
  %b = titan.slice %x at 8 : tensor<16x16xf32> -> tensor<8x16xf32>
  %c = titan.einsum "mk,kn->mn" %a, %h : tensor<8x16xf32>, tensor<16x16xf32> -> tensor<8x16xf32>
  %d = titan.einsum "mk,kn->mn" %b, %h : tensor<8x16xf32>, tensor<16x16xf32> -> tensor<8x16xf32>
  %e = titan.concat %c, %d : tensor<8x16xf32>, tensor<8x16xf32> -> tensor<16x16xf32>
  %t = titan.einsum "mk,kn->mn" %e, %x acc(%s : tensor<16x16xf32>) : tensor<16x16xf32>, tensor<16x16xf32> -> tensor<16x16xf32>
  titan.store %t, @gradient.w : tensor<16x16xf32>
  return
}

// A value that a later op still reads is not overwritten: the accumulator is copied. A kernel's
// result takes over its dying operand.
// CHECK: exec.func @update
// CHECK: exec.copy
// CHECK: exec.gemm {{.*}} accumulate
// CHECK: exec.launch @kernel0
// CHECK: exec.kernel @kernel0(readwrite memref<5xf32>, write memref<5xf32>)
// CHECK-SAME: ties = array<i64: 0>
func.func @update() {
  %w = titan.load @w : tensor<16x16xf32>
  %g = titan.load @gradient.w : tensor<16x16xf32>
  %s = titan.einsum "mk,kn->mn" %g, %g acc(%w : tensor<16x16xf32>) : tensor<16x16xf32>, tensor<16x16xf32> -> tensor<16x16xf32>
  %t = titan.einsum "mk,kn->mn" %w, %s : tensor<16x16xf32>, tensor<16x16xf32> -> tensor<16x16xf32>
  %v = titan.load @v : tensor<5xf32>
  %k = titan.kernel (%p = %v) : (tensor<5xf32>) -> tensor<5xf32> {
    %0 = titan.neg %p : tensor<5xf32>
    titan.yield %0 : tensor<5xf32>
  }
  titan.store %k, @v : tensor<5xf32>
  titan.store %t, @w : tensor<16x16xf32>
  return
}

// CHECK: exec.timeline @train
// CHECK: exec.action run F @fwd stage 0 microbatch 0
// CHECK: exec.action run B @bwd stage 0 microbatch 0
// CHECK: exec.action run O @update stage 0 microbatch 0
