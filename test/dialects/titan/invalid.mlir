// Every error of the dialect's verifiers.
// RUN: titan-opt %s -split-input-file -verify-diagnostics

// expected-error @+1 {{expects a standard deviation of at least 0, found -1}}
titan.variable parameter @w : tensor<4xf32> init #titan.normal<mean = 0.0, std = -1.0>

// -----

// expected-error @+1 {{expects a standard deviation above 0, found 0}}
titan.variable parameter @w : tensor<4xf32> init #titan.truncated_normal<mean = 0.0, std = 0.0, lower = -1.0, upper = 1.0>

// -----

// expected-error @+1 {{expects the lower cut to be below the upper one, found 2.000000e+00 and 1.000000e+00}}
titan.variable parameter @w : tensor<4xf32> init #titan.truncated_normal<mean = 0.0, std = 1.0, lower = 2.0, upper = 1.0>

// -----

// expected-error @+1 {{expects theta, factor and original_length above 0, found 0}}
titan.variable derived @c : tensor<6x2xf32> init #titan.rope_table<component = sine, theta = 0.0, factor = 8.0, low_frequency = 1.0, high_frequency = 4.0, original_length = 8192.0>

// -----

// expected-error @+1 {{expects low_frequency below high_frequency, found 4.000000e+00 and 1.000000e+00}}
titan.variable derived @c : tensor<6x2xf32> init #titan.rope_table<component = sine, theta = 10000.0, factor = 8.0, low_frequency = 4.0, high_frequency = 1.0, original_length = 8192.0>

// -----

// expected-error @+1 {{expects a rope table [positions, pairs], found 'tensor<4xf32>'}}
titan.variable derived @c : tensor<4xf32> init #titan.rope_table<component = sine, theta = 10000.0, factor = 8.0, low_frequency = 1.0, high_frequency = 4.0, original_length = 8192.0>

// -----

// expected-error @+1 {{expects a static tensor type of 1 to 2^56 elements, found 'tensor<?xf32>'}}
titan.variable parameter @w : tensor<?xf32>

// -----

// expected-error @+1 {{expects a static tensor type of 1 to 2^56 elements, found 'tensor<4x0xf32>'}}
titan.variable parameter @w : tensor<4x0xf32>

// -----

// expected-error @+1 {{expects a static tensor type of 1 to 2^56 elements, found}}
titan.variable parameter @w : tensor<4294967296x4294967296xf32>

// -----

func.func @f(%x: tensor<1x0x4xf32>, %w: tensor<9x4xf32>, %l: tensor<1x0xi32>) -> tensor<f32> {
  // expected-error @+1 {{operand #0 must be statically shaped tensor of 1 to 2^56 }}
  %a, %v = titan.head_loss %x, %w, %l : (tensor<1x0x4xf32>, tensor<9x4xf32>, tensor<1x0xi32>) -> (tensor<f32>, tensor<f32>)
  return %a : tensor<f32>
}

// -----

// expected-error @+1 {{expects an initializer of the titan dialect, found 1 : i32}}
titan.variable parameter @w : tensor<4xf32> init 1 : i32

// -----

func.func @f() {
  // expected-error @+1 {{there is no variable @w}}
  %0 = titan.load @w : tensor<4xf32>
  return
}

// -----

titan.variable parameter @w : tensor<4xf32>
func.func @f(%x: tensor<5xf32>) {
  // expected-error @+1 {{variable @w has type 'tensor<4xf32>', found 'tensor<5xf32>'}}
  titan.store %x, @w : tensor<5xf32>
  return
}

// -----

func.func @f(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{expects 'LETTERS,LETTERS->LETTERS' such as "bsd,nd->bsn"}}
  %0 = titan.einsum "ab" %x, %x : tensor<2x3xf32>, tensor<2x3xf32> -> tensor<2x2xf32>
  return
}

// -----

func.func @f(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{expects letters a to z, found 'B'}}
  %0 = titan.einsum "aB,ab->aa" %x, %x : tensor<2x3xf32>, tensor<2x3xf32> -> tensor<2x2xf32>
  return
}

// -----

func.func @f(%x: tensor<2x2xf32>) {
  // expected-error @+1 {{letter 'a' stands twice in 'aa'}}
  %0 = titan.einsum "aa,ab->ab" %x, %x : tensor<2x2xf32>, tensor<2x2xf32> -> tensor<2x2xf32>
  return
}

// -----

func.func @f(%x: tensor<2x2xf32>) {
  // expected-error @+1 {{letter 'z' of the result stands in no operand}}
  %0 = titan.einsum "ab,bc->az" %x, %x : tensor<2x2xf32>, tensor<2x2xf32> -> tensor<2x2xf32>
  return
}

// -----

func.func @f(%x: tensor<2x2xf32>) {
  // expected-error @+1 {{letter 'b' stands in one operand only}}
  %0 = titan.einsum "ab,cd->acd" %x, %x : tensor<2x2xf32>, tensor<2x2xf32> -> tensor<2x2x2xf32>
  return
}

// -----

func.func @f(%x: tensor<2x2xf32>) {
  // expected-error @+1 {{letter 'd' stands in one operand only}}
  %0 = titan.einsum "ab,bd->a" %x, %x : tensor<2x2xf32>, tensor<2x2xf32> -> tensor<2xf32>
  return
}

// -----

func.func @f(%x: tensor<2x2x2xf32>, %w: tensor<2x2xf32>) {
  // expected-error @+1 {{the left operand's letters 'akb' are not the groups}}
  %0 = titan.einsum "akb,kn->abn" %x, %w : tensor<2x2x2xf32>, tensor<2x2xf32> -> tensor<2x2x2xf32>
  return
}

// -----

func.func @f(%x: tensor<2x2xf32>, %w: tensor<2x2x2xf32>) {
  // expected-error @+1 {{the right operand's letters 'mkn' are not the groups}}
  %0 = titan.einsum "ak,mkn->amn" %x, %w : tensor<2x2xf32>, tensor<2x2x2xf32> -> tensor<2x2x2xf32>
  return
}

// -----

func.func @f(%x: tensor<2x2xf32>) {
  // expected-error @+1 {{the result's letters 'na' are not the groups}}
  %0 = titan.einsum "ak,kn->na" %x, %x : tensor<2x2xf32>, tensor<2x2xf32> -> tensor<2x2xf32>
  return
}

// -----

func.func @f(%x: tensor<2x2xf32>) {
  // expected-error @+1 {{the left operand has rank 2, the equation gives it 3 letters}}
  %0 = titan.einsum "abk,kn->abn" %x, %x : tensor<2x2xf32>, tensor<2x2xf32> -> tensor<2x2xf32>
  return
}

// -----

func.func @f(%x: tensor<2x3xf32>, %w: tensor<4x5xf32>) {
  // expected-error @+1 {{letter 'k' has size 3 and, in the right operand, 4}}
  %0 = titan.einsum "mk,kn->mn" %x, %w : tensor<2x3xf32>, tensor<4x5xf32> -> tensor<2x5xf32>
  return
}

// -----

func.func @f(%x: tensor<2x3xf32>, %w: tensor<3x5xf32>) {
  // expected-error @+1 {{the accumulator's type 'tensor<2x3xf32>' is not the result's 'tensor<2x5xf32>'}}
  %0 = titan.einsum "mk,kn->mn" %x, %w acc(%x : tensor<2x3xf32>) : tensor<2x3xf32>, tensor<3x5xf32> -> tensor<2x5xf32>
  return
}

// -----

func.func @f(%x: tensor<f32>, %w: tensor<1xf32>) {
  // expected-error @+1 {{expects an input of rank 1 or more, found rank 0}}
  %y, %r = titan.rms_norm %x, %w epsilon 1.0e-5 : tensor<f32>, tensor<1xf32> -> tensor<f32>, tensor<f32>
  return
}

// -----

func.func @f(%x: tensor<2x4xf32>, %w: tensor<5xf32>) {
  // expected-error @+1 {{does not have the input's last dimension, 4}}
  %y, %r = titan.rms_norm %x, %w epsilon 1.0e-5 : tensor<2x4xf32>, tensor<5xf32> -> tensor<2x4xf32>, tensor<2xf32>
  return
}

// -----

func.func @f(%x: tensor<2x4xf32>, %w: tensor<4xf32>) {
  // expected-error @+1 {{rstd 'tensor<3xf32>' does not have the input's shape}}
  %y, %r = titan.rms_norm %x, %w epsilon 1.0e-5 : tensor<2x4xf32>, tensor<4xf32> -> tensor<2x4xf32>, tensor<3xf32>
  return
}

// -----

func.func @f(%x: tensor<2x4xf32>, %w: tensor<4xf32>) {
  // expected-error @+1 {{the result 'tensor<2x4xbf16>' is not of the input's type 'tensor<2x4xf32>'}}
  %y, %r = titan.rms_norm %x, %w epsilon 1.0e-5 : tensor<2x4xf32>, tensor<4xf32> -> tensor<2x4xbf16>, tensor<2xf32>
  return
}

// -----

func.func @f(%x: tensor<2x4xf32>, %w: tensor<4xf32>, %r: tensor<2xf32>, %d: tensor<2x4xbf16>) {
  // expected-error @+1 {{are not both of the input's type 'tensor<2x4xf32>'}}
  %dx, %dw = titan.rms_norm_grad %d, %x, %w, %r : tensor<2x4xbf16>, tensor<2x4xf32>, tensor<4xf32>, tensor<2xf32> -> tensor<2x4xf32>, tensor<4xf32>
  return
}

// -----

func.func @f(%x: tensor<2x4xf32>, %w: tensor<4xf32>, %r: tensor<2xf32>) {
  // expected-error @+1 {{dweight 'tensor<2xf32>' does not have the weight's shape 'tensor<4xf32>'}}
  %dx, %dw = titan.rms_norm_grad %x, %x, %w, %r : tensor<2x4xf32>, tensor<2x4xf32>, tensor<4xf32>, tensor<2xf32> -> tensor<2x4xf32>, tensor<2xf32>
  return
}

// -----

func.func @f(%x: tensor<1x6x4x4xf32>, %c: tensor<6x2xf32>) {
  // expected-error @+1 {{is not of the input's type}}
  %r = titan.rope %x, %c, %c : tensor<1x6x4x4xf32>, tensor<6x2xf32>, tensor<6x2xf32> -> tensor<1x6x4x4xbf16>
  return
}

// -----

func.func @f(%x: tensor<6x4x4xf32>, %c: tensor<6x2xf32>) {
  // expected-error @+1 {{expects an input [batch, sequence, heads, dim], found 'tensor<6x4x4xf32>'}}
  %r = titan.rope %x, %c, %c : tensor<6x4x4xf32>, tensor<6x2xf32>, tensor<6x2xf32> -> tensor<6x4x4xf32>
  return
}

// -----

func.func @f(%x: tensor<1x6x4x5xf32>, %c: tensor<6x2xf32>) {
  // expected-error @+1 {{expects an even last dimension, found 5}}
  %r = titan.rope %x, %c, %c : tensor<1x6x4x5xf32>, tensor<6x2xf32>, tensor<6x2xf32> -> tensor<1x6x4x5xf32>
  return
}

// -----

func.func @f(%x: tensor<1x6x4x4xf32>, %c: tensor<5x2xf32>) {
  // expected-error @+1 {{expects tables [6, 2] or [1, 6, 2], found 'tensor<5x2xf32>'}}
  %r = titan.rope %x, %c, %c : tensor<1x6x4x4xf32>, tensor<5x2xf32>, tensor<5x2xf32> -> tensor<1x6x4x4xf32>
  return
}

// -----

func.func @f(%x: tensor<1x6x4x4xf32>, %c: tensor<6x2xf32>, %s: tensor<1x6x2xf32>) {
  // expected-error @+1 {{the sine 'tensor<1x6x2xf32>' is not of the cosine's type 'tensor<6x2xf32>'}}
  %r = titan.rope %x, %c, %s : tensor<1x6x4x4xf32>, tensor<6x2xf32>, tensor<1x6x2xf32> -> tensor<1x6x4x4xf32>
  return
}

// -----

func.func @f(%q: tensor<6x4x4xf32>, %k: tensor<1x6x2x4xf32>) {
  // expected-error @+1 {{expects query and key [batch, sequence, heads, dim]}}
  %o, %l = titan.attention %q, %k, %k scale 0.5 : tensor<6x4x4xf32>, tensor<1x6x2x4xf32>, tensor<1x6x2x4xf32> -> tensor<6x4x4xf32>, tensor<1x4x6xf32>
  return
}

// -----

func.func @f(%q: tensor<1x6x4x4xf32>, %k: tensor<1x6x2x4xf32>, %v: tensor<1x7x2x4xf32>) {
  // expected-error @+1 {{is not of the key's type}}
  %o, %l = titan.attention %q, %k, %v scale 0.5 : tensor<1x6x4x4xf32>, tensor<1x6x2x4xf32>, tensor<1x7x2x4xf32> -> tensor<1x6x4x4xf32>, tensor<1x4x6xf32>
  return
}

// -----

func.func @f(%q: tensor<1x6x4x4xf32>, %k: tensor<2x6x2x4xf32>) {
  // expected-error @+1 {{differ in batch or head dimension}}
  %o, %l = titan.attention %q, %k, %k scale 0.5 : tensor<1x6x4x4xf32>, tensor<2x6x2x4xf32>, tensor<2x6x2x4xf32> -> tensor<1x6x4x4xf32>, tensor<1x4x6xf32>
  return
}

// -----

func.func @f(%q: tensor<1x6x4x4xf32>, %k: tensor<1x6x3x4xf32>) {
  // expected-error @+1 {{expects the number of query heads to be a multiple of the key heads, found 4 and 3}}
  %o, %l = titan.attention %q, %k, %k scale 0.5 : tensor<1x6x4x4xf32>, tensor<1x6x3x4xf32>, tensor<1x6x3x4xf32> -> tensor<1x6x4x4xf32>, tensor<1x4x6xf32>
  return
}

// -----

func.func @f(%q: tensor<1x6x4x4xf32>, %k: tensor<1x6x2x4xf32>) {
  // expected-error @+1 {{expects the log-sum-exp [1, 4, 6], found 'tensor<1x6x4xf32>'}}
  %o, %l = titan.attention %q, %k, %k scale 0.5 : tensor<1x6x4x4xf32>, tensor<1x6x2x4xf32>, tensor<1x6x2x4xf32> -> tensor<1x6x4x4xf32>, tensor<1x6x4xf32>
  return
}

// -----

func.func @f(%q: tensor<1x6x4x4xf32>, %k: tensor<1x6x2x4xf32>) {
  // expected-error @+1 {{is not of the query's type}}
  %o, %l = titan.attention %q, %k, %k scale 0.5 : tensor<1x6x4x4xf32>, tensor<1x6x2x4xf32>, tensor<1x6x2x4xf32> -> tensor<1x6x2x4xf32>, tensor<1x4x6xf32>
  return
}

// -----

func.func @f(%q: tensor<1x6x4x4xf32>, %k: tensor<1x6x2x4xf32>, %p: tensor<1x5xi32>) {
  // expected-error @+1 {{expects query positions [1, 6], found 'tensor<1x5xi32>'}}
  %o, %l = titan.attention %q, %k, %k positions(%p, %p : tensor<1x5xi32>, tensor<1x5xi32>) scale 0.5 : tensor<1x6x4x4xf32>, tensor<1x6x2x4xf32>, tensor<1x6x2x4xf32> -> tensor<1x6x4x4xf32>, tensor<1x4x6xf32>
  return
}

// -----

func.func @f(%q: tensor<1x6x4x4xf32>, %k: tensor<1x6x2x4xf32>, %l: tensor<1x4x6xf32>) {
  // expected-error @+1 {{expects each gradient to be of its tensor's type}}
  %a, %b, %c = titan.attention_grad %q, %k, %k result %q, %l dresult %q scale 0.5 : tensor<1x6x4x4xf32>, tensor<1x6x2x4xf32>, tensor<1x6x2x4xf32>, tensor<1x6x4x4xf32>, tensor<1x4x6xf32>, tensor<1x6x4x4xf32> -> tensor<1x6x4x4xf32>, tensor<1x6x4x4xf32>, tensor<1x6x2x4xf32>
  return
}

// -----

func.func @f(%t: tensor<3xi32>, %w: tensor<9xf32>) {
  // expected-error @+1 {{expects a table [tokens, dim], found 'tensor<9xf32>'}}
  %e = titan.embedding %t, %w : tensor<3xi32>, tensor<9xf32> -> tensor<3x9xf32>
  return
}

// -----

func.func @f(%t: tensor<3xi32>, %w: tensor<9x4xf32>) {
  // expected-error @+1 {{with a last dimension of 4, found 'tensor<3x5xf32>'}}
  %e = titan.embedding %t, %w : tensor<3xi32>, tensor<9x4xf32> -> tensor<3x5xf32>
  return
}

// -----

func.func @f(%t: tensor<3xi32>, %w: tensor<9x4xf32>) {
  // expected-error @+1 {{is not of the table's element type}}
  %e = titan.embedding %t, %w : tensor<3xi32>, tensor<9x4xf32> -> tensor<3x4xbf16>
  return
}

// -----

func.func @f(%logits: tensor<6x9xf32>, %labels: tensor<5xi32>) {
  // expected-error @+1 {{expects one label per row of 'tensor<6x9xf32>', found 'tensor<5xi32>'}}
  %c, %v = titan.cross_entropy %logits, %labels : (tensor<6x9xf32>, tensor<5xi32>) -> (tensor<f32>, tensor<f32>)
  return
}

// -----

func.func @f(%logits: tensor<6x9xf32>, %labels: tensor<6xi32>, %s: tensor<f32>) {
  // expected-error @+1 {{dlogits 'tensor<6x8xf32>' is not of the logits' type 'tensor<6x9xf32>'}}
  %c, %v, %d = titan.cross_entropy_grad %logits, %labels, %s : (tensor<6x9xf32>, tensor<6xi32>, tensor<f32>) -> (tensor<f32>, tensor<f32>, tensor<6x8xf32>)
  return
}

// -----

func.func @f(%x: tensor<6x4xf32>, %w: tensor<9x5xf32>, %l: tensor<6xi32>) {
  // expected-error @+1 {{expects a weight [classes, 4], found 'tensor<9x5xf32>'}}
  %a, %v = titan.head_loss %x, %w, %l : (tensor<6x4xf32>, tensor<9x5xf32>, tensor<6xi32>) -> (tensor<f32>, tensor<f32>)
  return
}

// -----

func.func @f(%x: tensor<6x4xf32>, %w: tensor<9x4xf32>, %l: tensor<6xi32>, %s: tensor<f32>) {
  // expected-error @+1 {{dinput 'tensor<6x5xf32>' is not of the input's type 'tensor<6x4xf32>'}}
  %a, %v, %dx, %dw = titan.head_loss_grad %x, %w, %l, %s : (tensor<6x4xf32>, tensor<9x4xf32>, tensor<6xi32>, tensor<f32>) -> (tensor<f32>, tensor<f32>, tensor<6x5xf32>, tensor<9x4xf32>)
  return
}

// -----

func.func @f(%x: tensor<6x4xf32>, %w: tensor<9x4xf32>, %l: tensor<6xi32>, %s: tensor<f32>) {
  // expected-error @+1 {{dweight 'tensor<9x5xf32>' does not have the weight's shape, 'tensor<9x4xf32>'}}
  %a, %v, %dx, %dw = titan.head_loss_grad %x, %w, %l, %s : (tensor<6x4xf32>, tensor<9x4xf32>, tensor<6xi32>, tensor<f32>) -> (tensor<f32>, tensor<f32>, tensor<6x4xf32>, tensor<9x5xf32>)
  return
}

// -----

func.func @f(%x: tensor<6x4xf32>) {
  // expected-error @+1 {{expects as many elements of the same type, found 'tensor<6x4xf32>' (24) and 'tensor<5x4xf32>' (20)}}
  %r = titan.reshape %x : tensor<6x4xf32> -> tensor<5x4xf32>
  return
}

// -----

func.func @f(%x: tensor<6x4xf32>) {
  // expected-error @+1 {{differ in more than the size of the first dimension}}
  %r = titan.slice %x at 0 : tensor<6x4xf32> -> tensor<3x3xf32>
  return
}

// -----

func.func @f(%x: tensor<6x4xf32>) {
  // expected-error @+1 {{rows [4, 7) are not within the input's 6}}
  %r = titan.slice %x at 4 : tensor<6x4xf32> -> tensor<3x4xf32>
  return
}

// -----

func.func @f(%x: tensor<6x4xf32>, %y: tensor<6x5xf32>) {
  // expected-error @+1 {{differ in more than the size of the first dimension}}
  %r = titan.concat %x, %y : tensor<6x4xf32>, tensor<6x5xf32> -> tensor<12x4xf32>
  return
}

// -----

func.func @f(%x: tensor<6x4xf32>) {
  // expected-error @+1 {{the operands have 12 rows together, the result 11}}
  %r = titan.concat %x, %x : tensor<6x4xf32>, tensor<6x4xf32> -> tensor<11x4xf32>
  return
}

// -----

func.func @f(%x: tensor<4xf32>) {
  // expected-error @+1 {{expects 1 dimensions, found 2}}
  %r = titan.broadcast %x [0, 1] : tensor<4xf32> -> tensor<4x4xf32>
  return
}

// -----

func.func @f(%x: tensor<4xf32>) {
  // expected-error @+1 {{is not of the input's element type, 'f32'}}
  %r = titan.broadcast %x [0] : tensor<4xf32> -> tensor<4x4xbf16>
  return
}

// -----

func.func @f(%x: tensor<4xf32>) {
  // expected-error @+1 {{expects ascending dimensions from 0 to 1, found 2}}
  %r = titan.broadcast %x [2] : tensor<4xf32> -> tensor<4x4xf32>
  return
}

// -----

func.func @f(%x: tensor<4xf32>) {
  // expected-error @+1 {{dimension 0 of the result has size 3, the input's has 4}}
  %r = titan.broadcast %x [0] : tensor<4xf32> -> tensor<3x4xf32>
  return
}

// -----

func.func @f(%x: tensor<4x3xf32>) {
  // expected-error @+1 {{expects a permutation of 2 dimensions, found 1}}
  %r = titan.transpose %x [0] : tensor<4x3xf32> -> tensor<4x3xf32>
  return
}

// -----

func.func @f(%x: tensor<4x3xf32>) {
  // expected-error @+1 {{expects each dimension from 0 to 1 once, found 0}}
  %r = titan.transpose %x [0, 0] : tensor<4x3xf32> -> tensor<4x4xf32>
  return
}

// -----

func.func @f(%x: tensor<4x3xf32>) {
  // expected-error @+1 {{dimension 0 of the result has size 4, dimension 1 of the input 3}}
  %r = titan.transpose %x [1, 0] : tensor<4x3xf32> -> tensor<4x3xf32>
  return
}

// -----

func.func @f(%x: tensor<4xi32>) {
  // expected-error @+1 {{is not the labels' shape 'tensor<4xi32>' with one more dimension}}
  %r = titan.one_hot %x : tensor<4xi32> -> tensor<5x3xf32>
  return
}

// -----

func.func @f(%x: tensor<f32>) {
  // expected-error @+1 {{expects a tensor with columns, found 'tensor<f32>'}}
  %r = titan.mask_columns %x end 3 value 0.0 : tensor<f32>
  return
}

// -----

func.func @f(%x: tensor<4x3xf32>) {
  // expected-error @+1 {{expects to end after 1 to 2147483647 columns, found 0}}
  %r = titan.mask_columns %x end 0 value 0.0 : tensor<4x3xf32>
  return
}

// -----

func.func @f(%logits: tensor<6x9xf32>, %labels: tensor<6xi32>) {
  // expected-error @+1 {{expects a number of classes from 1 to 9, found 10}}
  %c, %v = titan.cross_entropy %logits, %labels {num_classes = 10} : (tensor<6x9xf32>, tensor<6xi32>) -> (tensor<f32>, tensor<f32>)
  return
}

// -----

func.func @f(%logits: tensor<6x9xf32>, %labels: tensor<6xi32>, %s: tensor<f32>) {
  // expected-error @+1 {{expects a number of classes from 1 to 9, found 0}}
  %c, %v, %d = titan.cross_entropy_grad %logits, %labels, %s {num_classes = 0} : (tensor<6x9xf32>, tensor<6xi32>, tensor<f32>) -> (tensor<f32>, tensor<f32>, tensor<6x9xf32>)
  return
}

// -----

func.func @f(%x: tensor<6x4xf32>, %w: tensor<9x4xf32>, %l: tensor<6xi32>) {
  // expected-error @+1 {{expects a number of classes from 1 to 9, found 10}}
  %a, %v = titan.head_loss %x, %w, %l {num_classes = 10} : (tensor<6x4xf32>, tensor<9x4xf32>, tensor<6xi32>) -> (tensor<f32>, tensor<f32>)
  return
}

// -----

func.func @f(%x: tensor<6x4xf32>, %w: tensor<9x4xf32>, %l: tensor<6xi32>, %s: tensor<f32>) {
  // expected-error @+1 {{expects a number of classes from 1 to 9, found -1}}
  %a, %v, %dx, %dw = titan.head_loss_grad %x, %w, %l, %s {num_classes = -1} : (tensor<6x4xf32>, tensor<9x4xf32>, tensor<6xi32>, tensor<f32>) -> (tensor<f32>, tensor<f32>, tensor<6x4xf32>, tensor<9x4xf32>)
  return
}

// -----

// expected-error @+1 {{expects a padding of 0 to 3 rows of 'tensor<4x2xf32>', found 4}}
titan.variable parameter @w : tensor<4x2xf32> padding 4

// -----

// expected-error @+1 {{expects a padding of 0 to 0 rows of 'tensor<f32>', found 1}}
titan.variable counter @w : tensor<f32> padding 1

// -----

func.func @f(%x: tensor<4x3xf32>) {
  // expected-error @+1 {{expects ascending dimensions from 0 to 1, found 0}}
  %r = titan.reduce sum %x [1, 0] : tensor<4x3xf32> -> tensor<f32>
  return
}

// -----

func.func @f(%x: tensor<4x3xf32>) {
  // expected-error @+1 {{does not have the input's shape without the reduced dimensions, 'tensor<4xf32>'}}
  %r = titan.reduce sum %x [1] : tensor<4x3xf32> -> tensor<3xf32>
  return
}

// -----

func.func @f(%x: tensor<4xf32>) {
  // expected-error @+1 {{expects the region to yield values of the results' types}}
  %y = titan.kernel (%a = %x) : (tensor<4xf32>) -> tensor<5xf32> {
    titan.yield %a : tensor<4xf32>
  }
  return
}

// -----

func.func @f(%x: tensor<4x4xf32>) {
  %y = titan.kernel (%a = %x) : (tensor<4x4xf32>) -> tensor<4x4xf32> {
    // expected-error @+1 {{stands in a kernel region but is no FusibleOpInterface}}
    %0 = titan.einsum "mk,kn->mn" %a, %a : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>
    titan.yield %0 : tensor<4x4xf32>
  }
  return
}

// -----

func.func @batch_that_depends(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %r:2 = titan.kernel (%a = %x) : (tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
    %0 = titan.kernel (%b = %a) : (tensor<4xf32>) -> tensor<4xf32> {
      %y = titan.neg %b : tensor<4xf32>
      titan.yield %y : tensor<4xf32>
    }
    // expected-error @+1 {{reads as operand #0 what another kernel of its batch computes at the same time}}
    %1 = titan.kernel (%b = %0) : (tensor<4xf32>) -> tensor<4xf32> {
      %y = titan.neg %b : tensor<4xf32>
      titan.yield %y : tensor<4xf32>
    }
    titan.yield %0, %1 : tensor<4xf32>, tensor<4xf32>
  }
  return %r#0, %r#1 : tensor<4xf32>, tensor<4xf32>
}

// -----

func.func @batch_in_another_order(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  // expected-error @+1 {{expects a batch to yield the results of its kernels in their order}}
  %r:2 = titan.kernel (%a = %x) : (tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
    %0 = titan.kernel (%b = %a) : (tensor<4xf32>) -> tensor<4xf32> {
      %y = titan.neg %b : tensor<4xf32>
      titan.yield %y : tensor<4xf32>
    }
    titan.yield %0, %0 : tensor<4xf32>, tensor<4xf32>
  }
  return %r#0, %r#1 : tensor<4xf32>, tensor<4xf32>
}

// -----

func.func @f(%q: tensor<1x6x4x8xf32>, %k: tensor<1x6x2x8xf32>, %p: tensor<1x6xi32>) {
  // expected-error @+1 {{expects query and key positions together}}
  %o, %l = "titan.attention"(%q, %k, %k, %p) <{scale = 1.0 : f64, operandSegmentSizes = array<i32: 1, 1, 1, 1, 0>}> : (tensor<1x6x4x8xf32>, tensor<1x6x2x8xf32>, tensor<1x6x2x8xf32>, tensor<1x6xi32>) -> (tensor<1x6x4x8xf32>, tensor<1x4x6xf32>)
  return
}

// -----

func.func @f(%x: tensor<4xf32>, %y: tensor<2xf32>, %s: tensor<f32>) {
  // expected-error @+1 {{expects operands of the results' shape or of rank 0, found 'tensor<2xf32>' beside 'tensor<4xf32>'}}
  %r = titan.map (%a = %x, %b = %y) : (tensor<4xf32>, tensor<2xf32>) -> tensor<4xf32> {
    titan.yield %a : f32
  }
  return
}

// -----

func.func @f(%x: tensor<4xf32>, %y: tensor<2xf32>, %s: tensor<f32>) {
  // expected-error @+1 {{expects results of one shape, found 'tensor<4xf32>' and 'tensor<2xf32>'}}
  %r:2 = titan.map (%a = %x) : (tensor<4xf32>) -> (tensor<4xf32>, tensor<2xf32>) {
    titan.yield %a, %a : f32, f32
  }
  return
}

// -----

func.func @f(%x: tensor<4xf32>, %y: tensor<2xf32>, %s: tensor<f32>) {
  // expected-error @+1 {{expects at least one result}}
  titan.map (%a = %x) : (tensor<4xf32>) -> () {
    titan.yield
  }
  return
}

// -----

func.func @f(%x: tensor<4xf32>, %y: tensor<2xf32>, %s: tensor<f32>) {
  // expected-error @+1 {{expects the region to yield scalars of the types that the results are computed in, here ('f64'), found ('f32')}}
  %r = titan.map (%a = %x) : (tensor<4xf32>) -> tensor<4xf64> {
    titan.yield %a : f32
  }
  return
}

// -----

func.func @f(%x: tensor<4xf32>, %y: tensor<2xf32>, %s: tensor<f32>) {
  %r = titan.map (%a = %x) : (tensor<4xf32>) -> tensor<4xf32> {
    // expected-error @+1 {{stands in a titan.map, which may hold arith.constant, addf, }}
    %b = math.sin %a : f32
    titan.yield %b : f32
  }
  return
}

// -----

func.func @f(%x: tensor<4xbf16>) {
  // expected-error @+1 {{expects one block argument per operand, of the type it is computed in, here ('f32'), found ('bf16')}}
  %r = "titan.map"(%x) ({
  ^bb0(%a: bf16):
    titan.yield %a : bf16
  }) : (tensor<4xbf16>) -> tensor<4xbf16>
  return
}

// -----

func.func @f(%x: tensor<4xf32>) {
  %r = titan.map (%a = %x) : (tensor<4xf32>) -> tensor<4xf32> {
    // expected-error @+1 {{stands in a titan.map, which may hold arith.constant, addf, subf, mulf, divf, negf, minimumf, maximumf, cmpf, select, math.absf, exp, log, sqrt, tanh, erf, of float scalars}}
    %three = arith.constant 3 : i32
    titan.yield %a : f32
  }
  return
}

// -----

func.func @f(%x: tensor<4xf32>) {
  // expected-error @+1 {{expects one block argument per operand, of its type}}
  %r = "titan.kernel"(%x) ({
  ^bb0(%a: tensor<5xf32>):
    titan.yield %x : tensor<4xf32>
  }) : (tensor<4xf32>) -> tensor<4xf32>
  return
}
