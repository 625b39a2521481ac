#ifndef TITAN_INTERFACES_PARTITION_TD
#define TITAN_INTERFACES_PARTITION_TD

include "mlir/IR/OpBase.td"

def Titan_PartitionOpInterface : OpInterface<"PartitionOpInterface"> {
  let cppNamespace = "::titan";
  let description = [{
    An op that builds its own local form, on a rank's parts of its operands. For ops that mean
    something else on a part: rows or classes are numbered, or the ranks exchange something on the
    way. All others are partitioned by their factors: the same op on local types
    (buildLocalByFactors).
  }];
  let methods = [
    InterfaceMethod<[{
        Builds the op's local form at the builder's insertion point and appends one value per result, of
        its local type. The layouts of operands and results fit the op's factors.
      }],
      "::llvm::LogicalResult", "buildLocal",
      (ins "::titan::PartitionContext &":$context, "::mlir::ValueRange":$operands,
           "::llvm::SmallVectorImpl<::mlir::Value> &":$results)>,
  ];
}

#endif
