// Kernels that titan-form-kernels never forms, and that have no schedule of loops.
// RUN: titan-opt %s -titan-plan-memory -split-input-file -verify-diagnostics -o /dev/null

titan.variable input @x : tensor<8x64xf32>
titan.variable output @y : tensor<8x64xf32>
func.func @fwd() {
  %x = titan.load @x : tensor<8x64xf32>
  // expected-error @+1 {{yields its operand as result 0}}
  %y = titan.kernel (%a = %x) : (tensor<8x64xf32>) -> tensor<8x64xf32> {
    titan.yield %a : tensor<8x64xf32>
  }
  titan.store %y, @y : tensor<8x64xf32>
  return
}

// -----

titan.variable input @x : tensor<8x64xf32>
titan.variable output @y : tensor<f32>
func.func @fwd() {
  %x = titan.load @x : tensor<8x64xf32>
  %y = titan.kernel (%a = %x) : (tensor<8x64xf32>) -> tensor<f32> {
    %c = titan.reduce sum %a [0] : tensor<8x64xf32> -> tensor<64xf32>
    // expected-error @+1 {{reduces the result of a reduction over rows in one kernel}}
    %s = titan.reduce sum %c [0] : tensor<64xf32> -> tensor<f32>
    titan.yield %s : tensor<f32>
  }
  titan.store %y, @y : tensor<f32>
  return
}

// -----

titan.variable input @x : tensor<8x64xf32>
titan.variable input @z : tensor<4x64xf32>
titan.variable output @y : tensor<8xf32>
titan.variable output @w : tensor<4xf32>
func.func @fwd() {
  %x = titan.load @x : tensor<8x64xf32>
  %z = titan.load @z : tensor<4x64xf32>
  %y:2 = titan.kernel (%a = %x, %b = %z) : (tensor<8x64xf32>, tensor<4x64xf32>) -> (tensor<8xf32>, tensor<4xf32>) {
    %c = titan.reduce sum %a [1] : tensor<8x64xf32> -> tensor<8xf32>
    // expected-error @+1 {{reduces over other rows than the rest of its kernel}}
    %d = titan.reduce sum %b [1] : tensor<4x64xf32> -> tensor<4xf32>
    titan.yield %c, %d : tensor<8xf32>, tensor<4xf32>
  }
  titan.store %y#0, @y : tensor<8xf32>
  titan.store %y#1, @w : tensor<4xf32>
  return
}

// -----

titan.variable input @x : tensor<8x64xf32>
titan.variable input @z : tensor<4x64xf32>
titan.variable output @y : tensor<8xf32>
titan.variable output @w : tensor<4x64xf32>
func.func @fwd() {
  %x = titan.load @x : tensor<8x64xf32>
  %z = titan.load @z : tensor<4x64xf32>
  %y:2 = titan.kernel (%a = %x, %b = %z) : (tensor<8x64xf32>, tensor<4x64xf32>) -> (tensor<8xf32>, tensor<4x64xf32>) {
    %c = titan.reduce sum %a [1] : tensor<8x64xf32> -> tensor<8xf32>
    // expected-error @+1 {{has other leading loops than the rows of its kernel}}
    %d = titan.exp %b : tensor<4x64xf32>
    titan.yield %c, %d : tensor<8xf32>, tensor<4x64xf32>
  }
  titan.store %y#0, @y : tensor<8xf32>
  titan.store %y#1, @w : tensor<4x64xf32>
  return
}

// -----

titan.variable input @x : tensor<8x64xf32>
titan.variable output @y : tensor<64x8xf32>
func.func @fwd() {
  %x = titan.load @x : tensor<8x64xf32>
  %y = titan.kernel (%a = %x) : (tensor<8x64xf32>) -> tensor<64x8xf32> {
    %c = titan.reduce sum %a [1] : tensor<8x64xf32> -> tensor<8xf32>
    %b = titan.broadcast %c [1] : tensor<8xf32> -> tensor<64x8xf32>
    // expected-error @+1 {{has other leading loops than the rows of its kernel}}
    %d = titan.exp %b : tensor<64x8xf32>
    titan.yield %d : tensor<64x8xf32>
  }
  titan.store %y, @y : tensor<64x8xf32>
  return
}

// -----

titan.variable input @x : tensor<8x8xf32>
titan.variable output @y : tensor<8x8xf32>
func.func @fwd() {
  %x = titan.load @x : tensor<8x8xf32>
  %y = titan.kernel (%a = %x) : (tensor<8x8xf32>) -> tensor<8x8xf32> {
    %c = titan.reduce sum %a [1] : tensor<8x8xf32> -> tensor<8xf32>
    // expected-error @+1 {{reads, in one kernel, what another row reduces}}
    %b = titan.broadcast %c [1] : tensor<8xf32> -> tensor<8x8xf32>
    titan.yield %b : tensor<8x8xf32>
  }
  titan.store %y, @y : tensor<8x8xf32>
  return
}

// -----

// Two columns for each iteration of a rotation.
titan.variable input @x : tensor<1x8x2x16xf32>
titan.variable input @c : tensor<8x8xf32>
titan.variable output @y : tensor<1x8x2x16xf32>
func.func @fwd() {
  %x = titan.load @x : tensor<1x8x2x16xf32>
  %c = titan.load @c : tensor<8x8xf32>
  %y = titan.kernel (%a = %x, %t = %c) : (tensor<1x8x2x16xf32>, tensor<8x8xf32>) -> tensor<1x8x2x16xf32> {
    %r = titan.rope %a, %t, %t : tensor<1x8x2x16xf32>, tensor<8x8xf32>, tensor<8x8xf32> -> tensor<1x8x2x16xf32>
    // expected-error @+1 {{reads, in one kernel, the result of an op whose iterations write more than one element}}
    %e = titan.exp %r : tensor<1x8x2x16xf32>
    titan.yield %e : tensor<1x8x2x16xf32>
  }
  titan.store %y, @y : tensor<1x8x2x16xf32>
  return
}

// -----

titan.variable input @x : tensor<8x8xf32>
titan.variable output @y : tensor<8xf32>
titan.variable output @z : tensor<8x8xf32>
func.func @fwd() {
  %x = titan.load @x : tensor<8x8xf32>
  %y:2 = titan.kernel (%a = %x) : (tensor<8x8xf32>) -> (tensor<8xf32>, tensor<8x8xf32>) {
    %c = titan.reduce sum %a [0] : tensor<8x8xf32> -> tensor<8xf32>
    // expected-error @+1 {{has other loops than the reductions over rows that it follows}}
    %b = titan.broadcast %c [1] : tensor<8xf32> -> tensor<8x8xf32>
    titan.yield %c, %b : tensor<8xf32>, tensor<8x8xf32>
  }
  titan.store %y#0, @y : tensor<8xf32>
  titan.store %y#1, @z : tensor<8x8xf32>
  return
}

// -----

titan.variable input @x : tensor<8x4x4xf32>
titan.variable output @y : tensor<4x4xf32>
func.func @fwd() {
  %x = titan.load @x : tensor<8x4x4xf32>
  %y = titan.kernel (%a = %x) : (tensor<8x4x4xf32>) -> tensor<4x4xf32> {
    %c = titan.reduce sum %a [0] : tensor<8x4x4xf32> -> tensor<4x4xf32>
    // expected-error @+1 {{reads another element of a reduction over rows than its own}}
    %t = titan.transpose %c [1, 0] : tensor<4x4xf32> -> tensor<4x4xf32>
    titan.yield %t : tensor<4x4xf32>
  }
  titan.store %y, @y : tensor<4x4xf32>
  return
}

// -----

titan.variable input @x : tensor<8x4x6xf32>
titan.variable input @v : tensor<6x4xf32>
titan.variable output @y : tensor<4x6xf32>
func.func @fwd() {
  %x = titan.load @x : tensor<8x4x6xf32>
  %v = titan.load @v : tensor<6x4xf32>
  // expected-error @+1 {{reads operands in another order than the sums over its rows}}
  %y = titan.kernel (%a = %x, %b = %v) : (tensor<8x4x6xf32>, tensor<6x4xf32>) -> tensor<4x6xf32> {
    %c = titan.reduce sum %a [0] : tensor<8x4x6xf32> -> tensor<4x6xf32>
    %t = titan.transpose %b [1, 0] : tensor<6x4xf32> -> tensor<4x6xf32>
    %s = titan.add %c, %t : tensor<4x6xf32>
    titan.yield %s : tensor<4x6xf32>
  }
  titan.store %y, @y : tensor<4x6xf32>
  return
}

// -----

titan.variable input @x : tensor<8x64xf32>
titan.variable input @z : tensor<4x64xf32>
titan.variable output @y : tensor<8x64xf32>
titan.variable output @w : tensor<4x64xf32>
func.func @fwd() {
  %x = titan.load @x : tensor<8x64xf32>
  %z = titan.load @z : tensor<4x64xf32>
  // expected-error @+1 {{has roots without a common leading loop}}
  %y:2 = titan.kernel (%a = %x, %b = %z) : (tensor<8x64xf32>, tensor<4x64xf32>) -> (tensor<8x64xf32>, tensor<4x64xf32>) {
    %c = titan.exp %a : tensor<8x64xf32>
    %d = titan.exp %b : tensor<4x64xf32>
    titan.yield %c, %d : tensor<8x64xf32>, tensor<4x64xf32>
  }
  titan.store %y#0, @y : tensor<8x64xf32>
  titan.store %y#1, @w : tensor<4x64xf32>
  return
}

// -----

titan.variable parameter @w : tensor<4xf32>
func.func @fwd() {
  %w = titan.load @w : tensor<4xf32>
  // expected-error @+1 {{has no place in memory: it is no BufferingOpInterface}}
  %e = titan.exp %w : tensor<4xf32>
  titan.store %e, @w : tensor<4xf32>
  return
}
