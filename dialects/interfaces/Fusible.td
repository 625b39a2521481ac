#ifndef TITAN_INTERFACES_FUSIBLE_TD
#define TITAN_INTERFACES_FUSIBLE_TD

include "mlir/IR/OpBase.td"

def Titan_FusibleOpInterface : OpInterface<"FusibleOpInterface"> {
  let cppNamespace = "::titan";
  let description = [{
    An op that is a loop nest over a scalar body: titan-form-kernels groups such ops into kernel
    regions and the emitter turns a region into loops. The op answers which loops it has, which
    element of each operand and result one iteration touches, and what it computes there.

    A body sees and yields scalars of the *compute type* of an element type: f32 for every float
    narrower than f64, else the type itself. Conversion to and from storage is the emitter's, and so
    is rounding what a body yields to its result's element type: what a kernel computes does not
    depend on which ops share it.
  }];
  let methods = [
    InterfaceMethod<[{
        The loops and accesses. Iterations of parallel loops are independent; over reduction loops
        the body's results are combined with the space's combiner, starting from its identity.
      }],
      "::titan::IterationSpace", "getIterationSpace">,
    InterfaceMethod<[{
        Emits the body at the builder's insertion point. `inputs` holds one scalar per input access
        of the iteration space, `indices` one index per loop; returns one scalar per output access.
      }],
      "::llvm::SmallVector<::mlir::Value>", "emitScalarBody",
      (ins "::mlir::OpBuilder &":$builder, "::mlir::ValueRange":$inputs,
           "::mlir::ValueRange":$indices)>,
    InterfaceMethod<[{
        Whether the body uses its indices: the op's dimensions are then not walked as one.
      }],
      "bool", "readsIndices", (ins), "", "return false;">,
  ];
}

def Titan_DecomposableOpInterface : OpInterface<"DecomposableOpInterface"> {
  let cppNamespace = "::titan";
  let description = [{
    An op that is a short program over fusible ops, such as a norm: one row reduction and one
    pointwise pass. titan-form-kernels replaces it by that program before it forms kernels.
  }];
  let methods = [
    InterfaceMethod<"Builds the program at the insertion point and returns one value per result.",
      "::llvm::SmallVector<::mlir::Value>", "decompose",
      (ins "::mlir::OpBuilder &":$builder)>,
  ];
}

#endif
