// The exec dialect, its enumerations, attributes and types.
#ifndef TITAN_DIALECTS_EXEC_EXECBASE_TD
#define TITAN_DIALECTS_EXEC_EXECBASE_TD

include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/OpBase.td"

def Exec_Dialect : Dialect {
  let name = "exec";
  let cppNamespace = "::titan::exec";
  let summary = "buffers and instructions of a program, one op per table of the program file";
  let description = [{
    A module in this dialect is a whole program: memory as segments and residual classes, variables
    and kernels that live in it, functions as instruction lists over buffers, and timelines that say
    which function runs when and on which residual slots. Nothing is left to decide: shapes, offsets
    and the order of instructions are final, and the order of a list is always a legal order.

    ```mlir
    exec.program target "cpu" mesh [] flops_per_token 768 job "..." sources ["job.toml"]
    exec.segment @parameters size 1024 in device
    exec.segment @residuals size 128 in device
    exec.residual_class @batch in @residuals + 0 slots 2 bytes 64
    exec.variable @"norm.weight" : tensor<16xf32> role parameter in @parameters + 0
        initializer <constant, 1.0>
    exec.variable @tokens : tensor<2x8xi32> role input in @batch + 0
    exec.kernel @scale(read memref<16xf32>, write memref<16xf32>) stages [<"scale_0", 1>]
    exec.func @fwd {
      %0 = exec.buffer @parameters + 0 : memref<16xf32>
      %1 = exec.buffer @parameters + 64 : memref<16xf32>
      exec.launch @scale(%0, %1) : memref<16xf32>, memref<16xf32>
    }
    exec.timeline @train prologue {
    } body {
      exec.action run F @fwd stage 0 microbatch 0 slots(@batch = 0)
    } epilogue {
    }
    ```
  }];
  let useDefaultAttributePrinterParser = 1;
  let hasOperationAttrVerify = 1;
  let extraClassDeclaration = [{
    /// The attribute of an instruction that only some ranks execute: an exec.when.
    static constexpr ::llvm::StringLiteral kWhen = "exec.when";
  }];
  let useDefaultTypePrinterParser = 1;
}

//===-------------------------------------------------------------------------------------------===//
// Enumerations. Their values are those of the program file: append, never renumber.
//===-------------------------------------------------------------------------------------------===//

class Exec_Enum<string name, string summary, list<I32EnumAttrCase> cases>
    : I32EnumAttr<name, summary, cases> {
  let cppNamespace = "::titan::exec";
  let genSpecializedAttr = 0;
}

def Exec_Space : Exec_Enum<"Space", "where a segment lives", [
  I32EnumAttrCase<"Device", 0, "device">,
  I32EnumAttrCase<"Pinned", 1, "pinned">,
  I32EnumAttrCase<"Host", 2, "host">]>;
def Exec_SpaceAttr : EnumAttr<Exec_Dialect, Exec_Space, "space">;

def Exec_Role : Exec_Enum<"Role", "what a variable is for", [
  I32EnumAttrCase<"Parameter", 0, "parameter">,
  I32EnumAttrCase<"OptimizerState", 1, "optimizer_state">,
  I32EnumAttrCase<"Gradient", 2, "gradient">,
  I32EnumAttrCase<"Derived", 3, "derived">,
  I32EnumAttrCase<"Counter", 4, "counter">,
  I32EnumAttrCase<"Input", 5, "input">,
  I32EnumAttrCase<"Output", 6, "output">]>;
def Exec_RoleAttr : EnumAttr<Exec_Dialect, Exec_Role, "role">;

def Exec_Access : Exec_Enum<"Access", "how a kernel uses an argument", [
  I32EnumAttrCase<"Read", 0, "read">,
  I32EnumAttrCase<"Write", 1, "write">,
  I32EnumAttrCase<"ReadWrite", 2, "readwrite">]>;
def Exec_AccessAttr : EnumAttr<Exec_Dialect, Exec_Access, "access">;

def Exec_Distribution : Exec_Enum<"Distribution", "how a variable starts", [
  I32EnumAttrCase<"Constant", 0, "constant">,
  I32EnumAttrCase<"Normal", 1, "normal">,
  I32EnumAttrCase<"TruncatedNormal", 2, "truncated_normal">,
  I32EnumAttrCase<"RopeCosine", 3, "rope_cosine">,
  I32EnumAttrCase<"RopeSine", 4, "rope_sine">,
  I32EnumAttrCase<"AxisIndex", 5, "axis_index">]>;

def Exec_Collective : Exec_Enum<"Collective", "what a grouped collective does", [
  I32EnumAttrCase<"AllGather", 0, "all_gather">,
  I32EnumAttrCase<"ReduceScatter", 1, "reduce_scatter">,
  I32EnumAttrCase<"AllReduce", 2, "all_reduce">,
  I32EnumAttrCase<"AllToAll", 3, "all_to_all">,
  I32EnumAttrCase<"Broadcast", 4, "broadcast">,
  I32EnumAttrCase<"Send", 5, "send">,
  I32EnumAttrCase<"Receive", 6, "receive">]>;
def Exec_CollectiveAttr : EnumAttr<Exec_Dialect, Exec_Collective, "collective">;

def Exec_Reduction : Exec_Enum<"Reduction", "how a collective combines values", [
  I32EnumAttrCase<"None", 0, "none">,
  I32EnumAttrCase<"Sum", 1, "sum">,
  I32EnumAttrCase<"Max", 2, "max">]>;
def Exec_ReductionAttr : EnumAttr<Exec_Dialect, Exec_Reduction, "reduction">;

def Exec_Action : Exec_Enum<"Action", "the letter of a timeline entry", [
  I32EnumAttrCase<"Prologue", 0, "P">,
  I32EnumAttrCase<"Unshard", 1, "U">,
  I32EnumAttrCase<"Forward", 2, "F">,
  I32EnumAttrCase<"Backward", 3, "B">,
  I32EnumAttrCase<"InputBackward", 4, "I">,
  I32EnumAttrCase<"WeightBackward", 5, "W">,
  I32EnumAttrCase<"Reshard", 6, "R">,
  I32EnumAttrCase<"ReduceGradients", 7, "G">,
  I32EnumAttrCase<"Send", 8, "S">,
  I32EnumAttrCase<"Receive", 9, "V">,
  I32EnumAttrCase<"Update", 10, "O">]>;
def Exec_ActionAttr : EnumAttr<Exec_Dialect, Exec_Action, "letter">;

def Exec_Mode : Exec_Enum<"Mode", "whether an entry runs, starts or awaits its function", [
  I32EnumAttrCase<"Run", 0, "run">,
  I32EnumAttrCase<"Start", 1, "start">,
  I32EnumAttrCase<"Await", 2, "await">]>;
def Exec_ModeAttr : EnumAttr<Exec_Dialect, Exec_Mode, "mode">;

//===-------------------------------------------------------------------------------------------===//
// Attributes
//===-------------------------------------------------------------------------------------------===//

// I64Attr's accessor is unsigned, which would hide negative values from the verifiers.
def Exec_I64Attr : TypedSignlessIntegerAttrBase<I64, "int64_t", "64-bit signed integer attribute">;

class Exec_Attr<string name, string attrMnemonic> : AttrDef<Exec_Dialect, name> {
  let mnemonic = attrMnemonic;
}

def Exec_InitializerAttr : Exec_Attr<"Initializer", "initializer"> {
  let summary = "the distribution that a variable's elements are drawn from, or their formula";
  let description = [{
    `<constant, value>`, `<normal, mean, std>`, `<truncated_normal, mean, std, lower, upper>` (the
    bounds are absolute values, not multiples of std) or, for a table [positions, pairs] of rotary
    angles, `<rope_cosine, theta, factor, low_frequency, high_frequency, original_length>` and
    `rope_sine`. Each element is a function of the seed, the variable's name and the element's index
    in the global tensor.

    `<axis_index, scale, ["tp"]>`, of one i32, is what a rank knows about its place: its coordinate
    in the mesh axes, the first one outermost, times the scale.
  }];
  let parameters = (ins "::titan::exec::Distribution":$distribution,
                        ArrayRefParameter<"::llvm::APFloat">:$numbers,
                        OptionalParameter<"::mlir::ArrayAttr">:$axes);
  let builders = [AttrBuilder<(ins "::titan::exec::Distribution":$distribution,
                                   "::llvm::ArrayRef<double>":$numbers), [{
    ::llvm::SmallVector<::llvm::APFloat> values;
    for (double number : numbers)
      values.emplace_back(number);
    return $_get($_ctxt, distribution, ::llvm::ArrayRef<::llvm::APFloat>(values),
                 ::mlir::ArrayAttr());
  }]>,
                  AttrBuilder<(ins "::mlir::ArrayAttr":$axes, "double":$scale), [{
    return $_get($_ctxt, ::titan::exec::Distribution::AxisIndex,
                 ::llvm::ArrayRef<::llvm::APFloat>(::llvm::APFloat(scale)), axes);
  }]>,
                  AttrBuilder<(ins "::titan::exec::Distribution":$distribution, "double":$mean,
                                   CArg<"double", "0.0">:$std, CArg<"double", "0.0">:$lower,
                                   CArg<"double", "0.0">:$upper), [{
    const double numbers[] = {mean, std, lower, upper};
    return get($_ctxt, distribution,
               ::llvm::ArrayRef<double>(numbers).take_front(getNumNumbers(distribution)));
  }]>];
  let extraClassDeclaration = [{
    /// How many numbers a distribution takes.
    static unsigned getNumNumbers(::titan::exec::Distribution distribution);
    double getNumber(unsigned index) const { return getNumbers()[index].convertToDouble(); }
  }];
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

def Exec_StageAttr : Exec_Attr<"Stage", "stage"> {
  let summary = "one symbol of a kernel and its number of independent blocks";
  let description = "On a GPU `threads` is the size of a block, a power of two from 32 to 1024.";
  let parameters = (ins StringRefParameter<>:$symbol, "int64_t":$blocks,
                        DefaultValuedParameter<"int64_t", "0">:$threads);
  let builders = [AttrBuilder<(ins "::llvm::StringRef":$symbol, "int64_t":$blocks), [{
    return $_get($_ctxt, symbol, blocks, int64_t{0});
  }]>];
  let assemblyFormat = "`<` $symbol `,` $blocks (`threads` $threads^)? `>`";
  let genVerifyDecl = 1;
}

def Exec_CostAttr : Exec_Attr<"Cost", "cost"> {
  let summary = "floating point operations and bytes moved by one execution";
  let parameters = (ins "int64_t":$flops, "int64_t":$bytes);
  let assemblyFormat = "`<` `flops` `=` $flops `,` `bytes` `=` $bytes `>`";
  let genVerifyDecl = 1;
}

def Exec_AxisAttr : Exec_Attr<"Axis", "axis"> {
  let summary = "a named axis of the mesh and its size";
  let parameters = (ins StringRefParameter<>:$name, "int64_t":$size);
  let assemblyFormat = "`<` $name `,` $size `>`";
  let genVerifyDecl = 1;
}

def Exec_ShardingAttr : Exec_Attr<"Sharding", "sharding"> {
  let summary = "how a rank's part of a global tensor is cut: the encoding of the global type";
  let description = [{
    Per dimension the mesh axes that split it, the first one outermost; the value is the sum over
    the coordinates of the partial axes; with flat axes, what the dimensions' axes leave to a rank is
    laid out row by row, padded and cut into one slice per coordinate, a multiple of `granule`
    elements long. The last `padding` rows of the global tensor are zero and not part of what users
    know.

    ```mlir
    tensor<768x256xf32, #exec.sharding<[["tp"], []] flat ["dp_shard"] granule 4>>
    ```
  }];
  let parameters = (ins "::mlir::ArrayAttr":$dimensions,
                        OptionalParameter<"::mlir::ArrayAttr">:$partial,
                        OptionalParameter<"::mlir::ArrayAttr">:$flat,
                        DefaultValuedParameter<"int64_t", "1">:$granule,
                        DefaultValuedParameter<"int64_t", "0">:$padding);
  let assemblyFormat = [{
    `<` $dimensions (`partial` $partial^)? (`flat` $flat^)? (`granule` $granule^)?
    (`padding` $padding^)? `>`
  }];
  let genVerifyDecl = 1;
}

def Exec_RotationAttr : Exec_Attr<"Rotation", "rotation"> {
  let summary = "how a buffer's place depends on the rank";
  let description = [{
    `<["tp"], stride, shift>` moves a buffer by ((coordinate + shift) mod size) * stride bytes, where
    `coordinate` is the rank's in the mesh axes, the first one outermost, and `size` the product of
    their sizes. The loader resolves it.
  }];
  let parameters = (ins "::mlir::ArrayAttr":$axes, "int64_t":$stride, "int64_t":$shift);
  let assemblyFormat = "`<` $axes `,` $stride `,` $shift `>`";
  let genVerifyDecl = 1;
}

def Exec_WhenAttr : Exec_Attr<"When", "when"> {
  let summary = "which ranks execute an instruction";
  let description = [{
    Those whose coordinate in the mesh axes, the first one outermost, is `value`. Every instruction
    but start and await may have one, as its attribute `exec.when`; without it all ranks execute it.

    ```mlir
    exec.fill %b with 0.0 {exec.when = #exec.when<["tp"], 1>} : memref<4xf32>
    ```
  }];
  let parameters = (ins "::mlir::ArrayAttr":$axes, "int64_t":$value);
  let assemblyFormat = "`<` $axes `,` $value `>`";
  let genVerifyDecl = 1;
}

def Exec_SlotAttr : Exec_Attr<"Slot", "slot"> {
  let summary = "the slot that a timeline entry binds a residual class to";
  let parameters = (ins "::mlir::FlatSymbolRefAttr":$residualClass, "int64_t":$index);
  let assemblyFormat = "`<` $residualClass `,` $index `>`";
}

def Exec_AccessArrayAttr : TypedArrayAttrBase<Exec_AccessAttr, "accesses of a kernel">;
def Exec_StageArrayAttr : TypedArrayAttrBase<Exec_StageAttr, "stages of a kernel">;
def Exec_AxisArrayAttr : TypedArrayAttrBase<Exec_AxisAttr, "axes of the mesh">;
def Exec_SlotArrayAttr : TypedArrayAttrBase<Exec_SlotAttr, "slots of a timeline entry">;

//===-------------------------------------------------------------------------------------------===//
// Types
//===-------------------------------------------------------------------------------------------===//

def Exec_Token : TypeDef<Exec_Dialect, "Token"> {
  let mnemonic = "token";
  let summary = "a collective under way; awaited once";
}

def Exec_Buffer : Type<CPred<"::titan::exec::isBufferType($_self)">,
    "memref of rank at most 6 with static extents and static positive strides at offset 0 over an "
    "element type of the program format", "::mlir::MemRefType">;

#endif // TITAN_DIALECTS_EXEC_EXECBASE_TD
