// Every error of meshes, shardings and collectives.
// RUN: titan-opt %s -split-input-file -verify-diagnostics

// expected-error @+1 {{expects the name @mesh, found @grid}}
titan.mesh @grid [tp = 2]

// -----

// expected-error @+1 {{axis "tp" stands twice}}
titan.mesh @mesh [tp = 2, tp = 4]

// -----

// expected-error @+1 {{axis "tp" expects a size of at least 1, found 0}}
titan.mesh @mesh [tp = 0]

// -----

// expected-error @+1 {{axis "tp" stands twice; it splits one dimension, or is partial, or flat}}
func.func private @f(tensor<4x4xf32, #titan.sharding<[{tp}, {}], partial {tp}>>)

// -----

// expected-error @+1 {{expects a granule of at least 1 element, found 0}}
func.func private @f(tensor<4xf32, #titan.sharding<[{}], flat {tp} granule 0>>)

// -----

// expected-error @+1 {{the sharding has 1 dimensions, the tensor 2}}
func.func private @f(tensor<4x4xf32, #titan.sharding<[{tp}]>>)

// -----

// expected-error @+1 {{expects 'partial' or 'flat', found 'split'}}
func.func private @f(tensor<4xf32, #titan.sharding<[{}], split {tp}>>)

// -----

func.func @f(%x: tensor<4x4xf32>) {
  // expected-error @+1 {{the sharding has 1 dimensions, the tensor 2}}
  %y = titan.sharding_constraint %x to <[{tp}]> : tensor<4x4xf32>
  return
}

// -----

// expected-error @+1 {{expects an axis index to be tensor<i32>, found 'tensor<2xi32>'}}
titan.variable derived @i : tensor<2xi32> init #titan.axis_index<{tp} times 1>

// -----

titan.mesh @mesh [tp = 2]
titan.variable parameter @w : tensor<4xf32, #titan.sharding<[{tp}]>>
func.func @f() {
  // expected-error @+1 {{variable @w has type 'tensor<4xf32, #titan.sharding<[{tp}]>>', found 'tensor<4xf32, #titan.sharding<[{}]>>'}}
  %w = titan.load @w : tensor<4xf32, #titan.sharding<[{}]>>
  return
}

// -----

func.func @f(%x: tensor<4xf32, #titan.sharding<[{tp}]>>) {
  // expected-error @+1 {{expects one global tensor in two layouts, found}}
  %y = titan.reshard %x : tensor<4xf32, #titan.sharding<[{tp}]>> -> tensor<2xf32, #titan.sharding<[{}]>>
  return
}

// -----

func.func @f(%x: tensor<4xf32>) {
  // expected-error @+1 {{expects two sharded types, found}}
  %y = titan.reshard %x : tensor<4xf32> -> tensor<4xf32, #titan.sharding<[{}]>>
  return
}

// -----

func.func @f(%x: tensor<4xf32>) {
  // expected-error @+1 {{stands in a module without a titan.mesh @mesh}}
  %y = titan.all_gather %x over [tp] dimension 0 : (tensor<4xf32>) -> tensor<8xf32>
  return
}

// -----

titan.mesh @mesh [tp = 2]
func.func @f(%x: tensor<4xf32>) {
  // expected-error @+1 {{axis "dp" is not one of the mesh}}
  %y = titan.all_gather %x over [dp] dimension 0 : (tensor<4xf32>) -> tensor<8xf32>
  return
}

// -----

titan.mesh @mesh [tp = 2]
func.func @f(%x: tensor<4xf32>) {
  // expected-error @+1 {{axis "tp" stands twice}}
  %y = titan.all_gather %x over [tp, tp] dimension 0 : (tensor<4xf32>) -> tensor<16xf32>
  return
}

// -----

titan.mesh @mesh [tp = 2]
func.func @f(%x: tensor<4xf32>) {
  // expected-error @+1 {{expects 'tensor<6xf32>' to be 2 times 'tensor<4xf32>' along dimension 0}}
  %y = titan.all_gather %x over [tp] dimension 0 : (tensor<4xf32>) -> tensor<6xf32>
  return
}

// -----

titan.mesh @mesh [tp = 2]
func.func @f(%x: tensor<4xf32>) {
  // expected-error @+1 {{expects 'tensor<4xf32>' to be 2 times 'tensor<4xf32>' along dimension 0}}
  %y = titan.reduce_scatter %x over [tp] dimension 0 : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

titan.mesh @mesh [tp = 2]
func.func @f(%x: tensor<4xf32>) {
  // expected-error @+1 {{along dimension 1}}
  %y = titan.axis_slice %x over [tp] dimension 1 : tensor<4xf32> -> tensor<2xf32>
  return
}

// -----

titan.mesh @mesh [tp = 2]
func.func @f(%x: tensor<4xf32>) {
  // expected-error @+1 {{the result 'tensor<2xi32>' is not of the input's element type}}
  %y = titan.axis_slice %x over [tp] dimension 0 : tensor<4xf32> -> tensor<2xi32>
  return
}

// -----

titan.mesh @mesh [tp = 2]
func.func @f(%x: tensor<4xf32>, %z: tensor<4xf32>) {
  // expected-error @+1 {{expects at least one operand and as many results, found 2 and 1}}
  %y = titan.all_reduce sum %x, %z over [tp] : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

titan.mesh @mesh [tp = 2]
func.func @f(%x: tensor<4xf32>) {
  // expected-error @+1 {{is not of the operand's element type, 'f32'}}
  %y = titan.all_reduce sum %x over [tp] : (tensor<4xf32>) -> tensor<4xf16>
  return
}

// -----

titan.mesh @mesh [tp = 2]
func.func @f(%x: tensor<4xf32>) {
  // expected-error @+1 {{expects results of the operands' types, found}}
  %y = titan.all_reduce sum %x over [tp] : (tensor<4xf32>) -> tensor<2xf32>
  return
}

// -----

titan.mesh @mesh [tp = 2]
func.func @f(%x: tensor<4xf32, #titan.sharding<[{tp}]>>) {
  // expected-error @+1 {{exchanges what ranks hold, found the global tensor}}
  %y = titan.all_reduce sum %x over [tp] : (tensor<4xf32, #titan.sharding<[{tp}]>>) -> tensor<4xf32, #titan.sharding<[{tp}]>>
  return
}

// -----

// expected-error @+1 {{expects one size per axis, found 2 axes and 1 sizes}}
"titan.mesh"() <{sym_name = "mesh", axes = ["dp", "tp"], sizes = array<i64: 2>}> : () -> ()

// -----

titan.mesh @mesh [tp = 2]
// expected-error @+1 {{expects a global type with a sharding and elements of type 'f32', found 'tensor<4xf32>'}}
titan.variable parameter @w : tensor<2xf32> global tensor<4xf32>

// -----

titan.mesh @mesh [tp = 4]
// expected-error @+1 {{@layers.0.attention.wk.weight, 'tensor<6x4xf32, #titan.sharding<[{tp}, {}]>>': dimension 0 of size 6 cannot be split over tp, of degree 4; it divides by 1, 2, 3, 6}}
titan.variable parameter @layers.0.attention.wk.weight : tensor<6x4xf32, #titan.sharding<[{tp}, {}]>>

// -----

titan.mesh @mesh [tp = 2]
// expected-error @+1 {{axis 'dp' is not one of the mesh}}
titan.variable parameter @w : tensor<4xf32, #titan.sharding<[{dp}]>>

// -----

titan.mesh @mesh [tp = 2]
// expected-error @+1 {{axis 'dp' is not one of the mesh}}
titan.variable parameter @w : tensor<2xf32> global tensor<4xf32, #titan.sharding<[{dp}]>>

// -----

// A module without a mesh has one rank and no axes.
// expected-error @+1 {{axis 'tp' is not one of the mesh}}
titan.variable parameter @w : tensor<4xf32, #titan.sharding<[{}], flat {tp} granule 4>>

// -----

titan.mesh @mesh [tp = 2]
func.func @f(%x: tensor<6x4xf32>, %w: tensor<9x4xf32>, %l: tensor<6xi32>) {
  // expected-error @+1 {{expects the first class together with the axes that split the classes}}
  %a, %v = titan.head_loss %x, %w, %l {class_axes = ["tp"]} : (tensor<6x4xf32>, tensor<9x4xf32>, tensor<6xi32>) -> (tensor<f32>, tensor<f32>)
  return
}

// -----

titan.mesh @mesh [dp = 2, tp = 2]
// expected-error @+1 {{axis 'sp' is not one of the mesh, which has dp, tp}}
titan.variable parameter @w : tensor<4xf32, #titan.sharding<[{sp}]>>

// -----

titan.mesh @mesh [dp = 2, tp = 2]
// expected-error @+1 {{axis 'sp' is not one of the mesh}}
titan.variable parameter @w : tensor<2xf32> global tensor<4xf32, #titan.sharding<[{}], flat {sp} granule 1>>

// -----

// expected-error @+1 {{axis 'dp' is not one of the mesh, which has none}}
titan.variable parameter @w : tensor<4xf32, #titan.sharding<[{}], partial {dp}>>
