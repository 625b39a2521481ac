#ifndef TITAN_OPS_STRUCTURE_TD
#define TITAN_OPS_STRUCTURE_TD

include "dialects/titan/TitanBase.td"
include "dialects/titan/TitanAttrs.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"

def Titan_MeshOp : Titan_Op<"mesh", [Symbol]> {
  let summary = "the ranks as a grid of named axes";
  let description = [{
    Axes stand outermost first: rank r has the coordinates of r in the mixed radix of the sizes. At
    most one per module.

    ```mlir
    titan.mesh @mesh [pp = 1, dp_replicate = 1, dp_shard = 4, cp = 1, tp = 2]
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, StrArrayAttr:$axes, DenseI64ArrayAttr:$sizes);
  let assemblyFormat = "$sym_name custom<MeshAxes>($axes, $sizes) attr-dict";
  let hasVerifier = 1;
}

def Titan_ShardingConstraintOp : Titan_Op<"sharding_constraint", [
    Pure, SameOperandsAndResultType, Titan_Precision,
    DeclareOpInterfaceMethods<Titan_CostOpInterface>,
    DeclareOpInterfaceMethods<Titan_ReferenceOpInterface>]> {
  let summary = "the value, to be laid out as told";
  let description = [{
    What titan-propagate-shardings starts from, besides variables and inputs; it leaves none.

    ```mlir
    %y = titan.sharding_constraint %x to <[{dp_shard}, {tp}, {} ]> : tensor<8x512x256xf32>
    ```
  }];
  let arguments = (ins Titan_Tensor:$input, Titan_ShardingAttr:$sharding);
  let results = (outs Titan_Tensor:$result);
  let assemblyFormat = "$input `to` $sharding attr-dict `:` type($input)";
  let hasVerifier = 1;
}

def Titan_VariableOp : Titan_Op<"variable", [Symbol]> {
  let summary = "a tensor that lives from step to step";
  let description = [{
    Names are the checkpoint names that users know.

    ```mlir
    titan.variable parameter @layers.0.attention.wq.weight : tensor<256x256xf32>
        init #titan.truncated_normal<mean = 0.0, std = 0.02, lower = -2.0, upper = 2.0>
    ```

    `placement` says how long the variable is kept once it is gathered from storage, where
    titan-propagate-shardings' own `placement` is per_function; any other overrides it.

    The last `padding` rows, in the first dimension, are there for ranks to have equally many: they are
    zero and no part of what users know by the name.

    In a per-device program the type is what a rank holds, and `global` is the sharded type of the
    whole, which initializers, dumps and checkpoints go by.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, Titan_RoleAttr:$role, TypeAttr:$type,
                       OptionalAttr<TypeAttr>:$global_type, OptionalAttr<AnyAttr>:$initializer,
                       OptionalAttr<Titan_GatherPlacementAttr>:$placement,
                       DefaultValuedAttr<I64Attr, "0">:$padding);
  let assemblyFormat = [{
    $role $sym_name `:` $type (`global` $global_type^)? (`init` $initializer^)?
    (`placement` $placement^)? (`padding` $padding^)? attr-dict
  }];
  let hasVerifier = 1;
}

def Titan_LoadOp : Titan_Op<"load", [Pure, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "a variable's value at the function's entry";
  let description = "Of the variable's type, or that type without its sharding before propagation.";
  let arguments = (ins FlatSymbolRefAttr:$variable);
  let results = (outs Titan_Tensor:$result);
  let assemblyFormat = "$variable attr-dict `:` type($result)";
}

def Titan_StoreOp : Titan_Op<"store", [DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "a variable's value at the function's exit";
  let description = "At most one store of a variable per function.";
  let arguments = (ins Titan_Tensor:$value, FlatSymbolRefAttr:$variable);
  let assemblyFormat = "$value `,` $variable attr-dict `:` type($value)";
}

def Titan_KernelOp : Titan_Op<"kernel",
    [Pure, IsolatedFromAbove, SingleBlockImplicitTerminator<"YieldOp">]> {
  let summary = "a region of fusible ops that becomes one kernel";
  let description = [{
    The region's block has one argument per operand; its terminator yields the results. All ops
    inside are fusible and share one space of rows and columns. Or all of them are kernels which read
    none but the block's arguments, and whose results are yielded in order: a batch.
  }];
  let arguments = (ins Variadic<Titan_Tensor>:$inputs);
  let results = (outs Variadic<Titan_Tensor>:$results);
  let regions = (region SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
}

def Titan_YieldOp : Titan_Op<"yield", [Pure, Terminator, ReturnLike,
    ParentOneOf<["KernelOp", "MapOp", "::titan::exec::KernelOp"]>]> {
  let summary = "the results of a region: tensors of a kernel, scalars of a map";
  let arguments = (ins Variadic<AnyType>:$values);
  let assemblyFormat = "attr-dict ($values^ `:` type($values))?";
  let builders = [OpBuilder<(ins), [{ /* yields nothing */ }]>];
}

#endif
