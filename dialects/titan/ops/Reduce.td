#ifndef TITAN_OPS_REDUCE_TD
#define TITAN_OPS_REDUCE_TD

include "dialects/titan/TitanBase.td"
include "dialects/titan/TitanAttrs.td"

def Titan_ReduceOp : Titan_ComputeOp<"reduce", [
    Titan_Fusible, Titan_Differentiable, Titan_Precision]> {
  let summary = "sum or maximum over dimensions";
  let description = [{
    The dimensions ascend and vanish from the result. Sums are taken in float32 or wider.

    ```mlir
    %s = titan.reduce sum %x [2] : tensor<8x32x64xf32> -> tensor<8x32xf32>
    ```
  }];
  let arguments = (ins Titan_ReductionAttr:$reduction, Titan_FloatTensor:$input,
                       DenseI64ArrayAttr:$dimensions);
  let results = (outs Titan_FloatTensor:$result);
  let assemblyFormat = [{
    $reduction $input $dimensions attr-dict `:` type($input) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Titan_SumOfSquaresOp : Titan_ComputeOp<"sum_of_squares", [
    Titan_Decomposable, Titan_PrecisionRuled]> {
  let summary = "the sum of the squares of all elements of all operands";
  let arguments = (ins Variadic<Titan_FloatTensor>:$inputs);
  let results = (outs Titan_Scalar:$result);
  let assemblyFormat = "$inputs attr-dict `:` type($inputs) `->` type($result)";
  let hasVerifier = 1;
}

#endif
