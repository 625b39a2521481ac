#ifndef TITAN_BASE_TD
#define TITAN_BASE_TD

include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/OpBase.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "dialects/interfaces/Buffering.td"
include "dialects/interfaces/Chunkable.td"
include "dialects/interfaces/Collective.td"
include "dialects/interfaces/Cost.td"
include "dialects/interfaces/Differentiable.td"
include "dialects/interfaces/Fusible.td"
include "dialects/interfaces/Partition.td"
include "dialects/interfaces/Precision.td"
include "dialects/interfaces/Reference.td"
include "dialects/interfaces/ShardingRule.td"

def Titan_Dialect : Dialect {
  let name = "titan";
  let cppNamespace = "::titan";
  let summary = "The training of a large language model as a graph of tensor ops";
  let description = [{
    Tensors have static shapes and value semantics. State lives in module-level variables: a
    function loads a variable's value at its entry and stores a new one at its exit, so that every
    function is a pure graph in between and passes may reorder, copy and delete freely.
  }];
  let useDefaultAttributePrinterParser = 1;
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::func::FuncDialect",
                           "::mlir::math::MathDialect", "::titan::exec::ExecDialect"];
  let hasConstantMaterializer = 0;
}

class Titan_Op<string mnemonic, list<Trait> traits = []> : Op<Titan_Dialect, mnemonic, traits>;
class Titan_Attr<string name, string attrMnemonic, list<Trait> traits = []>
    : AttrDef<Titan_Dialect, name, traits> {
  let mnemonic = attrMnemonic;
}

def Titan_Float : AnyTypeOf<[F32, BF16, F16, F64]>;
// A tensor type that can be laid out in memory: isMemoryShape() says what that takes.
class Titan_TensorOf<list<Type> elements>
    : Type<And<[StaticShapeTensorOf<elements>.predicate,
                CPred<"::titan::isMemoryShape(::llvm::cast<::mlir::ShapedType>($_self))">]>,
           "statically shaped tensor of 1 to 2^56 " # AnyTypeOf<elements>.summary # " values",
           "::mlir::RankedTensorType">;
def Titan_FloatTensor : Titan_TensorOf<[Titan_Float]>;
def Titan_F32Tensor : Titan_TensorOf<[AnyTypeOf<[F32, F64]>]>;
def Titan_I32Tensor : Titan_TensorOf<[I32]>;
def Titan_Tensor : Titan_TensorOf<[AnyTypeOf<[Titan_Float, I32]>]>;
def Titan_Scalar : Type<
  And<[Titan_F32Tensor.predicate,
       CPred<"::llvm::cast<::mlir::RankedTensorType>($_self).getRank() == 0">]>,
  "float32 tensor of rank 0", "::mlir::RankedTensorType">;

// A number that depends on the rank, such as that of its first row.
def Titan_Index : Type<
  CPred<"$_self == ::mlir::RankedTensorType::get("
        "{}, ::mlir::IntegerType::get($_self.getContext(), 32))">, "tensor<i32>">,
  BuildableType<"::mlir::RankedTensorType::get({}, $_builder.getI32Type())">;

// Every compute op answers how it is evaluated, what it costs and how it may be sharded.
defvar Titan_ComputeTraits = [
  Pure,
  DeclareOpInterfaceMethods<Titan_CostOpInterface>,
  DeclareOpInterfaceMethods<Titan_ReferenceOpInterface>,
  DeclareOpInterfaceMethods<Titan_ShardingRuleOpInterface>];

class Titan_ComputeOp<string mnemonic, list<Trait> traits = []>
    : Titan_Op<mnemonic, !listconcat(Titan_ComputeTraits, traits)>;

def Titan_Differentiable : DeclareOpInterfaceMethods<Titan_DifferentiableOpInterface>;
// Passes wider cotangents on.
def Titan_DifferentiableWide
    : DeclareOpInterfaceMethods<Titan_DifferentiableOpInterface, ["takesWiderCotangent"]>;
def Titan_Fusible : DeclareOpInterfaceMethods<Titan_FusibleOpInterface>;
// What it computes depends on where, not on operands alone.
def Titan_FusibleByPlace
    : DeclareOpInterfaceMethods<Titan_FusibleOpInterface, ["readsIndices"]>;
def Titan_Decomposable : DeclareOpInterfaceMethods<Titan_DecomposableOpInterface>;
// Computes in the type that the model computes in; `Ruled` says which of its tensors are of it.
def Titan_Precision : DeclareOpInterfaceMethods<Titan_PrecisionOpInterface>;
def Titan_PrecisionRuled
    : DeclareOpInterfaceMethods<Titan_PrecisionOpInterface, ["getPrecisionRule"]>;
def Titan_Partitioned : DeclareOpInterfaceMethods<Titan_PartitionOpInterface>;
def Titan_Chunkable : DeclareOpInterfaceMethods<Titan_ChunkableOpInterface>;
// Emits its own instruction; `Placed` also says where its results live, `Scratch` what memory it needs.
def Titan_Buffered : DeclareOpInterfaceMethods<Titan_BufferingOpInterface>;
def Titan_BufferedScratch
    : DeclareOpInterfaceMethods<Titan_BufferingOpInterface, ["getScratchBytes"]>;
def Titan_BufferedPlaced
    : DeclareOpInterfaceMethods<Titan_BufferingOpInterface, ["getPlacement"]>;

#endif
