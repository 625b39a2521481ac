#ifndef TITAN_INTERFACES_PRECISION_TD
#define TITAN_INTERFACES_PRECISION_TD

include "mlir/IR/OpBase.td"

def Titan_PrecisionOpInterface : OpInterface<"PrecisionOpInterface"> {
  let cppNamespace = "::titan";
  let description = [{
    An op that can compute on a narrower element type than float32. What is summed or exponentiated
    inside is float32 all the same, and so are statistics and losses: they are no tensors of the
    compute type.
  }];
  let methods = [
    InterfaceMethod<[{
        Which of the float operands and results have the element type that the model computes in. By
        default all of them.
      }],
      "::titan::PrecisionRule", "getPrecisionRule", (ins), [{}], [{
        return ::titan::PrecisionRule::all($_op);
      }]>,
  ];
}

#endif
