// Functions in which computing in place would destroy a value that is still needed. The pass proves
// each plan by replaying it (passes/memory/CheckPlacement.h), so that it is enough that it succeeds.
// RUN: titan-opt %s -titan-plan-memory -split-input-file -verify-diagnostics -o /dev/null

// The accumulator is also read as an operand, and the sum is stored.
titan.variable derived @a : tensor<4x4xf32>
titan.variable derived @y : tensor<8x4xf32>
func.func @update() {
  %a = titan.load @a : tensor<4x4xf32>
  %d = titan.einsum "mk,kn->mn" %a, %a : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>
  %e = titan.einsum "mk,kn->mn" %d, %a acc(%d : tensor<4x4xf32>): tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>
  %c = titan.concat %e, %a : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<8x4xf32>
  titan.store %c, @y : tensor<8x4xf32>
  return
}

// -----

// Accumulator and both operands are one value.
titan.variable derived @x : tensor<16x16xf32>
titan.variable derived @y : tensor<16x16xf32>
titan.variable derived @z : tensor<16x16xf32>
titan.variable derived @a : tensor<16x16xf32>
titan.variable derived @b : tensor<16x16xf32>

func.func @update() {
  %x = titan.load @x : tensor<16x16xf32>
  %y = titan.load @y : tensor<16x16xf32>
  %a = titan.load @a : tensor<16x16xf32>
  %b = titan.load @b : tensor<16x16xf32>

  %d = titan.einsum "mk,kn->mn" %a, %b : tensor<16x16xf32>, tensor<16x16xf32> -> tensor<16x16xf32>
  %e = titan.einsum "mk,kn->mn" %d, %d acc(%d : tensor<16x16xf32>) : tensor<16x16xf32>, tensor<16x16xf32> -> tensor<16x16xf32>
  titan.store %e, @z : tensor<16x16xf32>
  return
}

// -----

// A part of a concatenation is accumulated into and the whole read later.
titan.variable derived @x : tensor<16x16xf32>
titan.variable derived @y : tensor<16x16xf32>
titan.variable derived @z : tensor<16x16xf32>
titan.variable derived @a : tensor<16x16xf32>
titan.variable derived @b : tensor<16x16xf32>

func.func @update() {
  %x = titan.load @x : tensor<16x16xf32>
  %y = titan.load @y : tensor<16x16xf32>
  %a = titan.load @a : tensor<16x16xf32>
  %b = titan.load @b : tensor<16x16xf32>

  %q = titan.slice %a at 0 : tensor<16x16xf32> -> tensor<8x16xf32>
  %c = titan.einsum "mk,kn->mn" %q, %b : tensor<8x16xf32>, tensor<16x16xf32> -> tensor<8x16xf32>
  %d = titan.einsum "mk,kn->mn" %q, %a : tensor<8x16xf32>, tensor<16x16xf32> -> tensor<8x16xf32>
  %C = titan.concat %c, %d : tensor<8x16xf32>, tensor<8x16xf32> -> tensor<16x16xf32>
  %e = titan.einsum "mk,kn->mn" %a, %b acc(%C : tensor<16x16xf32>) : tensor<16x16xf32>, tensor<16x16xf32> -> tensor<16x16xf32>
  %f = titan.einsum "km,kn->mn" %c, %d : tensor<8x16xf32>, tensor<8x16xf32> -> tensor<16x16xf32>
  %g = titan.einsum "mk,kn->mn" %e, %f : tensor<16x16xf32>, tensor<16x16xf32> -> tensor<16x16xf32>
  titan.store %g, @z : tensor<16x16xf32>
  return
}

// -----

// A view is accumulated into and its base read later.
titan.variable derived @x : tensor<16x16xf32>
titan.variable derived @y : tensor<16x16xf32>
titan.variable derived @z : tensor<16x16xf32>
titan.variable derived @a : tensor<16x16xf32>
titan.variable derived @b : tensor<16x16xf32>

func.func @update() {
  %x = titan.load @x : tensor<16x16xf32>
  %y = titan.load @y : tensor<16x16xf32>
  %a = titan.load @a : tensor<16x16xf32>
  %b = titan.load @b : tensor<16x16xf32>

  %d = titan.einsum "mk,kn->mn" %a, %b : tensor<16x16xf32>, tensor<16x16xf32> -> tensor<16x16xf32>
  %s = titan.slice %d at 0 : tensor<16x16xf32> -> tensor<8x16xf32>
  %q = titan.slice %a at 0 : tensor<16x16xf32> -> tensor<8x16xf32>
  %e = titan.einsum "mk,kn->mn" %q, %b acc(%s : tensor<8x16xf32>) : tensor<8x16xf32>, tensor<16x16xf32> -> tensor<8x16xf32>
  %c = titan.concat %e, %e : tensor<8x16xf32>, tensor<8x16xf32> -> tensor<16x16xf32>
  %f = titan.einsum "mk,kn->mn" %d, %c : tensor<16x16xf32>, tensor<16x16xf32> -> tensor<16x16xf32>
  titan.store %f, @z : tensor<16x16xf32>
  return
}

// -----

// An operand is a view of the accumulator.
titan.variable derived @x : tensor<16x16xf32>
titan.variable derived @y : tensor<16x16xf32>
titan.variable derived @z : tensor<16x16xf32>
titan.variable derived @a : tensor<16x16xf32>
titan.variable derived @b : tensor<16x16xf32>

func.func @update() {
  %x = titan.load @x : tensor<16x16xf32>
  %y = titan.load @y : tensor<16x16xf32>
  %a = titan.load @a : tensor<16x16xf32>
  %b = titan.load @b : tensor<16x16xf32>

  %d = titan.einsum "mk,kn->mn" %a, %b : tensor<16x16xf32>, tensor<16x16xf32> -> tensor<16x16xf32>
  %r = titan.reshape %d : tensor<16x16xf32> -> tensor<8x32xf32>
  %r2 = titan.reshape %r : tensor<8x32xf32> -> tensor<16x16xf32>
  %e = titan.einsum "mk,kn->mn" %r2, %a acc(%d : tensor<16x16xf32>) : tensor<16x16xf32>, tensor<16x16xf32> -> tensor<16x16xf32>
  %f = titan.einsum "mk,kn->mn" %e, %e : tensor<16x16xf32>, tensor<16x16xf32> -> tensor<16x16xf32>
  titan.store %f, @z : tensor<16x16xf32>
  return
}

// -----

// A concatenation is stored over a value that is read later.
titan.variable derived @x : tensor<16x16xf32>
titan.variable derived @y : tensor<16x16xf32>
titan.variable derived @z : tensor<16x16xf32>
titan.variable derived @a : tensor<16x16xf32>
titan.variable derived @b : tensor<16x16xf32>

func.func @update() {
  %x = titan.load @x : tensor<16x16xf32>
  %y = titan.load @y : tensor<16x16xf32>
  %a = titan.load @a : tensor<16x16xf32>
  %b = titan.load @b : tensor<16x16xf32>

  %q = titan.slice %a at 0 : tensor<16x16xf32> -> tensor<8x16xf32>
  %c = titan.einsum "mk,kn->mn" %q, %b : tensor<8x16xf32>, tensor<16x16xf32> -> tensor<8x16xf32>
  %d = titan.einsum "mk,kn->mn" %q, %a : tensor<8x16xf32>, tensor<16x16xf32> -> tensor<8x16xf32>
  %C = titan.concat %c, %d : tensor<8x16xf32>, tensor<8x16xf32> -> tensor<16x16xf32>
  titan.store %C, @y : tensor<16x16xf32>
  %e = titan.einsum "mk,kn->mn" %a, %y : tensor<16x16xf32>, tensor<16x16xf32> -> tensor<16x16xf32>
  titan.store %e, @z : tensor<16x16xf32>
  return
}

// -----

// A kernel reads one value twice and stores its result over it.
titan.variable derived @x : tensor<16x16xf32>
titan.variable derived @y : tensor<16x16xf32>
titan.variable derived @z : tensor<16x16xf32>
titan.variable derived @a : tensor<16x16xf32>
titan.variable derived @b : tensor<16x16xf32>

func.func @update() {
  %x = titan.load @x : tensor<16x16xf32>
  %y = titan.load @y : tensor<16x16xf32>
  %a = titan.load @a : tensor<16x16xf32>
  %b = titan.load @b : tensor<16x16xf32>

  %c = titan.kernel (%p = %y, %q = %y) : (tensor<16x16xf32>, tensor<16x16xf32>) -> tensor<16x16xf32> {
 %0 = titan.add %p, %q : tensor<16x16xf32>
 titan.yield %0 : tensor<16x16xf32>
}
  titan.store %c, @y : tensor<16x16xf32>
  return
}

// -----

// A kernel reads a part of the variable that its result is stored to.
titan.variable derived @x : tensor<16x16xf32>
titan.variable derived @y : tensor<16x16xf32>
titan.variable derived @z : tensor<16x16xf32>
titan.variable derived @a : tensor<16x16xf32>
titan.variable derived @b : tensor<16x16xf32>

func.func @update() {
  %x = titan.load @x : tensor<16x16xf32>
  %y = titan.load @y : tensor<16x16xf32>
  %a = titan.load @a : tensor<16x16xf32>
  %b = titan.load @b : tensor<16x16xf32>

  %q = titan.slice %y at 4 : tensor<16x16xf32> -> tensor<8x16xf32>
  %q0 = titan.slice %a at 0 : tensor<16x16xf32> -> tensor<8x16xf32>
  %d = titan.einsum "mk,kn->mn" %q0, %b : tensor<8x16xf32>, tensor<16x16xf32> -> tensor<8x16xf32>
  %c = titan.kernel (%p = %q) : (tensor<8x16xf32>) -> tensor<8x16xf32> {
 %0 = titan.neg %p : tensor<8x16xf32>
 titan.yield %0 : tensor<8x16xf32>
}
  %C = titan.concat %c, %d : tensor<8x16xf32>, tensor<8x16xf32> -> tensor<16x16xf32>
  titan.store %C, @y : tensor<16x16xf32>
  return
}

// -----

// A variable is stored anew and its old value returned.
titan.variable derived @x : tensor<16x16xf32>
titan.variable derived @y : tensor<16x16xf32>
titan.variable derived @z : tensor<16x16xf32>
titan.variable derived @a : tensor<16x16xf32>
titan.variable derived @b : tensor<16x16xf32>

func.func @fwd() -> tensor<16x16xf32> {
  %x = titan.load @x : tensor<16x16xf32>
  %y = titan.load @y : tensor<16x16xf32>
  %a = titan.load @a : tensor<16x16xf32>
  %b = titan.load @b : tensor<16x16xf32>

  %c = titan.kernel (%p = %y) : (tensor<16x16xf32>) -> tensor<16x16xf32> {
 %0 = titan.neg %p : tensor<16x16xf32>
 titan.yield %0 : tensor<16x16xf32>
}
  titan.store %c, @y : tensor<16x16xf32>
  return %y : tensor<16x16xf32>
}

// -----

// A variable becomes its own halves, exchanged.
titan.variable derived @x : tensor<16x16xf32>
titan.variable derived @y : tensor<16x16xf32>
titan.variable derived @z : tensor<16x16xf32>
titan.variable derived @a : tensor<16x16xf32>
titan.variable derived @b : tensor<16x16xf32>

func.func @update() {
  %x = titan.load @x : tensor<16x16xf32>
  %y = titan.load @y : tensor<16x16xf32>
  %a = titan.load @a : tensor<16x16xf32>
  %b = titan.load @b : tensor<16x16xf32>

  %c = titan.slice %y at 8 : tensor<16x16xf32> -> tensor<8x16xf32>
  %d = titan.slice %y at 0 : tensor<16x16xf32> -> tensor<8x16xf32>
  %C = titan.concat %c, %d : tensor<8x16xf32>, tensor<8x16xf32> -> tensor<16x16xf32>
  titan.store %C, @y : tensor<16x16xf32>
  return
}

// -----

// Each variable takes the next one's value.
titan.variable derived @x : tensor<16x16xf32>
titan.variable derived @y : tensor<16x16xf32>
titan.variable derived @z : tensor<16x16xf32>
titan.variable derived @a : tensor<16x16xf32>
titan.variable derived @b : tensor<16x16xf32>

func.func @update() {
  %x = titan.load @x : tensor<16x16xf32>
  %y = titan.load @y : tensor<16x16xf32>
  %a = titan.load @a : tensor<16x16xf32>
  %b = titan.load @b : tensor<16x16xf32>

  %n = titan.einsum "mk,kn->mn" %a, %b : tensor<16x16xf32>, tensor<16x16xf32> -> tensor<16x16xf32>
  titan.store %x, @y : tensor<16x16xf32>
  titan.store %y, @z : tensor<16x16xf32>
  return
}

// -----

// An old value is stored elsewhere and then overwritten.
titan.variable derived @x : tensor<16x16xf32>
titan.variable derived @y : tensor<16x16xf32>
titan.variable derived @z : tensor<16x16xf32>
titan.variable derived @a : tensor<16x16xf32>
titan.variable derived @b : tensor<16x16xf32>

func.func @update() {
  %x = titan.load @x : tensor<16x16xf32>
  %y = titan.load @y : tensor<16x16xf32>
  %a = titan.load @a : tensor<16x16xf32>
  %b = titan.load @b : tensor<16x16xf32>

  titan.store %x, @z : tensor<16x16xf32>
  %n = titan.kernel (%p = %x) : (tensor<16x16xf32>) -> tensor<16x16xf32> {
 %0 = titan.neg %p : tensor<16x16xf32>
 titan.yield %0 : tensor<16x16xf32>
}
  titan.store %n, @x : tensor<16x16xf32>
  return
}

// -----

// A stored value is accumulated into afterwards.
titan.variable derived @x : tensor<16x16xf32>
titan.variable derived @y : tensor<16x16xf32>
titan.variable derived @z : tensor<16x16xf32>
titan.variable derived @a : tensor<16x16xf32>
titan.variable derived @b : tensor<16x16xf32>

func.func @update() {
  %x = titan.load @x : tensor<16x16xf32>
  %y = titan.load @y : tensor<16x16xf32>
  %a = titan.load @a : tensor<16x16xf32>
  %b = titan.load @b : tensor<16x16xf32>

  %v = titan.einsum "mk,kn->mn" %a, %b : tensor<16x16xf32>, tensor<16x16xf32> -> tensor<16x16xf32>
  %u = titan.einsum "mk,kn->mn" %a, %b acc(%v : tensor<16x16xf32>) : tensor<16x16xf32>, tensor<16x16xf32> -> tensor<16x16xf32>
  titan.store %u, @z : tensor<16x16xf32>
  titan.store %v, @y : tensor<16x16xf32>
  return
}

// -----

// A stored value is the accumulator of another stored one.
titan.variable derived @x : tensor<16x16xf32>
titan.variable derived @y : tensor<16x16xf32>
titan.variable derived @z : tensor<16x16xf32>
titan.variable derived @a : tensor<16x16xf32>
titan.variable derived @b : tensor<16x16xf32>

func.func @update() {
  %x = titan.load @x : tensor<16x16xf32>
  %y = titan.load @y : tensor<16x16xf32>
  %a = titan.load @a : tensor<16x16xf32>
  %b = titan.load @b : tensor<16x16xf32>

  %v = titan.einsum "mk,kn->mn" %a, %b : tensor<16x16xf32>, tensor<16x16xf32> -> tensor<16x16xf32>
  titan.store %v, @y : tensor<16x16xf32>
  %u = titan.einsum "mk,kn->mn" %a, %b acc(%v : tensor<16x16xf32>) : tensor<16x16xf32>, tensor<16x16xf32> -> tensor<16x16xf32>
  titan.store %u, @z : tensor<16x16xf32>
  return
}

// -----

// A slice is accumulated into and the whole read later.
titan.variable derived @a : tensor<16x16xf32>
titan.variable derived @z : tensor<16x16xf32>
titan.variable derived @y : tensor<16x8xf32>
func.func @update() {
  %a = titan.load @a : tensor<16x16xf32>
  %d = titan.einsum "mk,kn->mn" %a, %a : tensor<16x16xf32>, tensor<16x16xf32> -> tensor<16x16xf32>
  %s = titan.slice %d at 0 : tensor<16x16xf32> -> tensor<8x16xf32>
  %q = titan.slice %a at 0 : tensor<16x16xf32> -> tensor<8x16xf32>
  %e = titan.einsum "mk,kn->mn" %q, %a acc(%s : tensor<8x16xf32>) : tensor<8x16xf32>, tensor<16x16xf32> -> tensor<8x16xf32>
  %f = titan.einsum "mk,nk->mn" %d, %e : tensor<16x16xf32>, tensor<8x16xf32> -> tensor<16x8xf32>
  titan.store %f, @y : tensor<16x8xf32>
  return
}

// -----

// Values that change places have no order of copies.
titan.variable derived @x : tensor<16x16xf32>
titan.variable derived @y : tensor<16x16xf32>
func.func @update() {
  %x = titan.load @x : tensor<16x16xf32>
  %y = titan.load @y : tensor<16x16xf32>
  titan.store %x, @y : tensor<16x16xf32>
  titan.store %y, @x : tensor<16x16xf32>
  // expected-error @+2 {{reads a value to copy, but its bytes 1024 to 2048 have been overwritten}}
  // expected-note @+1 {{overwritten here}}
  return
}

// -----

// expected-error @+1 {{expects @update to take 0 inputs and residuals and return 0, found '(tensor<f32>) -> ()'}}
func.func @update(%x: tensor<f32>) {
  return
}

// -----

// expected-error @+1 {{expects @update to have a body of one block}}
func.func private @update()

// -----

func.func @fwd(%x: tensor<f32>) -> tensor<f32> {
  return %x : tensor<f32>
}
// expected-error @+1 {{expects @bwd to take the inputs and results of @fwd, found '(tensor<f32>, tensor<2xf32>) -> ()'}}
func.func @bwd(%x: tensor<f32>, %r: tensor<2xf32>) {
  return
}
