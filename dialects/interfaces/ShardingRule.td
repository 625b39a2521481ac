#ifndef TITAN_INTERFACES_SHARDINGRULE_TD
#define TITAN_INTERFACES_SHARDINGRULE_TD

include "mlir/IR/OpBase.td"

def Titan_ShardingRuleOpInterface : OpInterface<"ShardingRuleOpInterface"> {
  let cppNamespace = "::titan";
  let description = [{
    How the dimensions of an op's operands and results belong together: each dimension is a product
    of factors, and dimensions that share a factor can be split along it together. Propagation
    works on factors alone and never asks for the op's name.
  }];
  let methods = [
    InterfaceMethod<"The op's factors.", "::titan::ShardingRule", "getShardingRule">,
  ];
}

#endif
