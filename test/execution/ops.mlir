// The meaning of each composite op, spelled out in simpler ops; and that of the simplest ones, where
// one is another's inverse.
//
// RUN: titan-check %s --function rms_norm --against rms_norm_parts
// RUN: titan-check %s --function attention --against attention_parts
// RUN: titan-check %s --function cross_entropy --against cross_entropy_parts
// RUN: titan-check %s --function head_loss --against head_loss_parts
// RUN: titan-check %s --function cross_entropy_padded --against cross_entropy_unpadded
// RUN: titan-check %s --function mask_columns --against mask_columns_parts
// RUN: titan-check %s --function silu --against silu_parts
// RUN: titan-check %s --function map --against map_parts
// RUN: titan-check %s --function rope --against rope_parts
// RUN: titan-check %s --function embedding --against embedding_parts
// RUN: titan-check %s --function embedding_grad --against embedding_grad_parts
// RUN: titan-check %s --function sum_of_squares --against sum_of_squares_parts
// RUN: titan-check %s --function adam --against adam_parts
// RUN: titan-check %s --function inverses --against identity

func.func @rms_norm(%x: tensor<3x8xf32>, %w: tensor<8xf32>) -> (tensor<3x8xf32>, tensor<3xf32>) {
  %r, %rstd = titan.rms_norm %x, %w epsilon 0.25
      : tensor<3x8xf32>, tensor<8xf32> -> tensor<3x8xf32>, tensor<3xf32>
  return %r, %rstd : tensor<3x8xf32>, tensor<3xf32>
}
func.func @rms_norm_parts(%x: tensor<3x8xf32>, %w: tensor<8xf32>)
    -> (tensor<3x8xf32>, tensor<3xf32>) {
  %squares = titan.mul %x, %x : tensor<3x8xf32>
  %sum = titan.reduce sum %squares [1] : tensor<3x8xf32> -> tensor<3xf32>
  %eighth = titan.full 0.125 : tensor<3xf32>
  %mean = titan.mul %sum, %eighth : tensor<3xf32>
  %epsilon = titan.full 0.25 : tensor<3xf32>
  %biased = titan.add %mean, %epsilon : tensor<3xf32>
  %rstd = titan.rsqrt %biased : tensor<3xf32>
  %scale = titan.broadcast %rstd [0] : tensor<3xf32> -> tensor<3x8xf32>
  %weight = titan.broadcast %w [1] : tensor<8xf32> -> tensor<3x8xf32>
  %normal = titan.mul %x, %scale : tensor<3x8xf32>
  %r = titan.mul %normal, %weight : tensor<3x8xf32>
  return %r, %rstd : tensor<3x8xf32>, tensor<3xf32>
}

// Two query heads share one key head.
func.func @attention(%q: tensor<2x5x2x3xf32>, %k: tensor<2x4x1x3xf32>, %v: tensor<2x4x1x3xf32>)
    -> (tensor<2x5x2x3xf32>, tensor<2x2x5xf32>) {
  %r, %lse = titan.attention %q, %k, %v scale 0.5
      : tensor<2x5x2x3xf32>, tensor<2x4x1x3xf32>, tensor<2x4x1x3xf32>
      -> tensor<2x5x2x3xf32>, tensor<2x2x5xf32>
  return %r, %lse : tensor<2x5x2x3xf32>, tensor<2x2x5xf32>
}
func.func @attention_parts(%q: tensor<2x5x2x3xf32>, %k: tensor<2x4x1x3xf32>,
                           %v: tensor<2x4x1x3xf32>)
    -> (tensor<2x5x2x3xf32>, tensor<2x2x5xf32>) {
  %qt = titan.transpose %q [0, 2, 1, 3] : tensor<2x5x2x3xf32> -> tensor<2x2x5x3xf32>
  %k3 = titan.reshape %k : tensor<2x4x1x3xf32> -> tensor<2x4x3xf32>
  %v3 = titan.reshape %v : tensor<2x4x1x3xf32> -> tensor<2x4x3xf32>
  %products = titan.einsum "bhqd,bkd->bhqk" %qt, %k3
      : tensor<2x2x5x3xf32>, tensor<2x4x3xf32> -> tensor<2x2x5x4xf32>
  %half = titan.full 0.5 : tensor<2x2x5x4xf32>
  %scores = titan.mul %products, %half : tensor<2x2x5x4xf32>
  %exponentials = titan.exp %scores : tensor<2x2x5x4xf32>
  %sum = titan.reduce sum %exponentials [3] : tensor<2x2x5x4xf32> -> tensor<2x2x5xf32>
  %lse = titan.log %sum : tensor<2x2x5xf32>
  %spread = titan.broadcast %sum [0, 1, 2] : tensor<2x2x5xf32> -> tensor<2x2x5x4xf32>
  %probabilities = titan.div %exponentials, %spread : tensor<2x2x5x4xf32>
  %mixed = titan.einsum "bhqk,bkd->bhqd" %probabilities, %v3
      : tensor<2x2x5x4xf32>, tensor<2x4x3xf32> -> tensor<2x2x5x3xf32>
  %r = titan.transpose %mixed [0, 2, 1, 3] : tensor<2x2x5x3xf32> -> tensor<2x5x2x3xf32>
  return %r, %lse : tensor<2x5x2x3xf32>, tensor<2x2x5xf32>
}

func.func @cross_entropy(%x: tensor<6x16xf32>, %l: tensor<6xi32> {titan.name = "labels"})
    -> (tensor<f32>, tensor<f32>) {
  %loss, %valid = titan.cross_entropy %x, %l
      : (tensor<6x16xf32>, tensor<6xi32>) -> (tensor<f32>, tensor<f32>)
  return %loss, %valid : tensor<f32>, tensor<f32>
}
func.func @cross_entropy_parts(%x: tensor<6x16xf32>, %l: tensor<6xi32>)
    -> (tensor<f32>, tensor<f32>) {
  %exponentials = titan.exp %x : tensor<6x16xf32>
  %sum = titan.reduce sum %exponentials [1] : tensor<6x16xf32> -> tensor<6xf32>
  %lse = titan.log %sum : tensor<6xf32>
  %hot = titan.one_hot %l : tensor<6xi32> -> tensor<6x16xf32>
  %picked = titan.mul %x, %hot : tensor<6x16xf32>
  %target = titan.reduce sum %picked [1] : tensor<6x16xf32> -> tensor<6xf32>
  %each = titan.sub %lse, %target : tensor<6xf32>
  %isValid = titan.is_valid %l : tensor<6xi32> -> tensor<6xf32>
  %kept = titan.mul %each, %isValid : tensor<6xf32>
  %loss = titan.reduce sum %kept [0] : tensor<6xf32> -> tensor<f32>
  %valid = titan.reduce sum %isValid [0] : tensor<6xf32> -> tensor<f32>
  return %loss, %valid : tensor<f32>, tensor<f32>
}

func.func @head_loss(%x: tensor<2x3x4xf32>, %w: tensor<16x4xf32>,
                     %l: tensor<2x3xi32> {titan.name = "labels"}) -> (tensor<f32>, tensor<f32>) {
  %loss, %valid = titan.head_loss %x, %w, %l
      : (tensor<2x3x4xf32>, tensor<16x4xf32>, tensor<2x3xi32>) -> (tensor<f32>, tensor<f32>)
  return %loss, %valid : tensor<f32>, tensor<f32>
}
func.func @head_loss_parts(%x: tensor<2x3x4xf32>, %w: tensor<16x4xf32>, %l: tensor<2x3xi32>)
    -> (tensor<f32>, tensor<f32>) {
  %logits = titan.einsum "bsd,vd->bsv" %x, %w
      : tensor<2x3x4xf32>, tensor<16x4xf32> -> tensor<2x3x16xf32>
  %rows = titan.reshape %logits : tensor<2x3x16xf32> -> tensor<6x16xf32>
  %labels = titan.reshape %l : tensor<2x3xi32> -> tensor<6xi32>
  %loss, %valid = titan.cross_entropy %rows, %labels
      : (tensor<6x16xf32>, tensor<6xi32>) -> (tensor<f32>, tensor<f32>)
  return %loss, %valid : tensor<f32>, tensor<f32>
}

// x sigmoid(2 x), scaled by a number, and x below a bound.
func.func @map(%x: tensor<3x4xf32>, %s: tensor<f32>) -> (tensor<3x4xf32>, tensor<3x4xf32>) {
  %r:2 = titan.map (%a = %x, %b = %s)
      : (tensor<3x4xf32>, tensor<f32>) -> (tensor<3x4xf32>, tensor<3x4xf32>) {
    %one = arith.constant 1.0 : f32
    %half = arith.constant 0.5 : f32
    %minus = arith.negf %a : f32
    %twice = arith.addf %minus, %minus : f32
    %exp = math.exp %twice : f32
    %sum = arith.addf %exp, %one : f32
    %inverse = arith.divf %one, %sum : f32
    %y = arith.mulf %a, %inverse : f32
    %scaled = arith.mulf %y, %b : f32
    %bounded = arith.minimumf %a, %half : f32
    titan.yield %scaled, %bounded : f32, f32
  }
  return %r#0, %r#1 : tensor<3x4xf32>, tensor<3x4xf32>
}
func.func @map_parts(%x: tensor<3x4xf32>, %s: tensor<f32>) -> (tensor<3x4xf32>, tensor<3x4xf32>) {
  %two = titan.add %x, %x : tensor<3x4xf32>
  %silu = titan.silu %two : tensor<3x4xf32>
  %half = titan.full 0.5 : tensor<3x4xf32>
  %y = titan.mul %silu, %half : tensor<3x4xf32>
  %spread = titan.broadcast %s [] : tensor<f32> -> tensor<3x4xf32>
  %scaled = titan.mul %y, %spread : tensor<3x4xf32>
  %bounded = titan.minimum %x, %half : tensor<3x4xf32>
  return %scaled, %bounded : tensor<3x4xf32>, tensor<3x4xf32>
}

// Columns of padding, and none.
func.func @cross_entropy_padded(%x: tensor<6x20xf32>, %l: tensor<6xi32> {titan.name = "labels"}, %s: tensor<f32>)
    -> (tensor<f32>, tensor<f32>, tensor<20x6xf32>) {
  %loss, %valid, %dx = titan.cross_entropy_grad %x, %l, %s {num_classes = 16}
      : (tensor<6x20xf32>, tensor<6xi32>, tensor<f32>) -> (tensor<f32>, tensor<f32>, tensor<6x20xf32>)
  %same, %again = titan.cross_entropy %x, %l {num_classes = 16}
      : (tensor<6x20xf32>, tensor<6xi32>) -> (tensor<f32>, tensor<f32>)
  %both = titan.add %loss, %same : tensor<f32>
  %t = titan.transpose %dx [1, 0] : tensor<6x20xf32> -> tensor<20x6xf32>
  return %both, %valid, %t : tensor<f32>, tensor<f32>, tensor<20x6xf32>
}
func.func @cross_entropy_unpadded(%x: tensor<6x20xf32>, %l: tensor<6xi32>, %s: tensor<f32>)
    -> (tensor<f32>, tensor<f32>, tensor<20x6xf32>) {
  %columns = titan.transpose %x [1, 0] : tensor<6x20xf32> -> tensor<20x6xf32>
  %classes = titan.slice %columns at 0 : tensor<20x6xf32> -> tensor<16x6xf32>
  %logits = titan.transpose %classes [1, 0] : tensor<16x6xf32> -> tensor<6x16xf32>
  %loss, %valid, %dx = titan.cross_entropy_grad %logits, %l, %s
      : (tensor<6x16xf32>, tensor<6xi32>, tensor<f32>) -> (tensor<f32>, tensor<f32>, tensor<6x16xf32>)
  %both = titan.add %loss, %loss : tensor<f32>
  %t = titan.transpose %dx [1, 0] : tensor<6x16xf32> -> tensor<16x6xf32>
  %zero = titan.full 0.0 : tensor<4x6xf32>
  %all = titan.concat %t, %zero : tensor<16x6xf32>, tensor<4x6xf32> -> tensor<20x6xf32>
  return %both, %valid, %all : tensor<f32>, tensor<f32>, tensor<20x6xf32>
}

func.func @mask_columns(%x: tensor<3x4xf32>) -> tensor<3x4xf32> {
  %r = titan.mask_columns %x end 3 value -2.0 : tensor<3x4xf32>
  return %r : tensor<3x4xf32>
}
func.func @mask_columns_parts(%x: tensor<3x4xf32>) -> tensor<3x4xf32> {
  %t = titan.transpose %x [1, 0] : tensor<3x4xf32> -> tensor<4x3xf32>
  %kept = titan.slice %t at 0 : tensor<4x3xf32> -> tensor<3x3xf32>
  %masked = titan.full -2.0 : tensor<1x3xf32>
  %all = titan.concat %kept, %masked : tensor<3x3xf32>, tensor<1x3xf32> -> tensor<4x3xf32>
  %r = titan.transpose %all [1, 0] : tensor<4x3xf32> -> tensor<3x4xf32>
  return %r : tensor<3x4xf32>
}

func.func @silu(%x: tensor<9xf32>) -> tensor<9xf32> {
  %r = titan.silu %x : tensor<9xf32>
  return %r : tensor<9xf32>
}
func.func @silu_parts(%x: tensor<9xf32>) -> tensor<9xf32> {
  %minus = titan.neg %x : tensor<9xf32>
  %exponential = titan.exp %minus : tensor<9xf32>
  %one = titan.full 1.0 : tensor<9xf32>
  %sum = titan.add %one, %exponential : tensor<9xf32>
  %r = titan.div %x, %sum : tensor<9xf32>
  return %r : tensor<9xf32>
}

// A pair is one head of two numbers here: its halves are slices of the transposed tensor.
func.func @rope(%x: tensor<1x3x1x2xf32>, %c: tensor<3x1xf32>, %s: tensor<3x1xf32>)
    -> tensor<1x3x1x2xf32> {
  %r = titan.rope %x, %c, %s
      : tensor<1x3x1x2xf32>, tensor<3x1xf32>, tensor<3x1xf32> -> tensor<1x3x1x2xf32>
  return %r : tensor<1x3x1x2xf32>
}
func.func @rope_parts(%x: tensor<1x3x1x2xf32>, %c: tensor<3x1xf32>, %s: tensor<3x1xf32>)
    -> tensor<1x3x1x2xf32> {
  %t = titan.transpose %x [3, 1, 0, 2] : tensor<1x3x1x2xf32> -> tensor<2x3x1x1xf32>
  %pairs = titan.reshape %t : tensor<2x3x1x1xf32> -> tensor<2x3x1xf32>
  %first = titan.slice %pairs at 0 : tensor<2x3x1xf32> -> tensor<1x3x1xf32>
  %second = titan.slice %pairs at 1 : tensor<2x3x1xf32> -> tensor<1x3x1xf32>
  %a = titan.reshape %first : tensor<1x3x1xf32> -> tensor<3x1xf32>
  %b = titan.reshape %second : tensor<1x3x1xf32> -> tensor<3x1xf32>
  %ac = titan.mul %a, %c : tensor<3x1xf32>
  %bs = titan.mul %b, %s : tensor<3x1xf32>
  %as = titan.mul %a, %s : tensor<3x1xf32>
  %bc = titan.mul %b, %c : tensor<3x1xf32>
  %even = titan.sub %ac, %bs : tensor<3x1xf32>
  %odd = titan.add %as, %bc : tensor<3x1xf32>
  %both = titan.concat %even, %odd : tensor<3x1xf32>, tensor<3x1xf32> -> tensor<6x1xf32>
  %split = titan.reshape %both : tensor<6x1xf32> -> tensor<2x3x1x1xf32>
  %r = titan.transpose %split [2, 1, 3, 0] : tensor<2x3x1x1xf32> -> tensor<1x3x1x2xf32>
  return %r : tensor<1x3x1x2xf32>
}

func.func @embedding(%t: tensor<5xi32>, %w: tensor<16x4xf32>) -> tensor<5x4xf32> {
  %r = titan.embedding %t, %w : tensor<5xi32>, tensor<16x4xf32> -> tensor<5x4xf32>
  return %r : tensor<5x4xf32>
}
func.func @embedding_parts(%t: tensor<5xi32>, %w: tensor<16x4xf32>) -> tensor<5x4xf32> {
  %hot = titan.one_hot %t : tensor<5xi32> -> tensor<5x16xf32>
  %r = titan.einsum "tv,vd->td" %hot, %w : tensor<5x16xf32>, tensor<16x4xf32> -> tensor<5x4xf32>
  return %r : tensor<5x4xf32>
}
func.func @embedding_grad(%d: tensor<30x4xf32>, %t: tensor<30xi32>, %acc: tensor<16x4xf32>)
    -> tensor<16x4xf32> {
  %r = titan.embedding_grad %d, %t acc(%acc : tensor<16x4xf32>)
      : tensor<30x4xf32>, tensor<30xi32> -> tensor<16x4xf32>
  return %r : tensor<16x4xf32>
}
func.func @embedding_grad_parts(%d: tensor<30x4xf32>, %t: tensor<30xi32>, %acc: tensor<16x4xf32>)
    -> tensor<16x4xf32> {
  %hot = titan.one_hot %t : tensor<30xi32> -> tensor<30x16xf32>
  %r = titan.einsum "tv,td->vd" %hot, %d acc(%acc : tensor<16x4xf32>)
      : tensor<30x16xf32>, tensor<30x4xf32> -> tensor<16x4xf32>
  return %r : tensor<16x4xf32>
}

func.func @sum_of_squares(%a: tensor<2x3xf32>, %b: tensor<4xf32>) -> tensor<f32> {
  %r = titan.sum_of_squares %a, %b : tensor<2x3xf32>, tensor<4xf32> -> tensor<f32>
  return %r : tensor<f32>
}
func.func @sum_of_squares_parts(%a: tensor<2x3xf32>, %b: tensor<4xf32>) -> tensor<f32> {
  %aa = titan.mul %a, %a : tensor<2x3xf32>
  %bb = titan.mul %b, %b : tensor<4xf32>
  %sa = titan.reduce sum %aa [0, 1] : tensor<2x3xf32> -> tensor<f32>
  %sb = titan.reduce sum %bb [0] : tensor<4xf32> -> tensor<f32>
  %r = titan.add %sa, %sb : tensor<f32>
  return %r : tensor<f32>
}

// One element of Adam with coupled decay: m starts at 0, so m and v are those of the gradient.
func.func @adam(%p: tensor<f32>, %g: tensor<f32>, %lr: tensor<f32>) -> tensor<f32> {
  %zero = titan.full 0.0 : tensor<f32>
  %one = titan.full 1.0 : tensor<f32>
  %c1 = titan.full 0.5 : tensor<f32>
  %c2 = titan.full 0.25 : tensor<f32>
  %eighth = titan.full 0.125 : tensor<f32>
  %new, %m, %v = titan.adam_update %p, %g, %zero, %zero lr %lr scale %one
      bias_corrections %c1, %c2 finite %one one_minus_betas %c1, %c2 epsilon %eighth weight_decay %c1
      : tensor<f32>, tensor<f32>, tensor<f32>, tensor<f32>, tensor<f32>, tensor<f32>, tensor<f32>,
        tensor<f32>, tensor<f32>, tensor<f32>, tensor<f32>, tensor<f32>, tensor<f32>
  return %new : tensor<f32>
}
func.func @adam_parts(%p: tensor<f32>, %g: tensor<f32>, %lr: tensor<f32>) -> tensor<f32> {
  %half = titan.full 0.5 : tensor<f32>
  %decay = titan.mul %p, %half : tensor<f32>
  %gradient = titan.add %g, %decay : tensor<f32>
  %square = titan.mul %gradient, %gradient : tensor<f32>
  %magnitude = titan.sqrt %square : tensor<f32>
  %epsilon = titan.full 0.125 : tensor<f32>
  %bounded = titan.add %magnitude, %epsilon : tensor<f32>
  %direction = titan.div %gradient, %bounded : tensor<f32>
  %step = titan.mul %lr, %direction : tensor<f32>
  %new = titan.sub %p, %step : tensor<f32>
  return %new : tensor<f32>
}

func.func @inverses(%x: tensor<3x4xf32>) -> tensor<3x4xf32> {
  %e = titan.exp %x : tensor<3x4xf32>
  %root = titan.sqrt %e : tensor<3x4xf32>
  %inverse = titan.rsqrt %e : tensor<3x4xf32>
  %whole = titan.div %root, %inverse : tensor<3x4xf32>
  %back = titan.log %whole : tensor<3x4xf32>
  %minus = titan.neg %back : tensor<3x4xf32>
  %plus = titan.neg %minus : tensor<3x4xf32>
  return %plus : tensor<3x4xf32>
}
func.func @identity(%x: tensor<3x4xf32>) -> tensor<3x4xf32> {
  return %x : tensor<3x4xf32>
}
