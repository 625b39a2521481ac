// RUN: titan-opt %s -split-input-file -verify-diagnostics

titan.mesh @mesh [dp_shard = 4, tp = 2]
func.func @size(%a: tensor<4xf32>) -> tensor<8xf32> {
  // expected-error @+1 {{expects 'tensor<8xf32>' to be 4 times 'tensor<4xf32>' along dimension 0}}
  %p = titan.start all_gather %a over [dp_shard] : (tensor<4xf32>) -> tensor<8xf32>
  %r = titan.await %p of %a : (tensor<8xf32>, tensor<4xf32>) -> tensor<8xf32>
  return %r : tensor<8xf32>
}

// -----

titan.mesh @mesh [dp_shard = 4, tp = 2]
func.func @axis(%a: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @+1 {{axis "cp" is not one of the mesh}}
  %p = titan.start all_reduce %a over [cp] : (tensor<4xf32>) -> tensor<4xf32>
  %r = titan.await %p of %a : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %r : tensor<4xf32>
}

// -----

titan.mesh @mesh [tp = 2]
func.func @reduction(%a: tensor<4xf32>) -> tensor<2xf32> {
  // expected-error @+1 {{expects an all_reduce to reduce by max, found reduce_scatter}}
  %p = titan.start reduce_scatter reduction max %a over [tp] : (tensor<4xf32>) -> tensor<2xf32>
  %r = titan.await %p of %a : (tensor<2xf32>, tensor<4xf32>) -> tensor<2xf32>
  return %r : tensor<2xf32>
}

// -----

titan.mesh @mesh [tp = 2]
func.func @inPlace(%a: tensor<4xf32>) -> tensor<2xf32> {
  // expected-error @+1 {{expects an all_reduce to be in place, found reduce_scatter}}
  %p = titan.start reduce_scatter in_place %a over [tp] : (tensor<4xf32>) -> tensor<2xf32>
  %r = titan.await %p of %a : (tensor<2xf32>, tensor<4xf32>) -> tensor<2xf32>
  return %r : tensor<2xf32>
}

// -----

titan.mesh @mesh [tp = 2]
func.func @unawaited(%a: tensor<4xf32>) {
  // expected-error @+1 {{expects an await of its results}}
  %p = titan.start all_reduce %a over [tp] : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

titan.mesh @mesh [tp = 2]
func.func @read(%a: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @+1 {{expects one await to be the only user of each result}}
  %p = titan.start all_reduce %a over [tp] : (tensor<4xf32>) -> tensor<4xf32>
  %n = titan.neg %p : tensor<4xf32>
  %r = titan.await %p of %a : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %r : tensor<4xf32>
}

// -----

titan.mesh @mesh [tp = 2]
func.func @nothing(%a: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @+1 {{expects all results of one titan.start, in their order}}
  %r = titan.await %a : (tensor<4xf32>) -> tensor<4xf32>
  return %r : tensor<4xf32>
}

// -----

titan.mesh @mesh [tp = 2]
func.func @order(%a: tensor<4xf32>, %b: tensor<4xf32>) -> tensor<4xf32> {
  %p:2 = titan.start all_reduce %a, %b over [tp] : (tensor<4xf32>, tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>)
  // expected-error @+1 {{expects all results of one titan.start, in their order}}
  %r:2 = titan.await %p#1, %p#0 of %a, %b : (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>)
  return %r#0 : tensor<4xf32>
}

// -----

titan.mesh @mesh [tp = 2]
func.func @types(%a: tensor<4xf32>) -> tensor<2x2xf32> {
  %p = titan.start all_reduce %a over [tp] : (tensor<4xf32>) -> tensor<4xf32>
  // expected-error @+1 {{expects results of the types 'tensor<4xf32>', found 'tensor<2x2xf32>'}}
  %r = titan.await %p of %a : (tensor<4xf32>, tensor<4xf32>) -> tensor<2x2xf32>
  return %r : tensor<2x2xf32>
}

// -----

titan.mesh @mesh [tp = 2]
func.func @source(%a: tensor<4xf32>, %b: tensor<4xf32>) -> tensor<4xf32> {
  %p = titan.start all_reduce %a over [tp] : (tensor<4xf32>) -> tensor<4xf32>
  // expected-error @+1 {{names a source that is no operand of its titan.start}}
  %r = titan.await %p of %b : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %r : tensor<4xf32>
}

// -----

titan.mesh @mesh [tp = 2]
func.func @block(%a: tensor<4xf32>) {
  %p = titan.start all_reduce %a over [tp] : (tensor<4xf32>) -> tensor<4xf32>
  llvm.br ^next
^next:
  // expected-error @+1 {{expects to stand in the block of its titan.start}}
  %r = titan.await %p of %a : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return
}
