// Every family of ops: what all ranks of a mesh compute together is what the global program means,
// before and after titan-partition-spmd, for 1 to 8 ranks and axes of 3. Slices' padding is poisoned.
//
// RUN: sed -e 's/DP/1/' -e 's/TP/1/' %s > %t.1x1.mlir && sh %S/Inputs/partition.sh %t.1x1.mlir
// RUN: sed -e 's/DP/2/' -e 's/TP/1/' %s > %t.2x1.mlir && sh %S/Inputs/partition.sh %t.2x1.mlir
// RUN: sed -e 's/DP/1/' -e 's/TP/3/' %s > %t.1x3.mlir && sh %S/Inputs/partition.sh %t.1x3.mlir
// RUN: sed -e 's/DP/2/' -e 's/TP/2/' %s > %t.2x2.mlir && sh %S/Inputs/partition.sh %t.2x2.mlir
// RUN: sed -e 's/DP/3/' -e 's/TP/2/' %s > %t.3x2.mlir && sh %S/Inputs/partition.sh %t.3x2.mlir
// RUN: sed -e 's/DP/2/' -e 's/TP/4/' %s > %t.2x4.mlir && sh %S/Inputs/partition.sh %t.2x4.mlir
// RUN: sed -e 's/DP/8/' -e 's/TP/1/' %s > %t.8x1.mlir && sh %S/Inputs/partition.sh %t.8x1.mlir

titan.mesh @mesh [dp = DP, tp = TP]

#scalar = #titan.sharding<[]>
#scalar_dp = #titan.sharding<[], partial {dp}>
#scalar_both = #titan.sharding<[], partial {dp, tp}>
#whole1 = #titan.sharding<[{}]>
#tp1 = #titan.sharding<[{tp}]>
#dp1 = #titan.sharding<[{dp}]>
#partial1 = #titan.sharding<[{}], partial {dp, tp}>
#dp1_partial = #titan.sharding<[{dp}], partial {tp}>
#whole = #titan.sharding<[{}, {}]>
#rows = #titan.sharding<[{dp}, {}]>
#columns = #titan.sharding<[{}, {tp}]>
#tiles = #titan.sharding<[{dp}, {tp}]>
#tp_rows = #titan.sharding<[{tp}, {}]>
#both_rows = #titan.sharding<[{dp, tp}, {}]>
#both_columns = #titan.sharding<[{}, {tp, dp}]>
#rows_partial = #titan.sharding<[{dp}, {}], partial {tp}>
#all_partial = #titan.sharding<[{}, {}], partial {dp, tp}>
#tp_rows_partial = #titan.sharding<[{tp}, {}], partial {dp}>
#columns_partial = #titan.sharding<[{}, {tp}], partial {dp}>
#flat = #titan.sharding<[{}, {}], flat {dp} granule 4>
#flat_tp = #titan.sharding<[{tp}, {}], flat {dp} granule 4>
#flat_both = #titan.sharding<[{}, {}], flat {dp, tp} granule 4>
#batch = #titan.sharding<[{dp}, {}, {}]>
#sequence = #titan.sharding<[{dp}, {tp}, {}]>
#batch_tp = #titan.sharding<[{dp}, {}, {tp}]>
#batch_partial = #titan.sharding<[{dp}, {}, {}], partial {tp}>
#sequence2 = #titan.sharding<[{dp}, {tp}]>
#heads = #titan.sharding<[{dp}, {}, {tp}, {}]>
#lse = #titan.sharding<[{dp}, {tp}, {}]>

// Norm, attention and projections as tensor and sequence parallelism lay them out.
titan.variable parameter @norm.weight : tensor<6xf32, #titan.sharding<[{}], flat {dp} granule 4>>
titan.variable parameter @wq : tensor<48x6xf32, #flat_tp>
func.func @attention_block(%x: tensor<24x24x6xf32, #sequence>, %wk: tensor<24x6xf32, #tp_rows>,
                           %wo: tensor<6x48xf32, #columns>, %cos: tensor<24x1xf32, #whole>,
                           %sin: tensor<24x1xf32, #whole>) -> tensor<24x24x6xf32, #sequence> {
  %stored = titan.load @norm.weight : tensor<6xf32, #titan.sharding<[{}], flat {dp} granule 4>>
  %norm = titan.reshard %stored : tensor<6xf32, #titan.sharding<[{}], flat {dp} granule 4>> -> tensor<6xf32, #whole1>
  %n, %rstd = titan.rms_norm %x, %norm epsilon 0.1 : tensor<24x24x6xf32, #sequence>, tensor<6xf32, #whole1> -> tensor<24x24x6xf32, #sequence>, tensor<24x24xf32, #sequence2>
  %all = titan.reshard %n : tensor<24x24x6xf32, #sequence> -> tensor<24x24x6xf32, #batch>
  %slice = titan.load @wq : tensor<48x6xf32, #flat_tp>
  %wq = titan.reshard %slice : tensor<48x6xf32, #flat_tp> -> tensor<48x6xf32, #tp_rows>
  %q = titan.einsum "bsd,nd->bsn" %all, %wq : tensor<24x24x6xf32, #batch>, tensor<48x6xf32, #tp_rows> -> tensor<24x24x48xf32, #batch_tp>
  %k = titan.einsum "bsd,nd->bsn" %all, %wk : tensor<24x24x6xf32, #batch>, tensor<24x6xf32, #tp_rows> -> tensor<24x24x24xf32, #batch_tp>
  %qh = titan.reshape %q : tensor<24x24x48xf32, #batch_tp> -> tensor<24x24x24x2xf32, #heads>
  %kh = titan.reshape %k : tensor<24x24x24xf32, #batch_tp> -> tensor<24x24x12x2xf32, #heads>
  %qr = titan.rope %qh, %cos, %sin : tensor<24x24x24x2xf32, #heads>, tensor<24x1xf32, #whole>, tensor<24x1xf32, #whole> -> tensor<24x24x24x2xf32, #heads>
  %o, %l = titan.attention causal %qr, %kh, %kh scale 0.5 : tensor<24x24x24x2xf32, #heads>, tensor<24x24x12x2xf32, #heads>, tensor<24x24x12x2xf32, #heads> -> tensor<24x24x24x2xf32, #heads>, tensor<24x24x24xf32, #lse>
  %flat = titan.reshape %o : tensor<24x24x24x2xf32, #heads> -> tensor<24x24x48xf32, #batch_tp>
  %y = titan.einsum "bsn,dn->bsd" %flat, %wo : tensor<24x24x48xf32, #batch_tp>, tensor<6x48xf32, #columns> -> tensor<24x24x6xf32, #batch_partial>
  %part = titan.reshard %y : tensor<24x24x6xf32, #batch_partial> -> tensor<24x24x6xf32, #sequence>
  %sum = titan.add %x, %part : tensor<24x24x6xf32, #sequence>
  return %sum : tensor<24x24x6xf32, #sequence>
}

func.func @attention_gradient(%q: tensor<24x5x24x2xf32, #heads>, %k: tensor<24x5x12x2xf32, #heads>,
                              %v: tensor<24x5x12x2xf32, #heads>, %dr: tensor<24x5x24x2xf32, #heads>)
    -> (tensor<24x5x24x2xf32, #heads>, tensor<24x5x12x2xf32, #heads>, tensor<24x5x12x2xf32, #heads>) {
  %r, %l = titan.attention causal %q, %k, %v scale 0.5 : tensor<24x5x24x2xf32, #heads>, tensor<24x5x12x2xf32, #heads>, tensor<24x5x12x2xf32, #heads> -> tensor<24x5x24x2xf32, #heads>, tensor<24x24x5xf32, #lse>
  %dq, %dk, %dv = titan.attention_grad causal %q, %k, %v result %r, %l dresult %dr scale 0.5
      : tensor<24x5x24x2xf32, #heads>, tensor<24x5x12x2xf32, #heads>, tensor<24x5x12x2xf32, #heads>, tensor<24x5x24x2xf32, #heads>, tensor<24x24x5xf32, #lse>, tensor<24x5x24x2xf32, #heads>
      -> tensor<24x5x24x2xf32, #heads>, tensor<24x5x12x2xf32, #heads>, tensor<24x5x12x2xf32, #heads>
  return %dq, %dk, %dv : tensor<24x5x24x2xf32, #heads>, tensor<24x5x12x2xf32, #heads>, tensor<24x5x12x2xf32, #heads>
}

// Gradients: of a norm's weight, partial over all that splits rows, and of a matrix, to storage.
titan.variable gradient @gradient.norm.weight : tensor<6xf32, #titan.sharding<[{}], flat {dp} granule 4>>
titan.variable gradient @gradient.w : tensor<24x5xf32, #flat_tp>
func.func @gradients(%dy: tensor<24x24x6xf32, #sequence>, %x: tensor<24x24x6xf32, #sequence>, %w: tensor<6xf32, #whole1>,
                     %rstd: tensor<24x24xf32, #sequence2>, %a: tensor<24x24xf32, #tiles>, %b: tensor<24x5xf32, #rows>)
    -> tensor<24x24x6xf32, #sequence> {
  %dx, %dw = titan.rms_norm_grad %dy, %x, %w, %rstd
      : tensor<24x24x6xf32, #sequence>, tensor<24x24x6xf32, #sequence>, tensor<6xf32, #whole1>, tensor<24x24xf32, #sequence2>
      -> tensor<24x24x6xf32, #sequence>, tensor<6xf32, #partial1>
  %s = titan.reshard %dw : tensor<6xf32, #partial1> -> tensor<6xf32, #titan.sharding<[{}], flat {dp} granule 4>>
  %o = titan.load @gradient.norm.weight : tensor<6xf32, #titan.sharding<[{}], flat {dp} granule 4>>
  %n = titan.add %o, %s : tensor<6xf32, #titan.sharding<[{}], flat {dp} granule 4>>
  titan.store %n, @gradient.norm.weight : tensor<6xf32, #titan.sharding<[{}], flat {dp} granule 4>>
  %m = titan.einsum "tn,td->nd" %a, %b : tensor<24x24xf32, #tiles>, tensor<24x5xf32, #rows> -> tensor<24x5xf32, #tp_rows_partial>
  %f = titan.reshard %m : tensor<24x5xf32, #tp_rows_partial> -> tensor<24x5xf32, #flat_tp>
  %g = titan.load @gradient.w : tensor<24x5xf32, #flat_tp>
  %h = titan.add %g, %f : tensor<24x5xf32, #flat_tp>
  titan.store %h, @gradient.w : tensor<24x5xf32, #flat_tp>
  return %dx : tensor<24x24x6xf32, #sequence>
}

// Pointwise work and sums on slices, of which the padding must stay out or zero.
func.func @storage(%p: tensor<7x5xf32, #flat_both>, %q: tensor<7x5xf32, #flat_both>, %scalar: tensor<f32, #scalar>)
    -> (tensor<7x5xf32, #flat_both>, tensor<7x5xf32, #flat>) {
  %b = titan.broadcast %scalar [] : tensor<f32, #scalar> -> tensor<7x5xf32, #flat_both>
  %m = titan.mul %p, %b : tensor<7x5xf32, #flat_both>
  %s = titan.silu_grad %m, %q : tensor<7x5xf32, #flat_both>
  %c = titan.cast %s : tensor<7x5xf32, #flat_both> -> tensor<7x5xf64, #flat_both>
  %d = titan.cast %c : tensor<7x5xf64, #flat_both> -> tensor<7x5xf32, #flat_both>
  %r = titan.reshard %p : tensor<7x5xf32, #flat_both> -> tensor<7x5xf32, #flat>
  return %d, %r : tensor<7x5xf32, #flat_both>, tensor<7x5xf32, #flat>
}

// The padding of a reduced gradient is zero: it adds nothing to the norm. What is whole along tp is
// cut once more before it is added to what is not.
func.func @norm(%g: tensor<7x5xf32, #all_partial>, %h: tensor<24x5xf32, #tp_rows_partial>) -> tensor<f32, #scalar> {
  %s = titan.reshard %g : tensor<7x5xf32, #all_partial> -> tensor<7x5xf32, #flat>
  %c = titan.reshard %s : tensor<7x5xf32, #flat> -> tensor<7x5xf32, #flat_both>
  %r = titan.reshard %h : tensor<24x5xf32, #tp_rows_partial> -> tensor<24x5xf32, #flat_tp>
  %n = titan.sum_of_squares %c, %r : tensor<7x5xf32, #flat_both>, tensor<24x5xf32, #flat_tp> -> tensor<f32, #scalar_both>
  %t = titan.reshard %n : tensor<f32, #scalar_both> -> tensor<f32, #scalar>
  return %t : tensor<f32, #scalar>
}

// Rows, columns and tiles through shape ops and reductions.
func.func @shapes(%x: tensor<24x24xf32, #tiles>, %v: tensor<24xf32, #tp1>) -> (tensor<24x24xf32, #titan.sharding<[{tp}, {dp}]>>, tensor<24xf32, #dp1>, tensor<f32, #scalar>, tensor<24xf32, #dp1>) {
  %b = titan.broadcast %v [1] : tensor<24xf32, #tp1> -> tensor<24x24xf32, #tiles>
  %s = titan.sub %x, %b : tensor<24x24xf32, #tiles>
  %e = titan.exp %s : tensor<24x24xf32, #tiles>
  %t = titan.transpose %e [1, 0] : tensor<24x24xf32, #tiles> -> tensor<24x24xf32, #titan.sharding<[{tp}, {dp}]>>
  %r = titan.reduce sum %e [1] : tensor<24x24xf32, #tiles> -> tensor<24xf32, #dp1_partial>
  %rs = titan.reshard %r : tensor<24xf32, #dp1_partial> -> tensor<24xf32, #dp1>
  %all = titan.reduce sum %e [0, 1] : tensor<24x24xf32, #tiles> -> tensor<f32, #scalar_both>
  %total = titan.reshard %all : tensor<f32, #scalar_both> -> tensor<f32, #scalar>
  %rows = titan.reshard %e : tensor<24x24xf32, #tiles> -> tensor<24x24xf32, #rows>
  %max = titan.reduce max %rows [1] : tensor<24x24xf32, #rows> -> tensor<24xf32, #dp1>
  return %t, %rs, %total, %max : tensor<24x24xf32, #titan.sharding<[{tp}, {dp}]>>, tensor<24xf32, #dp1>, tensor<f32, #scalar>, tensor<24xf32, #dp1>
}

// Rows of a table split over tp.
func.func @embedding(%t: tensor<24xi32, #dp1>, %w: tensor<24x5xf32, #tp_rows>) -> (tensor<24x5xf32, #rows>, tensor<24x5xf32, #tp_rows>) {
  %e = titan.embedding %t, %w : tensor<24xi32, #dp1>, tensor<24x5xf32, #tp_rows> -> tensor<24x5xf32, #rows_partial>
  %r = titan.reshard %e : tensor<24x5xf32, #rows_partial> -> tensor<24x5xf32, #rows>
  %g = titan.embedding_grad %r, %t : tensor<24x5xf32, #rows>, tensor<24xi32, #dp1> -> tensor<24x5xf32, #tp_rows_partial>
  %s = titan.reshard %g : tensor<24x5xf32, #tp_rows_partial> -> tensor<24x5xf32, #tp_rows>
  return %r, %s : tensor<24x5xf32, #rows>, tensor<24x5xf32, #tp_rows>
}

// Classes split over tp, tokens over dp.
func.func @loss(%x: tensor<24x24xf32, #tiles>, %l: tensor<24xi32, #dp1>, %d: tensor<f32, #scalar>) -> (tensor<f32, #scalar>, tensor<f32, #scalar>, tensor<24x24xf32, #tiles>, tensor<f32, #scalar>) {
  %a, %n = titan.cross_entropy %x, %l : (tensor<24x24xf32, #tiles>, tensor<24xi32, #dp1>) -> (tensor<f32, #scalar_dp>, tensor<f32, #scalar_dp>)
  %b, %m, %dx = titan.cross_entropy_grad %x, %l, %d : (tensor<24x24xf32, #tiles>, tensor<24xi32, #dp1>, tensor<f32, #scalar>) -> (tensor<f32, #scalar_dp>, tensor<f32, #scalar_dp>, tensor<24x24xf32, #tiles>)
  %as = titan.reshard %a : tensor<f32, #scalar_dp> -> tensor<f32, #scalar>
  %ns = titan.reshard %n : tensor<f32, #scalar_dp> -> tensor<f32, #scalar>
  %bs = titan.reshard %b : tensor<f32, #scalar_dp> -> tensor<f32, #scalar>
  return %as, %ns, %dx, %bs : tensor<f32, #scalar>, tensor<f32, #scalar>, tensor<24x24xf32, #tiles>, tensor<f32, #scalar>
}
func.func @head(%x: tensor<24x2x5xf32, #batch>, %w: tensor<24x5xf32, #tp_rows>, %l: tensor<24x2xi32, #rows>, %d: tensor<f32, #scalar>)
    -> (tensor<f32, #scalar>, tensor<f32, #scalar>, tensor<24x2x5xf32, #batch>, tensor<24x5xf32, #tp_rows>) {
  %a, %n = titan.head_loss %x, %w, %l : (tensor<24x2x5xf32, #batch>, tensor<24x5xf32, #tp_rows>, tensor<24x2xi32, #rows>) -> (tensor<f32, #scalar_dp>, tensor<f32, #scalar_dp>)
  %b, %m, %dx, %dw = titan.head_loss_grad %x, %w, %l, %d : (tensor<24x2x5xf32, #batch>, tensor<24x5xf32, #tp_rows>, tensor<24x2xi32, #rows>, tensor<f32, #scalar>)
      -> (tensor<f32, #scalar_dp>, tensor<f32, #scalar_dp>, tensor<24x2x5xf32, #batch_partial>, tensor<24x5xf32, #tp_rows_partial>)
  %as = titan.reshard %a : tensor<f32, #scalar_dp> -> tensor<f32, #scalar>
  %bs = titan.reshard %b : tensor<f32, #scalar_dp> -> tensor<f32, #scalar>
  %dxs = titan.reshard %dx : tensor<24x2x5xf32, #batch_partial> -> tensor<24x2x5xf32, #batch>
  %dws = titan.reshard %dw : tensor<24x5xf32, #tp_rows_partial> -> tensor<24x5xf32, #tp_rows>
  return %as, %bs, %dxs, %dws : tensor<f32, #scalar>, tensor<f32, #scalar>, tensor<24x2x5xf32, #batch>, tensor<24x5xf32, #tp_rows>
}

// The same where the last 7 classes are padding, beyond a rank's part with 4 ranks.
func.func @loss_padded(%x: tensor<24x24xf32, #tiles>, %l: tensor<24xi32, #dp1>, %d: tensor<f32, #scalar>) -> (tensor<f32, #scalar>, tensor<24x24xf32, #tiles>, tensor<f32, #scalar>) {
  %a, %n = titan.cross_entropy %x, %l {num_classes = 17} : (tensor<24x24xf32, #tiles>, tensor<24xi32, #dp1>) -> (tensor<f32, #scalar_dp>, tensor<f32, #scalar_dp>)
  %b, %m, %dx = titan.cross_entropy_grad %x, %l, %d {num_classes = 17} : (tensor<24x24xf32, #tiles>, tensor<24xi32, #dp1>, tensor<f32, #scalar>) -> (tensor<f32, #scalar_dp>, tensor<f32, #scalar_dp>, tensor<24x24xf32, #tiles>)
  %as = titan.reshard %a : tensor<f32, #scalar_dp> -> tensor<f32, #scalar>
  %bs = titan.reshard %b : tensor<f32, #scalar_dp> -> tensor<f32, #scalar>
  return %as, %dx, %bs : tensor<f32, #scalar>, tensor<24x24xf32, #tiles>, tensor<f32, #scalar>
}
func.func @head_padded(%x: tensor<24x2x5xf32, #batch>, %w: tensor<24x5xf32, #tp_rows>, %l: tensor<24x2xi32, #rows>, %d: tensor<f32, #scalar>)
    -> (tensor<f32, #scalar>, tensor<f32, #scalar>, tensor<24x2x5xf32, #batch>, tensor<24x5xf32, #tp_rows>) {
  %a, %n = titan.head_loss %x, %w, %l {num_classes = 17} : (tensor<24x2x5xf32, #batch>, tensor<24x5xf32, #tp_rows>, tensor<24x2xi32, #rows>) -> (tensor<f32, #scalar_dp>, tensor<f32, #scalar_dp>)
  %b, %m, %dx, %dw = titan.head_loss_grad %x, %w, %l, %d whole_logits {num_classes = 17} : (tensor<24x2x5xf32, #batch>, tensor<24x5xf32, #tp_rows>, tensor<24x2xi32, #rows>, tensor<f32, #scalar>)
      -> (tensor<f32, #scalar_dp>, tensor<f32, #scalar_dp>, tensor<24x2x5xf32, #batch_partial>, tensor<24x5xf32, #tp_rows_partial>)
  %as = titan.reshard %a : tensor<f32, #scalar_dp> -> tensor<f32, #scalar>
  %bs = titan.reshard %b : tensor<f32, #scalar_dp> -> tensor<f32, #scalar>
  %dxs = titan.reshard %dx : tensor<24x2x5xf32, #batch_partial> -> tensor<24x2x5xf32, #batch>
  %dws = titan.reshard %dw : tensor<24x5xf32, #tp_rows_partial> -> tensor<24x5xf32, #tp_rows>
  return %as, %bs, %dxs, %dws : tensor<f32, #scalar>, tensor<f32, #scalar>, tensor<24x2x5xf32, #batch>, tensor<24x5xf32, #tp_rows>
}

// Layouts one after another, of every kind of step.
func.func @reshards(%x: tensor<24x24xf32, #tiles>) -> tensor<24x24xf32, #whole> {
  %a = titan.reshard %x : tensor<24x24xf32, #tiles> -> tensor<24x24xf32, #both_rows>
  %b = titan.reshard %a : tensor<24x24xf32, #both_rows> -> tensor<24x24xf32, #both_columns>
  %c = titan.reshard %b : tensor<24x24xf32, #both_columns> -> tensor<24x24xf32, #flat_tp>
  %d = titan.reshard %c : tensor<24x24xf32, #flat_tp> -> tensor<24x24xf32, #flat_both>
  %e = titan.reshard %d : tensor<24x24xf32, #flat_both> -> tensor<24x24xf32, #all_partial>
  %f = titan.reshard %e : tensor<24x24xf32, #all_partial> -> tensor<24x24xf32, #columns_partial>
  %g = titan.reshard %f : tensor<24x24xf32, #columns_partial> -> tensor<24x24xf32, #tp_rows>
  %h = titan.reshard %g : tensor<24x24xf32, #tp_rows> -> tensor<24x24xf32, #rows_partial>
  %i = titan.reshard %h : tensor<24x24xf32, #rows_partial> -> tensor<24x24xf32, #whole>
  return %i : tensor<24x24xf32, #whole>
}

// A slice of storage takes an optimizer step.
func.func @adam(%p: tensor<7x5xf32, #flat>, %g: tensor<7x5xf32, #flat>, %m: tensor<7x5xf32, #flat>,
                %lr: tensor<f32, #scalar>, %scale: tensor<f32, #scalar>)
    -> (tensor<7x5xf32, #flat>, tensor<7x5xf32, #flat>, tensor<7x5xf32, #flat>) {
  %v = titan.mul %m, %m : tensor<7x5xf32, #flat>
  %one = titan.full 1.0 : tensor<f32, #scalar>
  %half = titan.full 0.5 : tensor<f32, #scalar>
  %np, %nm, %nv = titan.adam_update %p, %g, %m, %v lr %lr scale %scale bias_corrections %one, %one finite %one
      one_minus_betas %half, %half epsilon %one weight_decay %lr {decoupled}
      : tensor<7x5xf32, #flat>, tensor<7x5xf32, #flat>, tensor<7x5xf32, #flat>, tensor<7x5xf32, #flat>, tensor<f32, #scalar>,
        tensor<f32, #scalar>, tensor<f32, #scalar>, tensor<f32, #scalar>, tensor<f32, #scalar>,
        tensor<f32, #scalar>, tensor<f32, #scalar>, tensor<f32, #scalar>, tensor<f32, #scalar>
  return %np, %nm, %nv : tensor<7x5xf32, #flat>, tensor<7x5xf32, #flat>, tensor<7x5xf32, #flat>
}

// A function of one's own on tiles and on slices of storage, with a number that all ranks have; a sum
// of shares of its gradient.
func.func @map(%x: tensor<24x24xf32, #tiles>, %p: tensor<7x5xf32, #flat>, %s: tensor<f32, #scalar>)
    -> (tensor<24x24xf32, #tiles>, tensor<7x5xf32, #flat>, tensor<f32, #scalar>) {
  %y = titan.map (%a = %x, %b = %s) : (tensor<24x24xf32, #tiles>, tensor<f32, #scalar>) -> tensor<24x24xf32, #tiles> {
    %t = math.tanh %a : f32
    %r = arith.mulf %t, %b : f32
    titan.yield %r : f32
  }
  %q = titan.map (%a = %p, %b = %s) : (tensor<7x5xf32, #flat>, tensor<f32, #scalar>) -> tensor<7x5xf32, #flat> {
    %t = math.exp %b : f32
    %r = arith.divf %a, %t : f32
    titan.yield %r : f32
  }
  %sum = titan.reduce sum %y [0, 1] : tensor<24x24xf32, #tiles> -> tensor<f32, #scalar_both>
  %all = titan.reshard %sum : tensor<f32, #scalar_both> -> tensor<f32, #scalar>
  return %y, %q, %all : tensor<24x24xf32, #tiles>, tensor<7x5xf32, #flat>, tensor<f32, #scalar>
}
