#ifndef TITAN_INTERFACES_DIFFERENTIABLE_TD
#define TITAN_INTERFACES_DIFFERENTIABLE_TD

include "mlir/IR/OpBase.td"

def Titan_DifferentiableOpInterface : OpInterface<"DifferentiableOpInterface"> {
  let cppNamespace = "::titan";
  let description = [{
    An op with a vector-Jacobian product. Whatever values of the forward pass the product uses
    become residuals: an op keeps few by using its operands rather than its results, or a gradient
    op that computes them again.
  }];
  let methods = [
    InterfaceMethod<[{
        Builds the product at the insertion point. `cotangents` has one value per result, null where
        nothing depends on it. `result.operands` gets one value per operand, null where the operand
        has no derivative (integers) or `needed` does not ask for it. An op whose gradient op
        computes its results anyway may name them in `result.results`: uses of the forward results
        that come after are then taken from there, so that the op itself runs only once.
      }],
      "::llvm::LogicalResult", "buildVjp",
      (ins "::mlir::OpBuilder &":$builder, "::llvm::ArrayRef<::mlir::Value>":$cotangents,
           "const ::llvm::BitVector &":$needed, "::titan::Vjp &":$result)>,
    InterfaceMethod<[{
        Whether the op only moves or converts elements, so that buildVjp also takes a cotangent with
        wider elements than the result's and answers in the type that is asked for. What is
        accumulated for such a result is then rounded nowhere: the gradient of a parameter that is
        read as a bfloat16 copy is summed in float32, over uses and ranks.
      }],
      "bool", "takesWiderCotangent", (ins), [{}], [{ return false; }]>,
  ];
}

#endif
