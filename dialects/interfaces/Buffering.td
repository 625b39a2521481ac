#ifndef TITAN_INTERFACES_BUFFERING_TD
#define TITAN_INTERFACES_BUFFERING_TD

include "mlir/IR/OpBase.td"

def Titan_BufferingOpInterface : OpInterface<"BufferingOpInterface"> {
  let cppNamespace = "::titan";
  let description = [{
    Where an op's results may or must live, and the instruction that computes them there.
    titan-plan-memory gives every tensor a buffer by these answers.
  }];
  let methods = [
    InterfaceMethod<[{
        How result `result` relates to the operands' memory.
      }],
      "::titan::ResultPlacement", "getPlacement", (ins "unsigned":$result), [{}], [{
        return ::titan::ResultPlacement::fresh();
      }]>,
    InterfaceMethod<[{
        Bytes of scratch memory that the instruction is given on a GPU of that compute capability
        (90: 9.0), or on CPUs (0).
      }],
      "int64_t", "getScratchBytes", (ins "int64_t":$computeCapability), [{}], [{ return 0; }]>,
    InterfaceMethod<[{
        Appends the instructions that compute the results: `operands` and `results` are exec
        buffers, dense, in the order of the op's operands and results; scratch memory, if the op has
        any, is the last of `operands`. An op whose result is a view
        of an operand (or whose operands are views of its result) emits nothing.
      }],
      "::llvm::LogicalResult", "emitInstructions",
      (ins "::mlir::OpBuilder &":$builder, "::mlir::ValueRange":$operands,
           "::mlir::ValueRange":$results)>,
  ];
}

#endif
