// RUN: titan-opt %s -split-input-file --titan-propagate-shardings -verify-diagnostics

titan.mesh @mesh [tp = 3]
// expected-error @+1 {{dimension 0 of size 4}}
func.func @f(%x: tensor<4xf32> {titan.sharding = #titan.sharding<[{tp}]>}) -> tensor<4xf32> {
  return %x : tensor<4xf32>
}

// -----

titan.mesh @mesh [tp = 2]
// expected-error @+1 {{axis "dp" is not one of the mesh}}
func.func @f(%x: tensor<4xf32> {titan.sharding = #titan.sharding<[{dp}]>}) -> tensor<4xf32> {
  return %x : tensor<4xf32>
}

// -----

titan.mesh @mesh [tp = 2]
titan.variable parameter @w : tensor<4xf32>
func.func @f() -> tensor<4xf32> {
  // expected-error @+1 {{variable @w has no sharding}}
  %w = titan.load @w : tensor<4xf32>
  return %w : tensor<4xf32>
}

// -----

titan.mesh @mesh [dp = 2]
titan.variable parameter @v : tensor<4xf32, #titan.sharding<[{}], flat {dp} granule 4>>
titan.variable parameter @w : tensor<4xf32, #titan.sharding<[{}], flat {dp} granule 2>>
func.func @f() -> tensor<4xf32> {
  %v = titan.load @v : tensor<4xf32>
  // expected-error @+1 {{storage is cut at multiples of 2 elements here and of 4 elsewhere in the function}}
  %w = titan.load @w : tensor<4xf32>
  return %w : tensor<4xf32>
}

// -----

titan.mesh @mesh [dp = 2]
func.func @f(%x: tensor<4xf32>) -> tensor<8xf32> {
  // expected-error @+1 {{does not implement ShardingRuleOpInterface, which titan-propagate-shardings needs}}
  %y = titan.all_gather %x over [dp] dimension 0 : (tensor<4xf32>) -> tensor<8xf32>
  return %y : tensor<8xf32>
}
