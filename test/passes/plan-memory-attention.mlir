// RUN: titan-opt %s -split-input-file -titan-plan-memory | FileCheck %s
// RUN: titan-opt %s -split-input-file -titan-plan-memory=compute-capability=90 | FileCheck %s --check-prefixes=ANY,SM90
// RUN: titan-opt %s -split-input-file -titan-plan-memory=compute-capability=80 | FileCheck %s --check-prefixes=ANY,SM80

// Attention and its gradient become instructions, with and without positions.

titan.variable input @q : tensor<2x6x4x8xf32>
titan.variable input @k : tensor<2x10x2x8xf32>
titan.variable input @qp : tensor<2x6xi32>
titan.variable input @kp : tensor<2x10xi32>
titan.variable output @out : tensor<2x6x4x8xf32>
titan.variable output @dk : tensor<2x10x2x8xf32>
titan.variable output @dv : tensor<2x10x2x8xf32>

// CHECK: exec.variable @qp : tensor<2x6xi32> role input in @[[IO:.*]] + [[QAT:.*]]{{$}}
// CHECK: exec.variable @kp : tensor<2x10xi32> role input in @[[IO]] + [[KAT:.*]]{{$}}

// CHECK: exec.func @fwd
// CHECK-DAG: %[[QP:.*]] = exec.buffer @[[IO]] + [[QAT]] : memref<2x6xi32>
// CHECK-DAG: %[[KP:.*]] = exec.buffer @[[IO]] + [[KAT]] : memref<2x10xi32>
// CHECK: exec.attention causal scale 2.500000e-01(%[[Q:.*]], %[[K:.*]], %[[K]] : {{.*}}) positions(%[[QP]], %[[KP]] : memref<2x6xi32>, memref<2x10xi32>) into(%[[OUT:.*]], %[[LSE:.*]] : memref<2x6x4x8xf32>, memref<2x4x6xf32>)
// CHECK: exec.attention_grad causal scale 2.500000e-01(%[[Q]], %[[K]], %[[K]], %[[OUT]], %[[LSE]], %[[Q]] : {{.*}}) positions(%[[QP]], %[[KP]] : memref<2x6xi32>, memref<2x10xi32>) into(
// CHECK: exec.attention scale 5.000000e-01({{.*}}) into(
// CHECK-NOT: positions
func.func @fwd() {
  %q = titan.load @q : tensor<2x6x4x8xf32>
  %k = titan.load @k : tensor<2x10x2x8xf32>
  %qp = titan.load @qp : tensor<2x6xi32>
  %kp = titan.load @kp : tensor<2x10xi32>
  %o, %l = titan.attention causal %q, %k, %k positions(%qp, %kp : tensor<2x6xi32>, tensor<2x10xi32>) scale 0.25
      : tensor<2x6x4x8xf32>, tensor<2x10x2x8xf32>, tensor<2x10x2x8xf32> -> tensor<2x6x4x8xf32>, tensor<2x4x6xf32>
  %dq, %dk, %dv = titan.attention_grad causal %q, %k, %k positions(%qp, %kp : tensor<2x6xi32>, tensor<2x10xi32>)
      result %o, %l dresult %q scale 0.25
      : tensor<2x6x4x8xf32>, tensor<2x10x2x8xf32>, tensor<2x10x2x8xf32>, tensor<2x6x4x8xf32>, tensor<2x4x6xf32>,
        tensor<2x6x4x8xf32> -> tensor<2x6x4x8xf32>, tensor<2x10x2x8xf32>, tensor<2x10x2x8xf32>
  %p, %m = titan.attention %dq, %k, %k scale 0.5
      : tensor<2x6x4x8xf32>, tensor<2x10x2x8xf32>, tensor<2x10x2x8xf32> -> tensor<2x6x4x8xf32>, tensor<2x4x6xf32>
  titan.store %p, @out : tensor<2x6x4x8xf32>
  titan.store %dk, @dk : tensor<2x10x2x8xf32>
  titan.store %dv, @dv : tensor<2x10x2x8xf32>
  return
}

// -----

// The gradient's scratch memory on a GPU: a number for each of 2 * 4 * 6 rows in float32; what cuDNN
// keeps in bfloat16, rows, sums of dquery (twice on 8.0), dkey and dvalue of each head if these share
// keys, and 512 bytes; and rows again where cuDNN would need more than 8 GiB. On CPUs it has none.
// CHECK-LABEL: exec.func @float32
// CHECK: exec.attention_grad
// CHECK-NOT: {{ scratch %}}
// ANY-LABEL: exec.func @float32
// ANY: %[[S:.*]] = exec.buffer @scratch + {{.*}} : memref<192xi8>
// ANY: exec.attention_grad {{.*}} scratch %[[S]] : memref<192xi8>
func.func @float32() {
  %q = titan.full 1.0 : tensor<2x6x4x8xf32>
  %k = titan.full 1.0 : tensor<2x10x2x8xf32>
  %l = titan.full 1.0 : tensor<2x4x6xf32>
  %dq, %dk, %dv = titan.attention_grad %q, %k, %k result %q, %l dresult %q scale 0.25
      : tensor<2x6x4x8xf32>, tensor<2x10x2x8xf32>, tensor<2x10x2x8xf32>, tensor<2x6x4x8xf32>, tensor<2x4x6xf32>,
        tensor<2x6x4x8xf32> -> tensor<2x6x4x8xf32>, tensor<2x10x2x8xf32>, tensor<2x10x2x8xf32>
  return
}
// ANY-LABEL: exec.func @grouped
// SM90: exec.attention_grad {{.*}} : memref<538968576xi8>
// SM80: exec.attention_grad {{.*}} : memref<807404032xi8>
func.func @grouped() {
  %q = titan.full 1.0 : tensor<2x8192x32x128xbf16>
  %k = titan.full 1.0 : tensor<2x8192x8x128xbf16>
  %l = titan.full 1.0 : tensor<2x32x8192xf32>
  %dq, %dk, %dv = titan.attention_grad causal %q, %k, %k result %q, %l dresult %q scale 0.25
      : tensor<2x8192x32x128xbf16>, tensor<2x8192x8x128xbf16>, tensor<2x8192x8x128xbf16>, tensor<2x8192x32x128xbf16>,
        tensor<2x32x8192xf32>, tensor<2x8192x32x128xbf16>
        -> tensor<2x8192x32x128xbf16>, tensor<2x8192x8x128xbf16>, tensor<2x8192x8x128xbf16>
  return
}
// ANY-LABEL: exec.func @own_heads
// SM90: exec.attention_grad {{.*}} : memref<42240xi8>
// SM80: exec.attention_grad {{.*}} : memref<83200xi8>
func.func @own_heads() {
  %q = titan.full 1.0 : tensor<1x40x4x64xbf16>
  %k = titan.full 1.0 : tensor<1x10x4x64xbf16>
  %l = titan.full 1.0 : tensor<1x4x40xf32>
  %dq, %dk, %dv = titan.attention_grad %q, %k, %k result %q, %l dresult %q scale 0.25
      : tensor<1x40x4x64xbf16>, tensor<1x10x4x64xbf16>, tensor<1x10x4x64xbf16>, tensor<1x40x4x64xbf16>,
        tensor<1x4x40xf32>, tensor<1x40x4x64xbf16>
        -> tensor<1x40x4x64xbf16>, tensor<1x10x4x64xbf16>, tensor<1x10x4x64xbf16>
  return
}
// ANY-LABEL: exec.func @too_much
// ANY: exec.attention_grad {{.*}} : memref<67108864xi8>
func.func @too_much() {
  %q = titan.full 1.0 : tensor<1x524288x32x128xbf16>
  %k = titan.full 1.0 : tensor<1x524288x8x128xbf16>
  %l = titan.full 1.0 : tensor<1x32x524288xf32>
  %dq, %dk, %dv = titan.attention_grad causal %q, %k, %k result %q, %l dresult %q scale 0.25
      : tensor<1x524288x32x128xbf16>, tensor<1x524288x8x128xbf16>, tensor<1x524288x8x128xbf16>,
        tensor<1x524288x32x128xbf16>, tensor<1x32x524288xf32>, tensor<1x524288x32x128xbf16>
        -> tensor<1x524288x32x128xbf16>, tensor<1x524288x8x128xbf16>, tensor<1x524288x8x128xbf16>
  return
}
