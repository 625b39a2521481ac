#ifndef TITAN_INTERFACES_COST_TD
#define TITAN_INTERFACES_COST_TD

include "mlir/IR/OpBase.td"

def Titan_CostOpInterface : OpInterface<"CostOpInterface"> {
  let cppNamespace = "::titan";
  let description = [{
    What an op costs: floating-point operations and bytes moved, from static shapes. Reports, the
    choice of what to recompute and the search for plans ask for it.
  }];
  let methods = [
    InterfaceMethod<"Floating-point operations; a multiply-add counts as two.",
      "int64_t", "getFlops">,
    InterfaceMethod<"Bytes read from memory when the op runs alone.",
      "int64_t", "getBytesRead", (ins), [{}], [{
        return ::titan::detail::sumOfBytes($_op->getOperandTypes());
      }]>,
    InterfaceMethod<"Bytes written to memory when the op runs alone.",
      "int64_t", "getBytesWritten", (ins), [{}], [{
        return ::titan::detail::sumOfBytes($_op->getResultTypes());
      }]>,
    InterfaceMethod<[{
        What selective activation checkpointing by op does: what is expensive for its size is kept.
      }],
      "::titan::RerunChoice", "getRerunChoice", (ins), [{}], [{
        return ::titan::RerunChoice::rerun;
      }]>,
  ];
}

#endif
