// One function per op, and per form of an op: what tests of every op's interfaces run over. With
// `test.positive` the floats among the arguments are positive; `test.differentiable` lists the
// arguments that the op can be differentiated by, if not all floats; with `test.labels` some of the
// integers among the arguments are negative.

func.func @add(%a: tensor<2x3xf32>, %b: tensor<2x3xf32>) -> tensor<2x3xf32> {
  %r = titan.add %a, %b : tensor<2x3xf32>
  return %r : tensor<2x3xf32>
}
func.func @sub(%a: tensor<2x3xf32>, %b: tensor<2x3xf32>) -> tensor<2x3xf32> {
  %r = titan.sub %a, %b : tensor<2x3xf32>
  return %r : tensor<2x3xf32>
}
func.func @mul(%a: tensor<2x3xf32>, %b: tensor<2x3xf32>) -> tensor<2x3xf32> {
  %r = titan.mul %a, %b : tensor<2x3xf32>
  return %r : tensor<2x3xf32>
}
func.func @square(%a: tensor<2x3xf32>) -> tensor<2x3xf32> {
  %r = titan.mul %a, %a : tensor<2x3xf32>
  return %r : tensor<2x3xf32>
}
func.func @div(%a: tensor<2x3xf32>, %b: tensor<2x3xf32>) -> tensor<2x3xf32>
    attributes {test.positive} {
  %r = titan.div %a, %b : tensor<2x3xf32>
  return %r : tensor<2x3xf32>
}
func.func @minimum(%a: tensor<2x3xf32>, %b: tensor<2x3xf32>) -> tensor<2x3xf32> {
  %r = titan.minimum %a, %b : tensor<2x3xf32>
  return %r : tensor<2x3xf32>
}
func.func @neg(%a: tensor<7xf32>) -> tensor<7xf32> {
  %r = titan.neg %a : tensor<7xf32>
  return %r : tensor<7xf32>
}
func.func @exp(%a: tensor<7xf32>) -> tensor<7xf32> {
  %r = titan.exp %a : tensor<7xf32>
  return %r : tensor<7xf32>
}
func.func @log(%a: tensor<7xf32>) -> tensor<7xf32> attributes {test.positive} {
  %r = titan.log %a : tensor<7xf32>
  return %r : tensor<7xf32>
}
func.func @sqrt(%a: tensor<7xf32>) -> tensor<7xf32> attributes {test.positive} {
  %r = titan.sqrt %a : tensor<7xf32>
  return %r : tensor<7xf32>
}
func.func @rsqrt(%a: tensor<7xf32>) -> tensor<7xf32> attributes {test.positive} {
  %r = titan.rsqrt %a : tensor<7xf32>
  return %r : tensor<7xf32>
}
func.func @silu(%a: tensor<7xf32>) -> tensor<7xf32> {
  %r = titan.silu %a : tensor<7xf32>
  return %r : tensor<7xf32>
}
func.func @silu_grad(%a: tensor<7xf32>, %b: tensor<7xf32>) -> tensor<7xf32> {
  %r = titan.silu_grad %a, %b : tensor<7xf32>
  return %r : tensor<7xf32>
}
func.func @is_finite(%a: tensor<f32>) -> tensor<f32> {
  %r = titan.is_finite %a : tensor<f32>
  return %r : tensor<f32>
}
func.func @cast(%a: tensor<2x3xf32>) -> tensor<2x3xbf16> {
  %r = titan.cast %a : tensor<2x3xf32> -> tensor<2x3xbf16>
  return %r : tensor<2x3xbf16>
}
func.func @full() -> tensor<2x3xf32> {
  %r = titan.full 2.5 : tensor<2x3xf32>
  return %r : tensor<2x3xf32>
}

func.func @einsum(%a: tensor<2x5x4xf32>, %b: tensor<3x4xf32>) -> tensor<2x5x3xf32> {
  %r = titan.einsum "bsd,nd->bsn" %a, %b
      : tensor<2x5x4xf32>, tensor<3x4xf32> -> tensor<2x5x3xf32>
  return %r : tensor<2x5x3xf32>
}
func.func @einsum_transpose_lhs(%a: tensor<4x5xf32>, %b: tensor<4x3xf32>) -> tensor<5x3xf32> {
  %r = titan.einsum "kt,kn->tn" %a, %b : tensor<4x5xf32>, tensor<4x3xf32> -> tensor<5x3xf32>
  return %r : tensor<5x3xf32>
}
func.func @einsum_weight_gradient(%a: tensor<2x5x3xf32>, %b: tensor<2x5x4xf32>, %c: tensor<3x4xf32>)
    -> tensor<3x4xf32> {
  %r = titan.einsum "bsn,bsd->nd" %a, %b acc(%c : tensor<3x4xf32>)
      : tensor<2x5x3xf32>, tensor<2x5x4xf32> -> tensor<3x4xf32>
  return %r : tensor<3x4xf32>
}
func.func @einsum_batch(%a: tensor<2x3x5x4xf32>, %b: tensor<2x3x4x6xf32>) -> tensor<2x3x5x6xf32> {
  %r = titan.einsum "bhqd,bhdk->bhqk" %a, %b
      : tensor<2x3x5x4xf32>, tensor<2x3x4x6xf32> -> tensor<2x3x5x6xf32>
  return %r : tensor<2x3x5x6xf32>
}
func.func @einsum_batch_transposed(%a: tensor<2x4x5xf32>, %b: tensor<2x6x4xf32>)
    -> tensor<2x5x6xf32> {
  %r = titan.einsum "bdq,bkd->bqk" %a, %b
      : tensor<2x4x5xf32>, tensor<2x6x4xf32> -> tensor<2x5x6xf32>
  return %r : tensor<2x5x6xf32>
}
func.func @einsum_outer(%a: tensor<4xf32>, %b: tensor<3xf32>) -> tensor<4x3xf32> {
  %r = titan.einsum "m,n->mn" %a, %b : tensor<4xf32>, tensor<3xf32> -> tensor<4x3xf32>
  return %r : tensor<4x3xf32>
}

func.func @rms_norm(%x: tensor<2x3x8xf32>, %w: tensor<8xf32>)
    -> (tensor<2x3x8xf32>, tensor<2x3xf32>) {
  %r, %rstd = titan.rms_norm %x, %w epsilon 0.1
      : tensor<2x3x8xf32>, tensor<8xf32> -> tensor<2x3x8xf32>, tensor<2x3xf32>
  return %r, %rstd : tensor<2x3x8xf32>, tensor<2x3xf32>
}
func.func @rms_norm_grad(%dy: tensor<2x3x8xf32>, %x: tensor<2x3x8xf32>, %w: tensor<8xf32>,
                         %rstd: tensor<2x3xf32>) -> (tensor<2x3x8xf32>, tensor<8xf32>) {
  %dx, %dw = titan.rms_norm_grad %dy, %x, %w, %rstd
      : tensor<2x3x8xf32>, tensor<2x3x8xf32>, tensor<8xf32>, tensor<2x3xf32>
      -> tensor<2x3x8xf32>, tensor<8xf32>
  return %dx, %dw : tensor<2x3x8xf32>, tensor<8xf32>
}

func.func @rope(%x: tensor<2x3x2x8xf32>, %c: tensor<3x4xf32>, %s: tensor<3x4xf32>)
    -> tensor<2x3x2x8xf32> attributes {test.differentiable = array<i64: 0>} {
  %r = titan.rope %x, %c, %s
      : tensor<2x3x2x8xf32>, tensor<3x4xf32>, tensor<3x4xf32> -> tensor<2x3x2x8xf32>
  return %r : tensor<2x3x2x8xf32>
}
func.func @rope_inverse(%x: tensor<2x3x2x8xf32>, %c: tensor<2x3x4xf32>, %s: tensor<2x3x4xf32>)
    -> tensor<2x3x2x8xf32> attributes {test.differentiable = array<i64: 0>} {
  %r = titan.rope inverse %x, %c, %s
      : tensor<2x3x2x8xf32>, tensor<2x3x4xf32>, tensor<2x3x4xf32> -> tensor<2x3x2x8xf32>
  return %r : tensor<2x3x2x8xf32>
}
func.func @attention(%q: tensor<2x5x4x3xf32>, %k: tensor<2x5x2x3xf32>, %v: tensor<2x5x2x3xf32>)
    -> (tensor<2x5x4x3xf32>, tensor<2x4x5xf32>) {
  %r, %lse = titan.attention causal %q, %k, %v scale 0.5
      : tensor<2x5x4x3xf32>, tensor<2x5x2x3xf32>, tensor<2x5x2x3xf32>
      -> tensor<2x5x4x3xf32>, tensor<2x4x5xf32>
  return %r, %lse : tensor<2x5x4x3xf32>, tensor<2x4x5xf32>
}
func.func @attention_full(%q: tensor<2x5x4x3xf32>, %k: tensor<2x7x1x3xf32>,
                          %v: tensor<2x7x1x3xf32>) -> (tensor<2x5x4x3xf32>, tensor<2x4x5xf32>) {
  %r, %lse = titan.attention %q, %k, %v scale 0.5
      : tensor<2x5x4x3xf32>, tensor<2x7x1x3xf32>, tensor<2x7x1x3xf32>
      -> tensor<2x5x4x3xf32>, tensor<2x4x5xf32>
  return %r, %lse : tensor<2x5x4x3xf32>, tensor<2x4x5xf32>
}
func.func @attention_positions(
    %q: tensor<2x5x2x3xf32>, %k: tensor<2x7x2x3xf32>, %v: tensor<2x7x2x3xf32>,
    %qp: tensor<2x5xi32>, %kp: tensor<2x7xi32>) -> (tensor<2x5x2x3xf32>, tensor<2x2x5xf32>) {
  %r, %lse = titan.attention causal %q, %k, %v
      positions(%qp, %kp : tensor<2x5xi32>, tensor<2x7xi32>) scale 0.5
      : tensor<2x5x2x3xf32>, tensor<2x7x2x3xf32>, tensor<2x7x2x3xf32>
      -> tensor<2x5x2x3xf32>, tensor<2x2x5xf32>
  return %r, %lse : tensor<2x5x2x3xf32>, tensor<2x2x5xf32>
}
func.func @attention_grad(
    %q: tensor<2x5x4x3xf32>, %k: tensor<2x7x2x3xf32>, %v: tensor<2x7x2x3xf32>,
    %qp: tensor<2x5xi32>, %kp: tensor<2x7xi32>, %r: tensor<2x5x4x3xf32>, %lse: tensor<2x4x5xf32>,
    %dr: tensor<2x5x4x3xf32>)
    -> (tensor<2x5x4x3xf32>, tensor<2x7x2x3xf32>, tensor<2x7x2x3xf32>) {
  %dq, %dk, %dv = titan.attention_grad causal %q, %k, %v
      positions(%qp, %kp : tensor<2x5xi32>, tensor<2x7xi32>) result %r, %lse dresult %dr scale 0.5
      : tensor<2x5x4x3xf32>, tensor<2x7x2x3xf32>, tensor<2x7x2x3xf32>, tensor<2x5x4x3xf32>,
        tensor<2x4x5xf32>, tensor<2x5x4x3xf32>
      -> tensor<2x5x4x3xf32>, tensor<2x7x2x3xf32>, tensor<2x7x2x3xf32>
  return %dq, %dk, %dv : tensor<2x5x4x3xf32>, tensor<2x7x2x3xf32>, tensor<2x7x2x3xf32>
}

func.func @embedding(%t: tensor<2x3xi32>, %w: tensor<8x4xf32>) -> tensor<2x3x4xf32> {
  %r = titan.embedding %t, %w : tensor<2x3xi32>, tensor<8x4xf32> -> tensor<2x3x4xf32>
  return %r : tensor<2x3x4xf32>
}
func.func @embedding_grad(%dr: tensor<2x3x4xf32>, %t: tensor<2x3xi32>, %acc: tensor<8x4xf32>)
    -> tensor<8x4xf32> {
  %r = titan.embedding_grad %dr, %t acc(%acc : tensor<8x4xf32>)
      : tensor<2x3x4xf32>, tensor<2x3xi32> -> tensor<8x4xf32>
  return %r : tensor<8x4xf32>
}

func.func @embedding_part(%t: tensor<2x3xi32>, %w: tensor<8x4xf32>, %first: tensor<i32>)
    -> tensor<2x3x4xf32> {
  %r = titan.embedding %t, %w from %first
      : tensor<2x3xi32>, tensor<8x4xf32> -> tensor<2x3x4xf32>
  return %r : tensor<2x3x4xf32>
}
func.func @embedding_grad_part(%dr: tensor<2x3x4xf32>, %t: tensor<2x3xi32>, %first: tensor<i32>)
    -> tensor<8x4xf32> {
  %r = titan.embedding_grad %dr, %t from %first
      : tensor<2x3x4xf32>, tensor<2x3xi32> -> tensor<8x4xf32>
  return %r : tensor<8x4xf32>
}

func.func @cross_entropy(%x: tensor<6x8xf32>, %l: tensor<6xi32>) -> (tensor<f32>, tensor<f32>) attributes {test.labels} {
  %loss, %valid = titan.cross_entropy %x, %l
      : (tensor<6x8xf32>, tensor<6xi32>) -> (tensor<f32>, tensor<f32>)
  return %loss, %valid : tensor<f32>, tensor<f32>
}
func.func @cross_entropy_grad(%x: tensor<6x8xf32>, %l: tensor<6xi32>, %d: tensor<f32>)
    -> (tensor<f32>, tensor<f32>, tensor<6x8xf32>) attributes {test.labels} {
  %loss, %valid, %dx = titan.cross_entropy_grad %x, %l, %d
      : (tensor<6x8xf32>, tensor<6xi32>, tensor<f32>)
      -> (tensor<f32>, tensor<f32>, tensor<6x8xf32>)
  return %loss, %valid, %dx : tensor<f32>, tensor<f32>, tensor<6x8xf32>
}
func.func @head_loss(%x: tensor<2x3x4xf32>, %w: tensor<8x4xf32>, %l: tensor<2x3xi32>)
    -> (tensor<f32>, tensor<f32>) attributes {test.labels} {
  %loss, %valid = titan.head_loss %x, %w, %l
      : (tensor<2x3x4xf32>, tensor<8x4xf32>, tensor<2x3xi32>) -> (tensor<f32>, tensor<f32>)
  return %loss, %valid : tensor<f32>, tensor<f32>
}
func.func @head_loss_grad(%x: tensor<2x3x4xf32>, %w: tensor<8x4xf32>, %l: tensor<2x3xi32>,
                          %d: tensor<f32>)
    -> (tensor<f32>, tensor<f32>, tensor<2x3x4xf32>, tensor<8x4xf32>) attributes {test.labels} {
  %loss, %valid, %dx, %dw = titan.head_loss_grad %x, %w, %l, %d
      : (tensor<2x3x4xf32>, tensor<8x4xf32>, tensor<2x3xi32>, tensor<f32>)
      -> (tensor<f32>, tensor<f32>, tensor<2x3x4xf32>, tensor<8x4xf32>)
  return %loss, %valid, %dx, %dw
      : tensor<f32>, tensor<f32>, tensor<2x3x4xf32>, tensor<8x4xf32>
}

func.func @reshape_split(%x: tensor<2x12xf32>) -> tensor<2x3x4xf32> {
  %r = titan.reshape %x : tensor<2x12xf32> -> tensor<2x3x4xf32>
  return %r : tensor<2x3x4xf32>
}
func.func @reshape_merge(%x: tensor<2x1x3x4xf32>) -> tensor<6x4x1xf32> {
  %r = titan.reshape %x : tensor<2x1x3x4xf32> -> tensor<6x4x1xf32>
  return %r : tensor<6x4x1xf32>
}
func.func @reshape_across(%x: tensor<6x8xf32>) -> tensor<2x24xf32> {
  %r = titan.reshape %x : tensor<6x8xf32> -> tensor<2x24xf32>
  return %r : tensor<2x24xf32>
}
func.func @reshape_mixed(%x: tensor<3x2x5xf32>) -> tensor<2x3x5xf32> {
  %r = titan.reshape %x : tensor<3x2x5xf32> -> tensor<2x3x5xf32>
  return %r : tensor<2x3x5xf32>
}
func.func @reshape_scalar(%x: tensor<1x1xf32>) -> tensor<f32> {
  %r = titan.reshape %x : tensor<1x1xf32> -> tensor<f32>
  return %r : tensor<f32>
}
func.func @slice(%x: tensor<5x3xi32>) -> tensor<2x3xi32> {
  %r = titan.slice %x at 2 : tensor<5x3xi32> -> tensor<2x3xi32>
  return %r : tensor<2x3xi32>
}
func.func @concat(%a: tensor<2x3xf32>, %b: tensor<3x3xf32>) -> tensor<5x3xf32> {
  %r = titan.concat %a, %b : tensor<2x3xf32>, tensor<3x3xf32> -> tensor<5x3xf32>
  return %r : tensor<5x3xf32>
}
func.func @broadcast(%x: tensor<3xf32>) -> tensor<2x3x4xf32> {
  %r = titan.broadcast %x [1] : tensor<3xf32> -> tensor<2x3x4xf32>
  return %r : tensor<2x3x4xf32>
}
func.func @transpose(%x: tensor<2x3x4xf32>) -> tensor<4x2x3xf32> {
  %r = titan.transpose %x [2, 0, 1] : tensor<2x3x4xf32> -> tensor<4x2x3xf32>
  return %r : tensor<4x2x3xf32>
}
func.func @one_hot(%l: tensor<2x3xi32>) -> tensor<2x3x8xf32> attributes {test.labels} {
  %r = titan.one_hot %l : tensor<2x3xi32> -> tensor<2x3x8xf32>
  return %r : tensor<2x3x8xf32>
}
func.func @one_hot_part(%l: tensor<2x3xi32>, %first: tensor<i32>) -> tensor<2x3x8xf32> {
  %r = titan.one_hot %l from %first : tensor<2x3xi32> -> tensor<2x3x8xf32>
  return %r : tensor<2x3x8xf32>
}
func.func @mask_columns(%x: tensor<2x3x8xf32>) -> tensor<2x3x8xf32> {
  %r = titan.mask_columns %x end 5 value -1.0 : tensor<2x3x8xf32>
  return %r : tensor<2x3x8xf32>
}
func.func @mask_columns_part(%x: tensor<2x3x8xf32>, %first: tensor<i32>) -> tensor<2x3x8xf32> {
  %r = titan.mask_columns %x from %first end 9 value -1.0 : tensor<2x3x8xf32>
  return %r : tensor<2x3x8xf32>
}
func.func @is_valid(%l: tensor<2x3xi32>) -> tensor<2x3xf32> attributes {test.labels} {
  %r = titan.is_valid %l : tensor<2x3xi32> -> tensor<2x3xf32>
  return %r : tensor<2x3xf32>
}

func.func @reduce(%x: tensor<2x3x4xf32>) -> tensor<3xf32> {
  %r = titan.reduce sum %x [0, 2] : tensor<2x3x4xf32> -> tensor<3xf32>
  return %r : tensor<3xf32>
}
func.func @reduce_max(%x: tensor<2x3x4xf32>) -> tensor<2x3xf32>
    attributes {test.differentiable = array<i64>} {
  %r = titan.reduce max %x [2] : tensor<2x3x4xf32> -> tensor<2x3xf32>
  return %r : tensor<2x3xf32>
}
func.func @sum_of_squares(%a: tensor<2x3xf32>, %b: tensor<4xf32>) -> tensor<f32> {
  %r = titan.sum_of_squares %a, %b : tensor<2x3xf32>, tensor<4xf32> -> tensor<f32>
  return %r : tensor<f32>
}

func.func @adam_update(%p: tensor<2x3xf32>, %g: tensor<2x3xf32>, %m: tensor<2x3xf32>,
                       %v: tensor<2x3xf32>, %lr: tensor<f32>, %scale: tensor<f32>,
                       %c1: tensor<f32>, %c2: tensor<f32>, %finite: tensor<f32>,
                       %r1: tensor<f32>, %r2: tensor<f32>, %epsilon: tensor<f32>, %decay: tensor<f32>)
    -> (tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>) attributes {test.positive} {
  %np, %nm, %nv = titan.adam_update %p, %g, %m, %v lr %lr scale %scale
      bias_corrections %c1, %c2 finite %finite
      one_minus_betas %r1, %r2 epsilon %epsilon weight_decay %decay {decoupled}
      : tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>, tensor<f32>,
        tensor<f32>, tensor<f32>, tensor<f32>, tensor<f32>, tensor<f32>, tensor<f32>, tensor<f32>,
        tensor<f32>
  return %np, %nm, %nv : tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>
}

// Every scalar op that has a derivative; sums within one element's function too.
func.func @map(%a: tensor<2x3xf32>, %b: tensor<2x3xf32>, %s: tensor<f32>)
    -> (tensor<2x3xf32>, tensor<2x3xf32>) {
  %r:2 = titan.map (%x = %a, %y = %b, %z = %s)
      : (tensor<2x3xf32>, tensor<2x3xf32>, tensor<f32>) -> (tensor<2x3xf32>, tensor<2x3xf32>) {
    %half = arith.constant 0.5 : f32
    %square = arith.mulf %y, %y : f32
    %positive = arith.addf %square, %half : f32
    %root = math.sqrt %positive : f32
    %log = math.log %positive : f32
    %tanh = math.tanh %x : f32
    %erf = math.erf %y : f32
    %exp = math.exp %tanh : f32
    %abs = math.absf %x : f32
    %low = arith.minimumf %abs, %root : f32
    %high = arith.maximumf %erf, %z : f32
    %quotient = arith.divf %low, %exp : f32
    %minus = arith.negf %quotient : f32
    %less = arith.cmpf olt, %x, %y : f32
    %either = arith.select %less, %minus, %log : f32
    %difference = arith.subf %high, %either : f32
    %product = arith.mulf %difference, %z : f32
    titan.yield %product, %tanh : f32, f32
  }
  return %r#0, %r#1 : tensor<2x3xf32>, tensor<2x3xf32>
}
func.func @map_number(%a: tensor<f32>, %b: tensor<f32>) -> tensor<f32> {
  %r = titan.map (%x = %a, %y = %b) : (tensor<f32>, tensor<f32>) -> tensor<f32> {
    %p = arith.mulf %x, %y : f32
    titan.yield %p : f32
  }
  return %r : tensor<f32>
}

// One rank: what the interpreter and finite differences see is the global program.
titan.mesh @mesh [tp = 1]
func.func @reshard(%x: tensor<2x3xf32, #titan.sharding<[{tp}, {}]>>)
    -> tensor<2x3xf32, #titan.sharding<[{}, {}]>> {
  %r = titan.reshard %x : tensor<2x3xf32, #titan.sharding<[{tp}, {}]>>
      -> tensor<2x3xf32, #titan.sharding<[{}, {}]>>
  return %r : tensor<2x3xf32, #titan.sharding<[{}, {}]>>
}
func.func @all_gather(%x: tensor<2x3xf32>) -> tensor<2x3xf32> {
  %r = titan.all_gather %x over [tp] dimension 1 : (tensor<2x3xf32>) -> tensor<2x3xf32>
  return %r : tensor<2x3xf32>
}
func.func @reduce_scatter(%x: tensor<2x3xf32>) -> tensor<2x3xf32> {
  %r = titan.reduce_scatter %x over [tp] dimension 0 : (tensor<2x3xf32>) -> tensor<2x3xf32>
  return %r : tensor<2x3xf32>
}
func.func @all_reduce(%x: tensor<2x3xf32>) -> tensor<2x3xf32> {
  %r = titan.all_reduce sum %x over [tp] : (tensor<2x3xf32>) -> tensor<2x3xf32>
  return %r : tensor<2x3xf32>
}
func.func @axis_slice(%x: tensor<2x3xf32>) -> tensor<2x3xf32> {
  %r = titan.axis_slice %x over [tp] dimension 1 : tensor<2x3xf32> -> tensor<2x3xf32>
  return %r : tensor<2x3xf32>
}
func.func @sharding_constraint(%x: tensor<2x3xf32>) -> tensor<2x3xf32> {
  %r = titan.sharding_constraint %x to <[{tp}, {}]> : tensor<2x3xf32>
  return %r : tensor<2x3xf32>
}
func.func @start(%x: tensor<2x3xf32>) -> tensor<2x3xf32> {
  %p = titan.start all_gather %x over [tp] : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %r = titan.await %p of %x : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
  return %r : tensor<2x3xf32>
}
