// The check of the plan sees what runs beside a collective. A source that the await does not name
// loses its memory too early.
// RUN: titan-opt %s -titan-plan-memory -split-input-file -verify-diagnostics -o /dev/null

titan.mesh @mesh [tp = 2]
titan.variable derived @x : tensor<4x4xf32>
titan.variable derived @y : tensor<4x4xf32>
func.func @update() {
  %x = titan.load @x : tensor<4x4xf32>
  // expected-note @+1 {{started here}}
  %p = titan.start all_gather %x over [tp] : (tensor<4x4xf32>) -> tensor<8x4xf32>
  %n = titan.einsum "mk,kn->mn" %x, %x : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>
  // expected-error @+1 {{writes bytes 0 to 64 of a collective that is under way}}
  %m = titan.einsum "mk,kn->mn" %n, %n acc(%x : tensor<4x4xf32>) : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>
  titan.store %m, @x : tensor<4x4xf32>
  %r = titan.await %p : (tensor<8x4xf32>) -> tensor<8x4xf32>
  %s = titan.slice %r at 0 : tensor<8x4xf32> -> tensor<4x4xf32>
  titan.store %s, @y : tensor<4x4xf32>
  return
}
