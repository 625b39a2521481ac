#ifndef TITAN_OPS_COLLECTIVE_TD
#define TITAN_OPS_COLLECTIVE_TD

include "dialects/titan/TitanBase.td"
include "dialects/titan/TitanAttrs.td"
include "mlir/IR/SymbolInterfaces.td"

def Titan_ReshardOp : Titan_Op<"reshard", [
    Pure, Titan_DifferentiableWide,
    DeclareOpInterfaceMethods<Titan_CostOpInterface>,
    DeclareOpInterfaceMethods<Titan_ReferenceOpInterface>]> {
  let summary = "the same global value, laid out differently";
  let description = [{
    Where communication is, in the global program: titan-partition-spmd turns it into collectives.
    `placement` says how long the result is kept when the operand is storage; `reason` says, for
    people, what it is needed for.

    ```mlir
    %w = titan.reshard %slice because "einsum needs a matrix"
        : tensor<768x256xf32, #titan.sharding<[{tp}, {} ], flat {dp_shard} granule 4>>
        -> tensor<768x256xf32, #titan.sharding<[{tp}, {} ]>>
    ```
  }];
  let arguments = (ins Titan_Tensor:$input,
                       DefaultValuedAttr<Titan_GatherPlacementAttr,
                                         "::titan::GatherPlacement::per_function">:$placement,
                       OptionalAttr<StrAttr>:$reason);
  let results = (outs Titan_Tensor:$result);
  let assemblyFormat = [{
    $input (`placement` $placement^)? (`because` $reason^)? attr-dict
    `:` type($input) `->` type($result)
  }];
  let hasVerifier = 1;
  let hasFolder = 1;
}

// `overrides`: methods of the collective interface that the op has of its own.
class Titan_CollectiveOp<string mnemonic, list<string> overrides = []>
    : Titan_Op<mnemonic, [
        Pure, DeclareOpInterfaceMethods<SymbolUserOpInterface>,
        DeclareOpInterfaceMethods<Titan_CollectiveOpInterface, overrides>,
        DeclareOpInterfaceMethods<Titan_CostOpInterface>]>;

def Titan_AllGatherOp : Titan_CollectiveOp<"all_gather", ["isKeptForBackward"]> {
  let summary = "the ranks' parts one after another along a dimension, on every rank";
  let description = [{
    `placement` is that of the reshard that it came from: what is gathered per_microbatch in the
    forward is not gathered again in the backward.

    ```mlir
    %w:2 = titan.all_gather %a, %b over [dp_shard] dimension 0
        : (tensor<1024xf32>, tensor<512xf32>) -> (tensor<4096xf32>, tensor<2048xf32>)
    ```
  }];
  let arguments = (ins Variadic<Titan_Tensor>:$inputs, StrArrayAttr:$axes, I64Attr:$dimension,
                       DefaultValuedAttr<Titan_GatherPlacementAttr,
                                         "::titan::GatherPlacement::per_function">:$placement);
  let results = (outs Variadic<Titan_Tensor>:$results);
  let assemblyFormat = [{
    $inputs `over` custom<AxisNames>($axes) `dimension` $dimension (`placement` $placement^)?
    attr-dict `:` functional-type($inputs, $results)
  }];
}

def Titan_ReduceScatterOp : Titan_CollectiveOp<"reduce_scatter"> {
  let summary = "each rank's part, along a dimension, of the sum over the ranks";
  let description = "Sums are taken in the order of coordinates, in float32 or wider.";
  let arguments = (ins Variadic<Titan_FloatTensor>:$inputs, StrArrayAttr:$axes, I64Attr:$dimension);
  let results = (outs Variadic<Titan_FloatTensor>:$results);
  let assemblyFormat = [{
    $inputs `over` custom<AxisNames>($axes) `dimension` $dimension attr-dict
    `:` functional-type($inputs, $results)
  }];
}

def Titan_AllReduceOp : Titan_CollectiveOp<"all_reduce"> {
  let summary = "the sum or maximum over the ranks, on every rank";
  let description = "Taken in the order of coordinates, in float32 or wider.";
  let arguments = (ins Titan_ReductionAttr:$reduction, Variadic<Titan_FloatTensor>:$inputs,
                       StrArrayAttr:$axes);
  let results = (outs Variadic<Titan_FloatTensor>:$results);
  let assemblyFormat = [{
    $reduction $inputs `over` custom<AxisNames>($axes) attr-dict
    `:` functional-type($inputs, $results)
  }];
}

// Not Pure: where a start and its await stand is what titan-schedule-instructions decides.
def Titan_StartOp : Titan_Op<"start", [
    Titan_BufferedPlaced,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>,
    DeclareOpInterfaceMethods<Titan_CollectiveOpInterface>,
    DeclareOpInterfaceMethods<Titan_CostOpInterface>]> {
  let summary = "starts a collective; its results are under way";
  let description = [{
    The collective of that kind on the operands, at the same time as what follows, up to the one
    `titan.await` that takes all results. In between they have memory, but no value, and nothing may
    write the operands' memory. An all_reduce that is `in_place` computes in the memory of its
    operands, which die here. titan-plan-memory may have an operand of an all_gather computed where
    the result will have it.

    ```mlir
    %p:2 = titan.start all_gather %a, %b over [dp_shard]
        : (tensor<1024xf32>, tensor<512xf32>) -> (tensor<4096xf32>, tensor<2048xf32>)
    %y = titan.einsum "td,nd->tn" %x, %v : ...
    %w:2 = titan.await %p#0, %p#1 of %a, %b : ...
    ```
  }];
  let arguments = (ins Titan_CollectiveAttr:$collective,
                       DefaultValuedAttr<Titan_ReductionAttr, "::titan::Reduction::sum">:$reduction,
                       UnitAttr:$in_place, Variadic<Titan_Tensor>:$inputs, StrArrayAttr:$axes,
                       DefaultValuedAttr<I64Attr, "0">:$dimension);
  let results = (outs Variadic<Titan_Tensor>:$results);
  let assemblyFormat = [{
    $collective (`reduction` $reduction^)? (`in_place` $in_place^)? $inputs
    `over` custom<AxisNames>($axes) (`dimension` $dimension^)? attr-dict
    `:` functional-type($inputs, $results)
  }];
  let hasVerifier = 1;
}

def Titan_AwaitOp : Titan_Op<"await", [
    AttrSizedOperandSegments, Titan_BufferedPlaced,
    DeclareOpInterfaceMethods<Titan_CostOpInterface>,
    DeclareOpInterfaceMethods<Titan_ReferenceOpInterface>]> {
  let summary = "the results of a collective that was started";
  let description = [{
    Takes all results of one `titan.start`, in their order, and is their only user. The sources are
    the start's operands: as operands of the await they keep their memory until here. One that is
    updated in place is not named.
  }];
  let arguments = (ins Variadic<Titan_Tensor>:$under_way, Variadic<Titan_Tensor>:$sources);
  let results = (outs Variadic<Titan_Tensor>:$results);
  let assemblyFormat = [{
    $under_way (`of` $sources^)? attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// The start that is awaited.
    ::titan::StartOp getStart();
  }];
}

def Titan_AxisSliceOp : Titan_Op<"axis_slice", [
    Pure, Titan_BufferedPlaced, DeclareOpInterfaceMethods<SymbolUserOpInterface>,
    DeclareOpInterfaceMethods<Titan_CostOpInterface>,
    DeclareOpInterfaceMethods<Titan_ReferenceOpInterface>]> {
  let summary = "the rank's part of a tensor that every rank has";
  let description = [{
    The dimension is cut into equal parts, one per coordinate of the axes; the result is the rank's
    own. What all_gather undoes. A part that is one piece of the input's memory is no copy of it.
  }];
  let arguments = (ins Titan_Tensor:$input, StrArrayAttr:$axes, I64Attr:$dimension);
  let results = (outs Titan_Tensor:$result);
  let assemblyFormat = [{
    $input `over` custom<AxisNames>($axes) `dimension` $dimension attr-dict
    `:` type($input) `->` type($result)
  }];
  let hasVerifier = 1;
}

#endif
