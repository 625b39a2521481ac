// Every pass of Titan, described once; docs/generated/passes.md comes from here.
#ifndef TITAN_PASSES_TD
#define TITAN_PASSES_TD

include "mlir/Pass/PassBase.td"

//===----------------------------------------------------------------------===//
// precision
//===----------------------------------------------------------------------===//

def CastPrecision : Pass<"titan-cast-precision", "::mlir::ModuleOp"> {
  let summary = "compute in bfloat16, with casts of the float32 parameters";
  let description = [{
    Mixed precision as casts in the IR (Micikevicius et al. 2018, and PyTorch's FSDP2): parameters
    stay as they are and are cast where they are loaded; whatever is computed from the copies is of
    the narrow type, as far as each op says (PrecisionOpInterface): a norm's statistics, attention's
    log-sum-exp and the loss stay float32, and so do tables that no parameter reaches. Operands that
    meet a narrow one are cast to it. Results of functions, and what is stored, keep their types.

    Since a cast is an op on a parameter's slice, titan-propagate-shardings gathers the narrow copy.
    The adjoint of a cast takes cotangents in the parameter's type (DifferentiableOpInterface), so
    gradients are summed, over uses, microbatches and ranks, in float32.

    Input:
    ```mlir
    titan.variable parameter @w : tensor<8x4xf32>
    func.func @f(%x: tensor<6x4xf32>) -> tensor<6x8xf32> {
      %w = titan.load @w : tensor<8x4xf32>
      %y = titan.einsum "td,nd->tn" %x, %w : tensor<6x4xf32>, tensor<8x4xf32> -> tensor<6x8xf32>
      return %y : tensor<6x8xf32>
    ```
    Output:
    ```mlir
    func.func @f(%x: tensor<6x4xf32>) -> tensor<6x8xf32> {
      %0 = titan.cast %x : tensor<6x4xf32> -> tensor<6x4xbf16>
      %w = titan.load @w : tensor<8x4xf32>
      %1 = titan.cast %w : tensor<8x4xf32> -> tensor<8x4xbf16>
      %y = titan.einsum "td,nd->tn" %0, %1 : tensor<6x4xbf16>, tensor<8x4xbf16> -> tensor<6x8xbf16>
      %2 = titan.cast %y : tensor<6x8xbf16> -> tensor<6x8xf32>
      return %2 : tensor<6x8xf32>
    ```
  }];
  let options = [Option<"type", "type", "std::string", "\"bf16\"", "bf16 or f16">];
  let dependentDialects = ["::titan::TitanDialect"];
}

def KeepCasts : Pass<"titan-keep-casts", "::mlir::ModuleOp"> {
  let summary = "keep narrow copies of the parameters, which the optimizer writes";
  let description = [{
    A pointwise function of a parameter alone whose result is of a narrower type, such as the cast to
    bfloat16 of titan-cast-precision, is computed once a step instead of in each function that uses
    it: it becomes a variable, `bf16.NAME`, laid out and stored like its parameter. Whatever stores
    the parameter stores the copy too, from the value that is at hand: the optimizer's kernel writes
    both. A gather of the copy reads it where it lies.

    A new function `@derive`, or `@derive.r` for pipeline rank r, computes the copies from the
    parameters. It runs when these have been written from outside: after initialization, and after
    parameters have been loaded. Copies cost memory beside the parameters, 2 bytes for each of a
    rank's elements. What reads the parameter itself stays as it is.

    Input:
    ```mlir
    titan.variable parameter @w : tensor<8x4xf32>
    func.func @fwd(%x: tensor<6x4xbf16>) -> tensor<6x8xbf16> {
      %w = titan.load @w : tensor<8x4xf32>
      %c = titan.cast %w : tensor<8x4xf32> -> tensor<8x4xbf16>
      %y = titan.einsum "td,nd->tn" %x, %c : ...
    func.func @update() {
      ...
      titan.store %new, @w : tensor<8x4xf32>
    ```
    Output:
    ```mlir
    titan.variable derived @bf16.w : tensor<8x4xbf16>
    func.func @fwd(%x: tensor<6x4xbf16>) -> tensor<6x8xbf16> {
      %c = titan.load @bf16.w : tensor<8x4xbf16>
      %y = titan.einsum "td,nd->tn" %x, %c : ...
    func.func @update() {
      ...
      titan.store %new, @w : tensor<8x4xf32>
      %copy = titan.cast %new : tensor<8x4xf32> -> tensor<8x4xbf16>
      titan.store %copy, @bf16.w : tensor<8x4xbf16>
    func.func @derive() {
      %w = titan.load @w : tensor<8x4xf32>
      %c = titan.cast %w : tensor<8x4xf32> -> tensor<8x4xbf16>
      titan.store %c, @bf16.w : tensor<8x4xbf16>
    ```
  }];
  let dependentDialects = ["::titan::TitanDialect", "::mlir::func::FuncDialect"];
}

//===----------------------------------------------------------------------===//
// sharding
//===----------------------------------------------------------------------===//

def PropagateShardings : Pass<"titan-propagate-shardings", "::mlir::ModuleOp"> {
  let summary = "give every tensor a layout on the mesh, from those of a few";
  let description = [{
    From the layouts of variables and inputs and from `titan.sharding_constraint`, along the factors
    of each op (ShardingRuleOpInterface), in both directions. Partial sums follow from the splits and
    are never chosen. Where an op needs an operand laid out otherwise than it comes, and only there,
    a `titan.reshard` appears, with the reason. Constraints vanish. Storage that a sum of all
    elements needs along more axes is cut from the slices that ranks have, by a finer granule.

    The pass runs twice: on the model, and again when titan-build-optimizer has added functions; those
    that have layouts already stay as they are. (titan-differentiate lays out what it adds itself,
    since it knows the layouts of the primals.) It does nothing in a module without a mesh.

    `placement` says how long weights that are gathered from storage are kept, unless it is
    per-function and the variable says so itself.

    Input:
    ```mlir
    titan.mesh @mesh [dp_shard = 2, tp = 2]
    titan.variable parameter @w : tensor<8x4xf32, #titan.sharding<[{}, {tp} ], flat {dp_shard} granule 4>>
    func.func @f(%x: tensor<6x4xf32> {titan.sharding = #titan.sharding<[{dp_shard}, {tp} ]>}) -> tensor<6x8xf32> {
      %w = titan.load @w : tensor<8x4xf32>
      %y = titan.einsum "bd,nd->bn" %x, %w : tensor<6x4xf32>, tensor<8x4xf32> -> tensor<6x8xf32>
      return %y : tensor<6x8xf32>
    ```
    Output, types by their layouts only:
    ```mlir
      %slice = titan.load @w            // [{}, {tp} ], flat {dp_shard}
      %w = titan.reshard %slice         // [{}, {tp} ]
      %y = titan.einsum "bd,nd->bn" %x, %w  // [{dp_shard}, {} ], partial {tp}
    ```
  }];
  let options = [
    Option<"placement", "placement", "::titan::GatherPlacement",
           "::titan::GatherPlacement::per_function", "how long gathered weights are kept",
           [{::llvm::cl::values(
               clEnumValN(::titan::GatherPlacement::per_function, "per-function", "in a function"),
               clEnumValN(::titan::GatherPlacement::per_microbatch, "per-microbatch",
                          "from forward to backward"),
               clEnumValN(::titan::GatherPlacement::per_step, "per-step", "until the step's end"))}]>,
  ];
  let dependentDialects = ["::titan::TitanDialect"];
}

def GatherPerStep : Pass<"titan-gather-per-step", "::mlir::ModuleOp"> {
  let summary = "gather weights once a step, before the first microbatch";
  let description = [{
    For every gather of a parameter in `@fwd` and `@bwd`, or a pipeline's `@fwd.s` and `@bwd.s`, whose placement is per_step: a variable
    `gathered.NAME` of the gathered layout takes its place, and a new function `@unshard`, which runs
    after `@prologue`, fills these variables (`@unshard.r` for pipeline rank r). Weights then take their
    whole memory throughout the step, and are communicated once in it, however many microbatches it
    has. What is computed from a parameter's slice element by element, such as its bfloat16 copy, is
    gathered likewise.

    Input:
    ```mlir
    %s = titan.load @w
    %w = titan.reshard %s placement per_step
    ```
    Output:
    ```mlir
    %w = titan.load @gathered.w

    func.func @unshard() {
      %s = titan.load @w
      %w = titan.reshard %s placement per_step
      titan.store %w, @gathered.w
    ```
  }];
  let dependentDialects = ["::titan::TitanDialect", "::mlir::func::FuncDialect"];
}

//===----------------------------------------------------------------------===//
// pipeline
//===----------------------------------------------------------------------===//

def SplitStages : Pass<"titan-split-stages", "::mlir::ModuleOp"> {
  let summary = "cut @loss and @eval into one function per pipeline stage";
  let description = [{
    The module's attribute `titan.stages` has the names of each stage's modules, as the model's
    author gave them, and `titan.stage_ranks` the pipeline rank of each stage. An op belongs to the
    stage whose module its location names, `layers.3` for `layers.3.attention.wq`; one without a
    known name to the first stage at which its operands and its parameters are there. What depends
    on no input (loads, and what is made of parameters alone) is made where it is used, and so is a
    larger layout of a value, such as the whole of a sequence that ranks have parts of.

    Stage s of `@loss` is `@loss.s` for the ranks `titan.pipeline_rank`. It takes those of the
    inputs that it uses, then, marked `titan.received`, the results of the stage before, whatever
    tensors they are; a value that a later stage needs goes through all stages between. A parameter
    may be used by several stages only if they are of one rank. Without the attributes the pass does
    nothing.

    Input:
    ```mlir
    module attributes {titan.stages = [["layers.0"], ["layers.1", "output"]],
                       titan.stage_ranks = array<i64: 0, 1>} {
      titan.mesh @mesh [pp = 2]
      func.func @loss(%x: tensor<2x4xf32> {titan.name = "x"}) -> (tensor<f32>, tensor<f32>) {
        %w0 = titan.load @layers.0.weight : tensor<4x4xf32>
        %y = titan.einsum "td,nd->tn" %x, %w0 : ...
        %w1 = titan.load @layers.1.weight : tensor<4x4xf32>
        %z = titan.einsum "td,nd->tn" %y, %w1 : ...
    ```
    Output:
    ```mlir
    func.func @loss.0(%x: tensor<2x4xf32> {titan.name = "x"}) -> tensor<2x4xf32>
        attributes {titan.pipeline_rank = 0} {
      %w0 = titan.load @layers.0.weight : tensor<4x4xf32>
      %y = titan.einsum "td,nd->tn" %x, %w0 : ...
      return %y : tensor<2x4xf32>
    }
    func.func @loss.1(%y: tensor<2x4xf32> {titan.received}) -> (tensor<f32>, tensor<f32>)
        attributes {titan.pipeline_rank = 1} {
      %w1 = titan.load @layers.1.weight : tensor<4x4xf32>
      %z = titan.einsum "td,nd->tn" %y, %w1 : ...
    ```
  }];
  let dependentDialects = ["::titan::TitanDialect", "::mlir::func::FuncDialect"];
}

def SplitBackward : Pass<"titan-split-backward", "::mlir::ModuleOp"> {
  let summary = "cut the backward of each stage into input and weight gradients";
  let description = [{
    If the module's `titan.schedule` has actions I and W: what `@bwd.s` does for gradients of weights
    alone becomes `@bwd_weight.s`, which only the optimizer waits for. What stays in `@bwd.s` are the
    cotangents, which the stage before waits for, and what a step counts. (Qi et al., "Zero bubble
    pipeline parallelism", 2023.) The first stage returns no cotangents; there it is what more than
    one gradient needs. A gradient stays too if what is done for it alone is no more than a sum or a
    collective: that of a norm, whose op makes both gradients, or that of the head, whose logits
    would have to be kept otherwise.

    `@bwd_weight.s` has the arguments of `@bwd.s`, used or not, and then what that returns behind its
    cotangents, values that both need; loads, constants and views are made again. An argument that
    it does not use needs memory until `@bwd.s` alone.

    Input:
    ```mlir
    func.func @bwd.1(%x: tensor<2x4xf32>, %y: tensor<2x8xf32>, %g: tensor<2x8xf32> {titan.received})
        -> tensor<2x4xf32> {
      %w = titan.load @w
      %e = titan.mul %g, %y
      %dx = titan.einsum "tn,nd->td" %e, %w : ...
      %old = titan.load @gradient.w
      %dw = titan.einsum "tn,td->nd" %e, %x acc(%old) : ...
      titan.store %dw, @gradient.w
      return %dx
    ```
    Output:
    ```mlir
    func.func @bwd.1(%x: tensor<2x4xf32>, %y: tensor<2x8xf32>, %g: tensor<2x8xf32> {titan.received})
        -> (tensor<2x4xf32>, tensor<2x8xf32>) {
      %w = titan.load @w
      %e = titan.mul %g, %y
      %dx = titan.einsum "tn,nd->td" %e, %w : ...
      return %dx, %e
    }
    func.func @bwd_weight.1(%x: tensor<2x4xf32>, %y: tensor<2x8xf32>,
                            %g: tensor<2x8xf32> {titan.received}, %e: tensor<2x8xf32>) {
      %old = titan.load @gradient.w
      %dw = titan.einsum "tn,td->nd" %e, %x acc(%old) : ...
      titan.store %dw, @gradient.w
    ```
  }];
  let dependentDialects = ["::titan::TitanDialect", "::mlir::func::FuncDialect"];
}

//===----------------------------------------------------------------------===//
// autodiff
//===----------------------------------------------------------------------===//

def Differentiate : Pass<"titan-differentiate", "::mlir::ModuleOp"> {
  let summary = "turn @loss into @fwd with residuals and @bwd that adds up gradients";
  let description = [{
    Reverse-mode differentiation of the function `@loss`, whose first result is the loss summed over
    the microbatch and whose second is the number of valid tokens. Each op is asked for its
    vector-Jacobian product (DifferentiableOpInterface). Whatever the backward uses of the forward
    becomes a result of `@fwd` and an argument of `@bwd`. Only what lies between parameters and loss
    is differentiated. An op whose gradient op computes its results again, such as head and cross
    entropy, runs in `@bwd` only.

    For each parameter the pass adds a variable `gradient.NAME` to which `@bwd` adds, and for the
    results the variables `loss_sum` and `valid_tokens`. A parameter that the loss does not depend
    on is an error.

    If titan-split-stages has cut `@loss`, each stage `@loss.s` becomes `@fwd.s`, which returns what
    the next stage takes and then the residuals, and `@bwd.s`, which takes the arguments and
    residuals of `@fwd.s` and then, marked `titan.received`, the cotangents of what it handed on, and
    returns the cotangents of what it had received. What ranks have of the loss and of the tokens is
    then summed up in `accumulated.loss_sum` and `accumulated.valid_tokens`.

    Input:
    ```mlir
    titan.variable parameter @w : tensor<8x4xf32>
    func.func @loss(%x: tensor<2x4xf32>) -> (tensor<f32>, tensor<f32>) {
      %w = titan.load @w : tensor<8x4xf32>
      %h = titan.einsum "td,nd->tn" %x, %w : tensor<2x4xf32>, tensor<8x4xf32> -> tensor<2x8xf32>
      %y = titan.exp %h : tensor<2x8xf32>
      ...
    ```
    Output:
    ```mlir
    func.func @fwd(%x: tensor<2x4xf32>) -> tensor<2x8xf32>
    func.func @bwd(%x: tensor<2x4xf32>, %y: tensor<2x8xf32>) {
      ...
      %g = titan.load @gradient.w : tensor<8x4xf32>
      %sum = titan.einsum "tn,td->nd" %dh, %x acc(%g : tensor<8x4xf32>) ...
      titan.store %sum, @gradient.w : tensor<8x4xf32>
    ```
  }];
  let options = [
    Option<"reducePerStep", "reduce-per-step", "bool", "false",
           "gradients are summed over the ranks once a step, not in every microbatch">,
  ];
  let dependentDialects = ["::titan::TitanDialect", "::mlir::func::FuncDialect"];
}

def BuildOptimizer : Pass<"titan-build-optimizer", "::mlir::ModuleOp"> {
  let summary = "add @prologue and @update: gradient norm, clipping, Adam or AdamW";
  let description = [{
    Adds the optimizer's state as variables (`optimizer.exp_avg.NAME`, `optimizer.exp_avg_sq.NAME`),
    the scalars that the host writes before a step (`lr`, `bias_correction1`, `bias_correction2`,
    `one_minus_beta1`, `one_minus_beta2`, `epsilon`, `weight_decay`, `max_norm`), the outputs
    `grad_norm` and `finite`, and the functions

    - `@prologue`: gradients, `loss_sum` and `valid_tokens` become zero;
    - `@update`: grad_norm = sqrt(sum of squares of all gradients) / valid_tokens; finite = whether
      it and `loss_sum` are; every parameter takes one step with its gradient scaled by min(1,
      max_norm / (grad_norm + 1e-6)) / valid_tokens, or keeps its value if finite is 0.

    Of a pipeline, each rank has its `@prologue.r` and `@update.r` for its parameters; between the
    last backward and these come `@gradient_squares.r`, each rank's sum of squares, and `@totals`,
    which all ranks run together: it sums up over the ranks and stores the outputs, which the updates
    then read. Gradients that are reduced once a step are reduced in `@gradient_squares.r`, which
    keeps the sums in `reduced.NAME` for the update. `@eval_totals` does the same for `@eval`.

    A `max_norm` of infinity clips nothing. If the module has `@eval`, its results are added to `eval_loss_sum`
    and `eval_valid_tokens`, which `@eval_prologue` sets to zero.
  }];
  let options = [
    Option<"optimizer", "optimizer", "std::string", "\"AdamW\"", "AdamW or Adam">,
  ];
  let dependentDialects = ["::titan::TitanDialect", "::mlir::func::FuncDialect"];
}

//===----------------------------------------------------------------------===//
// sharding
//===----------------------------------------------------------------------===//

def PartitionSpmd : Pass<"titan-partition-spmd", "::mlir::ModuleOp"> {
  let summary = "the program of one device: local shapes and explicit collectives";
  let description = [{
    Every value becomes what a rank holds of it, every `titan.reshard` the collectives that take the
    one layout to the other. Ops build their local form themselves (PartitionOpInterface) or are the
    same op on local types, if the layouts fit their factors. One program serves all ranks: what
    depends on the rank, such as the first row of its part of a table, is a variable
    `axis_index.AXES.SCALE` that starts from `#titan.axis_index`.

    Variables, arguments and results that ranks do not hold whole keep their global type: variables
    in `global_type`, signatures in the attribute `titan.global_type`. Flat storage is a slice of one
    dimension. Where it is padded the tail is zeros, and what is read back is cut off.

    A dimension that its axes do not divide is an error that names the tensor. A module without
    shardings stays as it is.

    Input, on `titan.mesh @mesh [dp_shard = 2, tp = 2]`:
    ```mlir
    titan.variable parameter @w
        : tensor<8x4xf32, #titan.sharding<[{tp}, {} ], flat {dp_shard} granule 4>>
    func.func @f(%x: tensor<6x4xf32, #titan.sharding<[{dp_shard}, {} ]>>)
        -> tensor<6x8xf32, #titan.sharding<[{dp_shard}, {tp} ]>> {
      %s = titan.load @w : ...
      %w = titan.reshard %s : ... -> tensor<8x4xf32, #titan.sharding<[{tp}, {} ]>>
      %y = titan.einsum "td,nd->tn" %x, %w : ...
    ```
    Output:
    ```mlir
    titan.variable parameter @w : tensor<8xf32>
        global tensor<8x4xf32, #titan.sharding<[{tp}, {} ], flat {dp_shard} granule 4>>
    func.func @f(%x: tensor<3x4xf32> {titan.global_type = ...})
        -> (tensor<3x4xf32> {titan.global_type = ...}) {
      %s = titan.load @w : tensor<8xf32>
      %g = titan.all_gather %s over [dp_shard] dimension 0 : (tensor<8xf32>) -> tensor<16xf32>
      %w = titan.reshape %g : tensor<16xf32> -> tensor<4x4xf32>
      %y = titan.einsum "td,nd->tn" %x, %w : tensor<3x4xf32>, tensor<4x4xf32> -> tensor<3x4xf32>
    ```
  }];
  let dependentDialects = ["::titan::TitanDialect"];
}

def SimplifyCollectives : Pass<"titan-simplify-collectives", "::mlir::ModuleOp"> {
  let summary = "fewer and smaller collectives that compute the same";
  let description = [{
    Within each function:

    - collectives over groups of one rank vanish;
    - equal collectives of one value become one;
    - a sum of which a rank keeps its part, `axis_slice` of `all_reduce` over the same axes, is a
      `reduce_scatter`;
    - `all_gather` of `all_gather` along one dimension is one over both lists of axes, `axis_slice`
      of `all_gather` over the same axes is the operand;
    - the sum of two reductions over the same axes is one reduction of the sum, if nothing else reads
      them.

    Input:
    ```mlir
    %a = titan.all_reduce sum %x over [tp] : (tensor<8x4xf32>) -> tensor<8x4xf32>
    %b = titan.all_reduce sum %y over [tp] : (tensor<8x4xf32>) -> tensor<8x4xf32>
    %c = titan.add %a, %b : tensor<8x4xf32>
    %d = titan.axis_slice %c over [tp] dimension 0 : tensor<8x4xf32> -> tensor<4x4xf32>
    ```
    Output:
    ```mlir
    %c = titan.add %x, %y : tensor<8x4xf32>
    %d = titan.reduce_scatter %c over [tp] dimension 0 : (tensor<8x4xf32>) -> tensor<4x4xf32>
    ```
  }];
  let dependentDialects = ["::titan::TitanDialect"];
}

//===----------------------------------------------------------------------===//
// memory
//===----------------------------------------------------------------------===//

def ChunkLoss : Pass<"titan-chunk-loss", "::mlir::ModuleOp"> {
  let summary = "unroll the head and its loss over chunks of tokens";
  let description = [{
    Asks every ChunkableOpInterface op to unroll itself, so that the logits of one chunk, not of the
    microbatch, are the largest value.

    Input:
    ```mlir
    %loss, %valid = titan.head_loss %x, %w, %labels : ...
    ```
    Output, for two chunks:
    ```mlir
    %x0 = titan.slice %x at 0 : ...
    %l0 = titan.einsum "td,vd->tv" %x0, %w : ...
    %loss0, %valid0 = titan.cross_entropy %l0, %labels0 : ...
    %x1 = titan.slice %x at 16 : ...
    ...
    %loss = titan.add %loss0, %loss1 : tensor<f32>
    ```
  }];
  let options = [
    Option<"chunks", "chunks", "int64_t", "8", "number of chunks">,
    Option<"tokensPerChunk", "tokens-per-chunk", "int64_t", "0",
           "with a number above 0: as many chunks as keep each to so many tokens, in place of `chunks`">,
  ];
  let dependentDialects = ["::titan::TitanDialect"];
}

def Rematerialize : Pass<"titan-rematerialize", "::mlir::ModuleOp"> {
  let summary = "choose what the forward keeps and what the backward computes again";
  let description = [{
    Between `@fwd` and `@bwd`: the backward computes values of the forward again, right before it
    first reads them, from what is kept. Results of `@fwd` that nothing needs vanish, what is kept
    instead becomes one. In a pipeline the bytes are those of all microbatches that the module's
    schedule has in flight.

    Modes:
    - `none`: as few bytes as recomputing pointwise functions alone leaves. They become part of the
      kernels that read them, and cost no pass over memory.
    - `full`: a layer keeps its input alone.
    - `selective`: every N-th layer (`every`) as in `full`, the others as in `none`.
    - `per-op`: in layers, what the ops say (CostOpInterface) and reduce-scatters are kept, the rest
      is recomputed.
    - `budget`: the least work that keeps at most least + b x (none - least) bytes.
    - `limit`: the least work with which a pipeline rank keeps at most so many bytes (`bytes`) of
      its stages together, of all the microbatches that its schedule has in flight.

    Outside of layers the first four do as `none` does. A layer is what the model's author called
    `layers.N`, by the locations of ops. What goes from a layer to the next is always kept, if it
    is needed, so that a layer's backward needs memory for one layer's forward. What depends on
    variables alone is computed again: how long gathered weights are held is the placement of their
    gathers, which also decides about residuals that are such weights.

    If titan-split-backward has cut `@bwd`, each half computes again what it lacks, or `@bwd` returns
    what it has computed again and `@bwd_weight` takes it from there: whichever is best for the work
    and the bytes of the three ways. `full`, and the layers of which `per-op` says what is kept, hand
    nothing over. An argument of a stage costs what `@bwd_weight` keeps it longer.

    Work is counted in flops: an op's own, or if they are more those that the machine could do while
    it moves the op's bytes through memory (`flops-per-byte`) or, of a collective, over the network
    (`flops-per-network-byte`). The choice is a minimum cut; see RematPlan.h.

    Input:
    ```mlir
    func.func @fwd(%x: tensor<2x4xf32>) -> (tensor<2x4xf32>, tensor<2x8xf32>, tensor<2x8xf32>) {
      ... %h, then in the layer:
      %y = titan.einsum "td,nd->tn" %h, %w : ...
      %z = titan.exp %y : tensor<2x8xf32>
      return %h, %y, %z : ...
    func.func @bwd(%x: tensor<2x4xf32>, %h: ..., %y: ..., %z: ...) {
    ```
    Output of the mode full:
    ```mlir
    func.func @fwd(%x: tensor<2x4xf32>) -> tensor<2x4xf32> {
      ...
      return %h : ...
    func.func @bwd(%x: tensor<2x4xf32>, %h: tensor<2x4xf32>) {
      ...
      %w = titan.load @w : ...
      %y = titan.einsum "td,nd->tn" %h, %w : ...
      %z = titan.exp %y : ...
      ...
    ```
  }];
  let options = [
    Option<"mode", "mode", "::titan::RematMode", "::titan::RematMode::none", "what is recomputed",
           [{::llvm::cl::values(
               clEnumValN(::titan::RematMode::none, "none", "pointwise functions"),
               clEnumValN(::titan::RematMode::full, "full", "layers"),
               clEnumValN(::titan::RematMode::selective, "selective", "every N-th layer"),
               clEnumValN(::titan::RematMode::perOp, "per-op", "what the ops say"),
               clEnumValN(::titan::RematMode::budget, "budget", "as the budget requires"),
               clEnumValN(::titan::RematMode::limit, "limit", "as the bytes of ranks require"))}]>,
    Option<"every", "every", "int64_t", "2", "N of the mode selective">,
    Option<"budget", "budget", "double", "0.5", "b of the mode budget, from 0 to 1">,
    ListOption<"bytes", "bytes", "int64_t", "of the mode limit, one for each pipeline rank">,
    Option<"flopsPerByte", "flops-per-byte", "double", "10",
           "flops that the machine does while it moves one byte of memory">,
    Option<"flopsPerNetworkByte", "flops-per-network-byte", "double", "100",
           "flops that the machine does while it sends one byte">,
  ];
  let dependentDialects = ["::titan::TitanDialect"];
}

def PlanMemory : Pass<"titan-plan-memory", "::mlir::ModuleOp"> {
  let summary = "give every tensor a buffer and every op its instruction: titan becomes exec";
  let description = [{
    Variables are laid out in segments by role, 64-byte aligned; parameters, their moments and
    gradients at congruent offsets. Inputs of @fwd and @bwd become the residual class `batch`, the
    results of @fwd the class `fwd_to_bwd`. Within a function, values live in one arena: an op's
    result is placed by its BufferingOpInterface or, for a kernel, by KernelAnalysis: views alias,
    accumulators and stores update in place, pointwise results take over dying operands, and what
    remains is packed by live ranges. Places may depend on the rank: its part of a tensor is a view,
    and what is gathered and read by nothing else is computed where the gathered tensor has it.
    A tensor that is stored or returned as the front of one that is a little longer, such as a
    gathered matrix with its padding, has room for all of that. Functions never run at once, so their arenas share the segment `scratch`.

    A pipeline has its schedule in the module's attributes `titan.schedule` and
    `titan.eval_schedule`: per pipeline rank a line of actions as in torch.distributed.pipelining's
    CSV files. Each rank gets a timeline, `train.R`, with the transfers between stages (start and
    await entries over async functions), and segments of its own, `parameters.R` and so on, for what
    its functions alone use. A stage has a residual class for each of: its residuals, the activations
    and cotangents that it gets, and those that it sends; each with as many slots as the timeline has
    in use at a time. Stages of one rank hand values on without a copy.
  }];
  let options = [Option<"computeCapability", "compute-capability", "int64_t", "0",
                        "of the GPU that the program is for (90: 9.0): kernels have scratch memory "
                        "for more blocks, and other ops what libraries need there; 0: a CPU">];
  let dependentDialects = ["::titan::TitanDialect", "::titan::exec::ExecDialect"];
}

//===----------------------------------------------------------------------===//
// kernels
//===----------------------------------------------------------------------===//

def FormKernels : Pass<"titan-form-kernels", "::mlir::func::FuncOp"> {
  let summary = "group fusible ops into kernel regions";
  let description = [{
    Replaces composite ops by their programs (DecomposableOpInterface), eliminates common
    subexpressions, and moves every fusible op (FusibleOpInterface) into a `titan.kernel`. A kernel
    is one pass over the rows of its tensors: several phases within a row, such as a residual sum,
    its norm and the normalized row; several results; sums over the rows, combined in a second
    stage together with what is pointwise in the sum. Values that only ops of one kernel read
    become no memory. Broadcasts, one-hot rows and constants are copied into every kernel that reads
    them. Kernels are listed in an order near that of their ops; the same ops give the same kernels.

    An op that is read outside kernels and can be computed by an instruction of its own, such as a
    constant tensor, stays outside.

    Input:
    ```mlir
    %h = titan.add %x, %f : tensor<8x64xf32>
    %y, %rstd = titan.rms_norm %h, %w epsilon 1.0e-5 : tensor<8x64xf32>, tensor<64xf32>
        -> tensor<8x64xf32>, tensor<8xf32>
    return %h, %y : tensor<8x64xf32>, tensor<8x64xf32>
    ```
    Output:
    ```mlir
    %k:2 = titan.kernel (%a = %x, %b = %f, %c = %w)
        : (tensor<8x64xf32>, tensor<8x64xf32>, tensor<64xf32>)
        -> (tensor<8x64xf32>, tensor<8x64xf32>) {
      %h = titan.add %a, %b : tensor<8x64xf32>
      %square = titan.mul %h, %h : tensor<8x64xf32>
      %sum = titan.reduce sum %square [1] : tensor<8x64xf32> -> tensor<8xf32>
      ...
      titan.yield %h, %y : tensor<8x64xf32>, tensor<8x64xf32>
    }
    return %k#0, %k#1 : tensor<8x64xf32>, tensor<8x64xf32>
    ```
  }];
  let dependentDialects = ["::titan::TitanDialect"];
}

def BatchKernels : Pass<"titan-batch-kernels", "::mlir::func::FuncOp"> {
  let summary = "one launch for many independent kernels";
  let description = [{
    Puts kernels that are neighbours and independent of each other into one `titan.kernel`, a
    *batch*: a GPU runs their blocks side by side in one launch, where each would have cost one, and
    most are too small to fill it. So the update of all parameters is one launch, and so are their
    sums of squares. What each kernel computes stays as it is, bit for bit.

    Batched are kernels whose loops are flat, walking whole tensors in the order of memory, and that
    take no memory: their results are scalars, or stored to variables and not used otherwise. A
    kernel that depends on the batch begins the next one. Loads, stores and what makes scalars may
    stand between, and go behind the batch if they depend on it; any other op ends it, so that no
    tensor lives longer. What reads a variable that the batch writes, or the other way around, begins
    the next one: in one launch neither could be computed in place. A launch has at most 4000 buffers.

    Input:
    ```mlir
    %k0 = titan.kernel (%a = %x) : (tensor<512xf32>) -> tensor<512xf32> {...}
    titan.store %k0, @p : tensor<512xf32>
    %k1 = titan.kernel (%a = %y) : (tensor<4096xf32>) -> tensor<4096xf32> {...}
    titan.store %k1, @q : tensor<4096xf32>
    ```
    Output:
    ```mlir
    %b:2 = titan.kernel (%a = %x, %b = %y)
        : (tensor<512xf32>, tensor<4096xf32>) -> (tensor<512xf32>, tensor<4096xf32>) {
      %k0 = titan.kernel (%c = %a) : (tensor<512xf32>) -> tensor<512xf32> {...}
      %k1 = titan.kernel (%c = %b) : (tensor<4096xf32>) -> tensor<4096xf32> {...}
      titan.yield %k0, %k1 : tensor<512xf32>, tensor<4096xf32>
    }
    titan.store %b#0, @p : tensor<512xf32>
    titan.store %b#1, @q : tensor<4096xf32>
    ```
  }];
  let dependentDialects = ["::titan::TitanDialect"];
}

//===----------------------------------------------------------------------===//
// sharding
//===----------------------------------------------------------------------===//

def BucketCollectives : Pass<"titan-bucket-collectives", "::mlir::ModuleOp"> {
  let summary = "one grouped collective per layer instead of one per tensor";
  let description = [{
    Replaces collectives of one function by one with all their operands: no concatenation, no copy.
    Grouped are those of one kind, reduction, dimension, element type and axes that belong to one
    layer and are neighbours, as long as operands and results do not exceed `limit` bytes.

    A collective belongs to the layer that its variable's name says: `layers.3` for what is gathered
    from, or only added to, `layers.3.attention.wq.weight` or its gradient. For one without a
    variable (activations, and their cotangents) the op's location says it, which carries the name
    of what the model's author built. All names outside of layers count as one layer.

    A gather goes to where its first result is used, views aside; neighbours are in the order of
    these uses. All others go to where the last operand is ready; what uses the results of earlier
    ones and ends in variables alone, at most 16 ops, waits there. What cannot wait, or needs a
    result to compute another operand, ends a group.

    Input:
    ```mlir
    %q = titan.all_gather %wq over [dp_shard] dimension 0 : (tensor<1024xf32>) -> tensor<4096xf32>
    %k = titan.all_gather %wk over [dp_shard] dimension 0 : (tensor<512xf32>) -> tensor<2048xf32>
    ```
    Output:
    ```mlir
    %w:2 = titan.all_gather %wq, %wk over [dp_shard] dimension 0
        : (tensor<1024xf32>, tensor<512xf32>) -> (tensor<4096xf32>, tensor<2048xf32>)
    ```
  }];
  let options = [Option<"limit", "limit", "int64_t", "268435456",
                        "most bytes of a group; 0 groups nothing">];
  let dependentDialects = ["::titan::TitanDialect"];
}

//===----------------------------------------------------------------------===//
// schedule
//===----------------------------------------------------------------------===//

def ScheduleInstructions : Pass<"titan-schedule-instructions", "::mlir::ModuleOp"> {
  let summary = "order the instructions of each function";
  let description = [{
    Moves each op next to the first of its users when it makes its operands die earlier than it
    makes its results live longer, which lowers the peak of memory: gradients are added as soon as
    they are known, loads and constants stand before their first use.

    Then every collective becomes a `titan.start` and a `titan.await`. One whose operands are there
    at the function's entry (the gather of a layer's weights) starts where the one `prefetch` before
    it, of its kind and axes, is awaited, which is at its first use: while a layer computes, the next
    one's weights arrive, and no more are in memory. One whose results only go to variables (the
    reduction of a layer's gradients) starts where it stands and is awaited where the one `prefetch`
    after it starts, or at the end, together with what uses it. All others start where they stand and
    are awaited at their first use. An all_reduce is in place where its operand is not used again.

    Input, two layers' weights, each used by one op:
    ```mlir
    %a = titan.all_gather %s0 over [dp_shard] dimension 0 : ...
    %x = titan.einsum "td,nd->tn" %x0, %a : ...
    %b = titan.all_gather %s1 over [dp_shard] dimension 0 : ...
    %y = titan.einsum "td,nd->tn" %x, %b : ...
    ```
    Output:
    ```mlir
    %p = titan.start all_gather %s0 over [dp_shard] : ...
    %a = titan.await %p of %s0 : ...
    %q = titan.start all_gather %s1 over [dp_shard] : ...
    %x = titan.einsum "td,nd->tn" %x0, %a : ...
    %b = titan.await %q of %s1 : ...
    %y = titan.einsum "td,nd->tn" %x, %b : ...
    ```
  }];
  let options = [Option<"prefetch", "prefetch", "int64_t", "1",
                        "how many collectives ahead one starts; 0 overlaps nothing">];
  let dependentDialects = ["::titan::TitanDialect"];
}

#endif
