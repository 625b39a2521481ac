#ifndef TITAN_INTERFACES_REFERENCE_TD
#define TITAN_INTERFACES_REFERENCE_TD

include "mlir/IR/OpBase.td"

def Titan_ReferenceOpInterface : OpInterface<"ReferenceOpInterface"> {
  let cppNamespace = "::titan";
  let description = [{
    An op that evaluates itself on host arrays of doubles: the meaning of the op, against which
    every pass, kernel and back end is compared. Written for clarity, not speed.
  }];
  let methods = [
    InterfaceMethod<[{
        Computes the results from the operands. `results` come with their types set and values
        zero. Rounding to the results' element types is the interpreter's, not the op's.
      }],
      "::llvm::LogicalResult", "evaluate",
      (ins "::titan::ReferenceContext &":$context,
           "::llvm::ArrayRef<const ::titan::HostTensor *>":$operands,
           "::llvm::MutableArrayRef<::titan::HostTensor>":$results)>,
  ];
}

#endif
