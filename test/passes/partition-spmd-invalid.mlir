// RUN: titan-opt %s -split-input-file -verify-diagnostics -titan-partition-spmd

titan.mesh @mesh [dp = 2, tp = 2]
// expected-error @below {{argument 0, 'tensor<6xf32, #titan.sharding<[{dp, tp}]>>': dimension 0 of size 6 cannot be split over dp, tp, of degree 4; it divides by 1, 2, 3, 6}}
func.func @f(%x: tensor<6xf32, #titan.sharding<[{dp, tp}]>>) {
  return
}

// -----

titan.mesh @mesh [tp = 2]
func.func @f(%x: tensor<3xf32, #titan.sharding<[{}]>>) {
  // expected-error @below {{result 0, 'tensor<3xf32, #titan.sharding<[{tp}]>>': dimension 0 of size 3 cannot be split over tp, of degree 2}}
  %y = titan.reshard %x : tensor<3xf32, #titan.sharding<[{}]>> -> tensor<3xf32, #titan.sharding<[{tp}]>>
  return
}

// -----

titan.mesh @mesh [tp = 2]
func.func @f(%x: tensor<4x6xf32, #titan.sharding<[{tp}, {}]>>, %w: tensor<8x6xf32, #titan.sharding<[{}, {}]>>) {
  // expected-error @below {{cannot be computed by parts: result 0, dimension 0 is split over {}, but over {tp} in another operand or result}}
  %y = titan.einsum "td,nd->tn" %x, %w : tensor<4x6xf32, #titan.sharding<[{tp}, {}]>>, tensor<8x6xf32, #titan.sharding<[{}, {}]>> -> tensor<4x8xf32, #titan.sharding<[{}, {}]>>
  return
}

// -----

titan.mesh @mesh [tp = 2]
func.func @f(%x: tensor<4x6xf32, #titan.sharding<[{}, {tp}]>>, %w: tensor<8x6xf32, #titan.sharding<[{}, {tp}]>>) {
  // expected-error @below {{result 0 is a partial sum over {tp}, its type says {}}}
  %y = titan.einsum "td,nd->tn" %x, %w : tensor<4x6xf32, #titan.sharding<[{}, {tp}]>>, tensor<8x6xf32, #titan.sharding<[{}, {tp}]>> -> tensor<4x8xf32, #titan.sharding<[{}, {}]>>
  return
}

// -----

titan.mesh @mesh [tp = 2]
func.func @f(%x: tensor<4x6xf32, #titan.sharding<[{tp}, {}]>>, %w: tensor<8x6xf32, #titan.sharding<[{tp}, {}]>>) {
  // expected-error @below {{result 0, dimension 1 is split over {}, but over {tp} in another operand or result}}
  %y = titan.einsum "td,nd->tn" %x, %w : tensor<4x6xf32, #titan.sharding<[{tp}, {}]>>, tensor<8x6xf32, #titan.sharding<[{tp}, {}]>> -> tensor<4x8xf32, #titan.sharding<[{tp}, {}]>>
  return
}

// -----

titan.mesh @mesh [tp = 2]
func.func @f(%x: tensor<4xf32, #titan.sharding<[{}], partial {tp}>>) {
  // expected-error @below {{operand 0 is a partial sum over {tp}, which the op does not commute with}}
  %y = titan.exp %x : tensor<4xf32, #titan.sharding<[{}], partial {tp}>>
  return
}

// -----

titan.mesh @mesh [tp = 2]
func.func @f(%x: tensor<8xf32, #titan.sharding<[{tp}]>>) {
  // expected-error @below {{a dimension of size 8 must be whole, found it split over {tp}}}
  %y = titan.slice %x at 2 : tensor<8xf32, #titan.sharding<[{tp}]>> -> tensor<4xf32, #titan.sharding<[{}]>>
  return
}

// -----

titan.mesh @mesh [dp = 2]
func.func @f(%x: tensor<4x6xf32, #titan.sharding<[{}, {}], flat {dp} granule 1>>) {
  // expected-error @below {{it looks at the dimensions of flat storage, and it does not implement PartitionOpInterface}}
  %y = titan.reduce sum %x [0, 1] : tensor<4x6xf32, #titan.sharding<[{}, {}], flat {dp} granule 1>> -> tensor<f32, #titan.sharding<[], partial {dp}>>
  return
}

// -----

// Every rank would add the second operand once more.
titan.mesh @mesh [tp = 2]
func.func @f(%x: tensor<4x6xf32, #titan.sharding<[{tp}, {}]>>, %y: tensor<6xf32, #titan.sharding<[{}]>>) {
  // expected-error @below {{operand 1 is split over {}, and the result a partial sum over {tp}}}
  %z = titan.sum_of_squares %x, %y : tensor<4x6xf32, #titan.sharding<[{tp}, {}]>>, tensor<6xf32, #titan.sharding<[{}]>> -> tensor<f32, #titan.sharding<[], partial {tp}>>
  return
}

// -----

titan.mesh @mesh [tp = 2]
func.func @f(%x: tensor<4x6xf32, #titan.sharding<[{}, {}]>>) {
  // expected-error @below {{cannot be partitioned: it does not implement ShardingRuleOpInterface}}
  %y = titan.sharding_constraint %x to <[{tp}, {}]> : tensor<4x6xf32, #titan.sharding<[{}, {}]>>
  return
}

// -----

// 24 = 3 x 8: four ranks would have parts that are neither whole thirds nor parts of one.
titan.mesh @mesh [tp = 4]
func.func @f(%x: tensor<24xf32, #titan.sharding<[{tp}]>>) {
  // expected-error @below {{operand 0, dimension 0: axes {tp} split no factor of the op}}
  %y = titan.reshape %x : tensor<24xf32, #titan.sharding<[{tp}]>> -> tensor<3x8xf32, #titan.sharding<[{}, {tp}]>>
  return
}

// -----

titan.mesh @mesh [dp = 2]
func.func @f(%x: tensor<8xf32, #titan.sharding<[{}], flat {dp} granule 4>>) {
  // expected-error @below {{tensor<8xbf16, #titan.sharding<[{}]>> stands beside flat storage over {dp}, and is not stored so}}
  %y = titan.cast %x : tensor<8xf32, #titan.sharding<[{}], flat {dp} granule 4>> -> tensor<8xbf16, #titan.sharding<[{}]>>
  return
}

// -----

titan.mesh @mesh [tp = 2]
// expected-error @below {{cannot be partitioned: it has several blocks}}
func.func @f(%x: tensor<8xf32, #titan.sharding<[{tp}]>>) {
  llvm.br ^next
^next:
  return
}
