#ifndef TITAN_INTERFACES_COLLECTIVE_TD
#define TITAN_INTERFACES_COLLECTIVE_TD

include "mlir/IR/OpBase.td"

def Titan_CollectiveOpInterface : OpInterface<"CollectiveOpInterface"> {
  let cppNamespace = "::titan";
  let description = [{
    A *grouped* collective: operand i and result i belong together, all exchanged at once among the
    ranks that differ in the named mesh axes alone. Passes that bucket, move and schedule
    collectives, the interpreter and the report know no more than this.
  }];
  let methods = [
    InterfaceMethod<"What is exchanged.", "::titan::CollectiveKind", "getKind">,
    InterfaceMethod<"The mesh axes of the group, outermost first.",
      "::llvm::SmallVector<::mlir::StringAttr>", "getGroupAxes">,
    InterfaceMethod<"The dimension that is gathered or scattered; 0 if none is.",
      "unsigned", "getCollectiveDimension">,
    InterfaceMethod<[{
        Whether the backward has what the forward gathered, instead of gathering it again.
      }],
      "bool", "isKeptForBackward", (ins), [{}], [{ return false; }]>,
    InterfaceMethod<[{
        The same collective of other operands, at the insertion point: how buckets are formed.
      }],
      "::mlir::Operation *", "buildGrouped",
      (ins "::mlir::OpBuilder &":$builder, "::mlir::ValueRange":$operands)>,
    InterfaceMethod<[{
        The titan.start of this collective, at the insertion point; its results have no user yet.
      }],
      "::mlir::Operation *", "buildStart", (ins "::mlir::OpBuilder &":$builder)>,
    InterfaceMethod<[{
        Evaluates operand and result `index` of all ranks of one group: one tensor per rank, in the
        order of the group's coordinates. Results come with their types set.
      }],
      "void", "evaluateGroup",
      (ins "::llvm::ArrayRef<const ::titan::HostTensor *>":$operands,
           "::llvm::ArrayRef<::titan::HostTensor *>":$results)>,
  ];
  let verify = [{ return ::titan::detail::verifyCollective($_op); }];
}

#endif
