// RUN: titan-opt %s -titan-plan-memory | FileCheck %s

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
