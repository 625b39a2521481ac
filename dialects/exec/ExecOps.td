// The ops of the exec dialect: declarations at module level, then instructions, then timelines.
#ifndef TITAN_DIALECTS_EXEC_EXECOPS_TD
#define TITAN_DIALECTS_EXEC_EXECOPS_TD

include "dialects/exec/ExecBase.td"
include "mlir/IR/BuiltinAttributeInterfaces.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

class Exec_Op<string mnemonic, list<Trait> traits = []> : Op<Exec_Dialect, mnemonic, traits>;

class Exec_Declaration<string mnemonic, list<Trait> traits = []>
    : Exec_Op<mnemonic, !listconcat(traits, [HasParent<"::mlir::ModuleOp">])>;

//===-------------------------------------------------------------------------------------------===//
// Declarations
//===-------------------------------------------------------------------------------------------===//

def Exec_ProgramOp : Exec_Declaration<"program"> {
  let summary = "facts about the whole program, once per module";
  let description = [{
    The target the kernels are for, the mesh (outermost axis first; none means one rank), the
    model's floating point operations per token for the console line, the job's TOML text, and the
    names of the sources that errors and traces refer to.
  }];
  let arguments = (ins StrAttr:$target, Exec_AxisArrayAttr:$mesh, Exec_I64Attr:$flops_per_token,
                       StrAttr:$job, StrArrayAttr:$sources);
  let assemblyFormat = [{
    `target` $target `mesh` $mesh `flops_per_token` $flops_per_token `job` $job
    `sources` $sources attr-dict
  }];
  let builders = [OpBuilder<(ins "::llvm::StringRef":$target, "int64_t":$flopsPerToken,
                                 "::llvm::StringRef":$job,
                                 "::llvm::ArrayRef<::llvm::StringRef>":$sources)>];
  let hasVerifier = 1;
}

def Exec_SegmentOp : Exec_Declaration<"segment", [Symbol]> {
  let summary = "a range of memory that is allocated once, when the program is loaded";
  let description = [{
    On all ranks, or on those with the coordinate `rank` in the mesh axis "pp" alone.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, Exec_I64Attr:$size, Exec_SpaceAttr:$space,
                       OptionalAttr<Exec_I64Attr>:$pipeline_rank);
  let assemblyFormat = "$sym_name `size` $size `in` `` $space (`rank` $pipeline_rank^)? attr-dict";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Whether ranks of that coordinate in "pp" have the segment; without one, whether all have it.
    bool isOnRank(std::optional<int64_t> rank) {
      return !getPipelineRank() || getPipelineRank() == rank;
    }
  }];
}

def Exec_ResidualClassOp
    : Exec_Declaration<"residual_class", [Symbol, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "equal slots in a segment; a timeline entry binds one of them";
  let description = [{
    Slot i is bytes [offset + i * bytes, offset + (i + 1) * bytes) of the segment. `bytes` is a
    multiple of 64, so that every slot is aligned alike. Residuals from F to B are one class, the
    host's microbatch inputs another; what pipeline stages send and receive fits as further ones.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, FlatSymbolRefAttr:$segment, Exec_I64Attr:$offset,
                       Exec_I64Attr:$slots, Exec_I64Attr:$bytes);
  let assemblyFormat =
      "$sym_name `in` $segment `+` $offset `slots` $slots `bytes` $bytes attr-dict";
  let hasVerifier = 1;
}

def Exec_VariableOp
    : Exec_Declaration<"variable", [Symbol, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "a named, dense, row-major tensor at a fixed place";
  let description = [{
    `base` is a segment, or a residual class for what exists once per slot (the microbatch inputs).
    Parameters have an initializer; a variable without one starts as zeros. `type` is what a rank
    holds; where that is a part of a global tensor, `global` is its type, with an exec.sharding as
    encoding.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<AnyRankedTensor>:$type,
                       OptionalAttr<TypeAttrOf<AnyRankedTensor>>:$global_type,
                       Exec_RoleAttr:$role, FlatSymbolRefAttr:$base, Exec_I64Attr:$offset,
                       OptionalAttr<Exec_InitializerAttr>:$initializer);
  let assemblyFormat = [{
    $sym_name `:` $type (`global` $global_type^)? `role` `` $role `in` $base `+` $offset
    (`initializer` $initializer^)? attr-dict
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::mlir::RankedTensorType getTensorType() {
      return ::llvm::cast<::mlir::RankedTensorType>(getType());
    }
    /// The sharding of the global type; null if the variable is whole.
    ::titan::exec::ShardingAttr getSharding();
  }];
}

def Exec_ImageOp : Exec_Declaration<"image", [Symbol]> {
  let summary = "machine code of kernels for one target";
  let description = [{
    `features` are the processor features that the code needs; a host that lacks one is refused by
    name. `contents` are the bytes of an ELF shared object or, for CUDA, PTX or an ELF image for one
    architecture; absent until kernels are emitted.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, StrAttr:$target, StrArrayAttr:$features,
                       OptionalAttr<ElementsAttr>:$contents);
  let assemblyFormat = [{
    $sym_name `target` $target `features` $features (`contents` $contents^)? attr-dict
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// The bytes of the image; empty before emission.
    ::llvm::ArrayRef<char> getBytes();
    /// Copies `bytes` into `contents`.
    void setBytes(::llvm::ArrayRef<char> bytes);
  }];
}

def Exec_KernelOp
    : Exec_Declaration<"kernel", [Symbol, IsolatedFromAbove,
                                  DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "a kernel: what it takes, how it runs, and its body until it is emitted";
  let description = [{
    The body holds tensor ops until emission and may be absent after it; a program file keeps none.
    A launch runs the stages one after another; the blocks of a stage are independent, and results
    do not depend on how they are handed out. `image` names the code that holds the symbols.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeArrayAttr:$argument_types,
                       Exec_AccessArrayAttr:$accesses, Exec_StageArrayAttr:$stages,
                       OptionalAttr<Exec_CostAttr>:$cost, OptionalAttr<FlatSymbolRefAttr>:$image);
  let regions = (region AnyRegion:$body);
  let assemblyFormat = [{
    $sym_name `` custom<KernelArguments>($argument_types, $accesses) `stages` $stages
    (`cost` $cost^)? (`image` $image^)? attr-dict-with-keyword
    ($body^)?
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    unsigned getNumArguments() { return getArgumentTypes().size(); }
    ::mlir::MemRefType getArgumentType(unsigned index) {
      return ::llvm::cast<::mlir::MemRefType>(
          ::llvm::cast<::mlir::TypeAttr>(getArgumentTypes()[index]).getValue());
    }
    ::titan::exec::Access getAccess(unsigned index) {
      return ::llvm::cast<::titan::exec::AccessAttr>(getAccesses()[index]).getValue();
    }
  }];
}

def Exec_FuncOp
    : Exec_Declaration<"func", [Symbol, IsolatedFromAbove, SingleBlock, NoTerminator, NoRegionArguments]> {
  let summary = "a list of instructions";
  let description = [{
    A function that is `async` starts collectives and awaits none of them: timeline entries start
    and await it. In every other function each token is awaited once.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, UnitAttr:$async,
                       OptionalAttr<Exec_CostAttr>:$cost);
  let regions = (region SizedRegion<1>:$bodyRegion);
  let assemblyFormat = "(`async` $async^)? $sym_name (`cost` $cost^)? attr-dict-with-keyword $bodyRegion";
  let builders = [OpBuilder<(ins "::llvm::StringRef":$name)>];
  let skipDefaultBuilders = 1;
  let hasRegionVerifier = 1;
}

//===-------------------------------------------------------------------------------------------===//
// Instructions
//===-------------------------------------------------------------------------------------------===//

def Exec_BufferOp
    : Exec_Op<"buffer", [Pure, HasParent<"::titan::exec::FuncOp">,
                         DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "a strided view of memory at a byte offset of a segment or residual class";
  let description = "With a rotation the place depends on the rank: see exec.rotation.";
  let arguments = (ins FlatSymbolRefAttr:$base, Exec_I64Attr:$offset,
                       OptionalAttr<Exec_RotationAttr>:$rotation);
  let results = (outs Exec_Buffer:$result);
  let assemblyFormat = "$base `+` $offset (`rotated` $rotation^)? attr-dict `:` type($result)";
  let hasVerifier = 1;
}

// Two buffers may overlap, so an instruction's effects are on memory at large: no pass may reorder
// or drop one.
class Exec_Instruction<string mnemonic, list<Trait> traits = []>
    : Exec_Op<mnemonic, !listconcat(traits, [HasParent<"::titan::exec::FuncOp">,
                                             MemoryEffects<[MemRead, MemWrite]>])>;

def Exec_LaunchOp
    : Exec_Instruction<"launch", [DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "runs a kernel on buffers of its argument types";
  let arguments = (ins FlatSymbolRefAttr:$kernel, Variadic<Exec_Buffer>:$operands);
  let assemblyFormat = "$kernel `(` $operands `)` attr-dict `:` type($operands)";
}

def Exec_GemmOp : Exec_Instruction<"gemm"> {
  let summary = "C[M,N] (+)= op(A) op(B), row-major, optionally batched";
  let description = [{
    op(A) is M x K, op(B) is K x N; leading dimensions are the distance of rows *as stored*, in
    elements. With a batch count above 1, item i starts i * stride elements behind item 0. Products
    are accumulated in f32. The buffers' own shapes do not matter, only what memory they span.
  }];
  let arguments = (ins Exec_Buffer:$a, Exec_Buffer:$b, Exec_Buffer:$c,
                       Optional<Exec_Buffer>:$workspace, UnitAttr:$trans_a, UnitAttr:$trans_b,
                       UnitAttr:$accumulate, Exec_I64Attr:$m, Exec_I64Attr:$n, Exec_I64Attr:$k, Exec_I64Attr:$lda,
                       Exec_I64Attr:$ldb, Exec_I64Attr:$ldc, DefaultValuedAttr<Exec_I64Attr, "1">:$batch,
                       DefaultValuedAttr<Exec_I64Attr, "0">:$stride_a,
                       DefaultValuedAttr<Exec_I64Attr, "0">:$stride_b,
                       DefaultValuedAttr<Exec_I64Attr, "0">:$stride_c);
  let assemblyFormat = [{
    $a (`transposed` $trans_a^)? `,` $b (`transposed` $trans_b^)? `into` $c
    (`accumulate` $accumulate^)? (`workspace` $workspace^)?
    `m` $m `n` $n `k` $k `lda` $lda `ldb` $ldb `ldc` $ldc
    (`batch` $batch^ `strides` `(` $stride_a `,` $stride_b `,` $stride_c `)`)?
    attr-dict `:` type($a) `,` type($b) `into` type($c) (`workspace` type($workspace)^)?
  }];
  let hasVerifier = 1;
}

def Exec_AttentionOp : Exec_Instruction<"attention", [AttrSizedOperandSegments]> {
  let summary = "softmax(scale Q K^T) V with the log of each row's sum of exponentials";
  let description = [{
    q and out are [batch, queries, heads, dim], k and v [batch, keys, kv heads, dim], lse f32 [batch,
    heads, queries]; heads is a multiple of kv heads. With `causal` a query sees the keys whose
    position is not above its own. The two positions, i32 [batch, queries] and [batch, keys], come
    together; without them query i and key i are at position i. A query that sees no key has out 0
    and lse -infinity.
  }];
  let arguments = (ins Exec_Buffer:$q, Exec_Buffer:$k, Exec_Buffer:$v,
                       Optional<Exec_Buffer>:$query_positions,
                       Optional<Exec_Buffer>:$key_positions, Exec_Buffer:$out, Exec_Buffer:$lse,
                       Optional<Exec_Buffer>:$scratch, F32Attr:$scale, UnitAttr:$causal);
  let assemblyFormat = [{
    (`causal` $causal^)? `scale` $scale `(` $q `,` $k `,` $v `:` type($q) `,` type($k) `,` type($v)
    `)` (`positions` `(` $query_positions^ `,` $key_positions `:` type($query_positions) `,`
    type($key_positions) `)`)?
    `into` `(` $out `,` $lse `:` type($out) `,` type($lse) `)`
    (`scratch` $scratch^ `:` type($scratch))? attr-dict
  }];
  let hasVerifier = 1;
}

def Exec_AttentionGradOp : Exec_Instruction<"attention_grad", [AttrSizedOperandSegments]> {
  let summary = "the gradients of attention with respect to q, k and v";
  let arguments = (ins Exec_Buffer:$q, Exec_Buffer:$k, Exec_Buffer:$v,
                       Optional<Exec_Buffer>:$query_positions,
                       Optional<Exec_Buffer>:$key_positions, Exec_Buffer:$out, Exec_Buffer:$lse,
                       Exec_Buffer:$dout, Exec_Buffer:$dq, Exec_Buffer:$dk, Exec_Buffer:$dv,
                       Optional<Exec_Buffer>:$scratch, F32Attr:$scale, UnitAttr:$causal);
  let assemblyFormat = [{
    (`causal` $causal^)? `scale` $scale `(` $q `,` $k `,` $v `,` $out `,` $lse `,` $dout `:`
    type($q) `,` type($k) `,` type($v) `,` type($out) `,` type($lse) `,` type($dout) `)`
    (`positions` `(` $query_positions^ `,` $key_positions `:` type($query_positions) `,`
    type($key_positions) `)`)?
    `into` `(` $dq `,` $dk `,` $dv `:` type($dq) `,` type($dk) `,` type($dv) `)`
    (`scratch` $scratch^ `:` type($scratch))? attr-dict
  }];
  let hasVerifier = 1;
}

def Exec_EmbeddingOp : Exec_Instruction<"embedding"> {
  let summary = "out[..., :] = table[tokens[...], :]";
  let description = [{
    With `from`, an int32 number that the buffer holds, the table begins at this row of a longer one;
    tokens of other rows give zeros.
  }];
  let arguments = (ins Exec_Buffer:$tokens, Exec_Buffer:$table, Exec_Buffer:$out,
                       Optional<Exec_Buffer>:$first_row);
  let assemblyFormat = [{
    `(` $tokens `,` $table `)` `into` $out (`from` $first_row^)? attr-dict
    `:` type($tokens) `,` type($table) `into` type($out) (`from` type($first_row)^)?
  }];
  let hasVerifier = 1;
}

def Exec_EmbeddingGradOp : Exec_Instruction<"embedding_grad", [AttrSizedOperandSegments]> {
  let summary = "dtable[tokens[...], :] += dout[..., :], in a fixed order";
  let description = "With `from`, dtable begins at this row of a longer one, as embedding's table.";
  let arguments = (ins Exec_Buffer:$dout, Exec_Buffer:$tokens, Exec_Buffer:$dtable,
                       Optional<Exec_Buffer>:$scratch, Optional<Exec_Buffer>:$first_row);
  let assemblyFormat = [{
    `(` $dout `,` $tokens `)` `into` $dtable (`from` $first_row^)? (`scratch` $scratch^)? attr-dict
    `:` type($dout) `,` type($tokens) `into` type($dtable) (`from` type($first_row)^)?
    (`scratch` type($scratch)^)?
  }];
  let hasVerifier = 1;
}

def Exec_FillOp : Exec_Instruction<"fill"> {
  let summary = "sets every element of a buffer";
  let arguments = (ins Exec_Buffer:$buffer, F64Attr:$value);
  let assemblyFormat = "$buffer `with` $value attr-dict `:` type($buffer)";
}

def Exec_CopyOp : Exec_Instruction<"copy"> {
  let summary = "copies elements between buffers of one shape and element type";
  let arguments = (ins Exec_Buffer:$source, Exec_Buffer:$destination);
  let assemblyFormat =
      "$source `into` $destination attr-dict `:` type($source) `into` type($destination)";
  let hasVerifier = 1;
}

def Exec_CheckFiniteOp : Exec_Instruction<"check_finite"> {
  let summary = "sets the flag to 1 if every element of the buffers is finite, else to 0";
  let arguments = (ins Variadic<Exec_Buffer>:$values, Exec_Buffer:$flag);
  let assemblyFormat = [{
    `(` $values `)` `into` $flag attr-dict `:` type($values) `into` type($flag)
  }];
  let hasVerifier = 1;
}

def Exec_StartOp : Exec_Instruction<"start", [AttrSizedOperandSegments]> {
  let summary = "starts a grouped collective that sees all earlier instructions";
  let description = [{
    Source i and destination i belong together; a send has only sources, a receive only
    destinations. The group are the ranks that differ in the named mesh axes alone. `peer` is the
    other rank's index in the group for send, receive and broadcast. Collectives of one group and
    channel meet in the order in which they are started, sends and receives of two ranks in each
    direction for themselves. Until the token is awaited
    nothing else may write the sources, nor touch the destinations.
  }];
  let arguments = (ins Exec_CollectiveAttr:$collective, Exec_ReductionAttr:$reduction,
                       StrArrayAttr:$axes, OptionalAttr<Exec_I64Attr>:$peer,
                       DefaultValuedAttr<Exec_I64Attr, "0">:$channel, Variadic<Exec_Buffer>:$sources, Variadic<Exec_Buffer>:$destinations);
  let results = (outs Exec_Token:$token);
  let assemblyFormat = [{
    `` $collective `` $reduction `over` $axes (`peer` $peer^)? (`channel` $channel^)?
    `from` `(` ($sources^ `:` type($sources))? `)`
    `to` `(` ($destinations^ `:` type($destinations))? `)` attr-dict
  }];
  let hasVerifier = 1;
}

def Exec_AwaitOp : Exec_Instruction<"await"> {
  let summary = "waits for a collective; its destinations may be read from here on";
  let arguments = (ins Exec_Token:$token);
  let assemblyFormat = "$token attr-dict";
}

//===-------------------------------------------------------------------------------------------===//
// Timelines
//===-------------------------------------------------------------------------------------------===//

def Exec_TimelineOp
    : Exec_Declaration<"timeline", [Symbol, IsolatedFromAbove, SingleBlock, NoTerminator,
                                    NoRegionArguments]> {
  let summary = "what a step runs: prologue, body per local batch, epilogue";
  let description = [{
    The body covers one local batch of every microbatch; gradient accumulation repeats it. In the
    body a microbatch's F comes before its B (or I, and I before W), and a slot of a residual class
    belongs to one microbatch at a time. A start entry is followed by one await entry of the same
    letter, function, stage and microbatch in the same section; nothing else uses what a receive
    fills in between.

    A pipeline's timelines are @NAME.R for the ranks with the coordinate `rank` R in the mesh axis
    "pp", which run what lies in memory that they have.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, OptionalAttr<Exec_I64Attr>:$pipeline_rank);
  let regions = (region SizedRegion<1>:$prologue, SizedRegion<1>:$bodyRegion, SizedRegion<1>:$epilogue);
  let assemblyFormat = [{
    $sym_name (`rank` $pipeline_rank^)? attr-dict-with-keyword `prologue` $prologue `body` $bodyRegion `epilogue` $epilogue
  }];
  let builders = [OpBuilder<(ins "::llvm::StringRef":$name)>];
  let skipDefaultBuilders = 1;
  let hasRegionVerifier = 1;
}

def Exec_ActionOp
    : Exec_Op<"action", [HasParent<"::titan::exec::TimelineOp">,
                         DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "a timeline entry: a function on one microbatch of one stage, with bound slots";
  let arguments = (ins Exec_ModeAttr:$mode, Exec_ActionAttr:$letter, FlatSymbolRefAttr:$function,
                       Exec_I64Attr:$stage, Exec_I64Attr:$microbatch, Exec_SlotArrayAttr:$slots);
  let assemblyFormat = [{
    `` $mode `` $letter $function `stage` $stage `microbatch` $microbatch `slots` `` custom<Slots>($slots)
    attr-dict
  }];
  let hasVerifier = 1;
}

#endif // TITAN_DIALECTS_EXEC_EXECOPS_TD
