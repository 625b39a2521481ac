#ifndef TITAN_OPS_EINSUM_TD
#define TITAN_OPS_EINSUM_TD

include "dialects/titan/TitanBase.td"

def Titan_EinsumOp : Titan_ComputeOp<"einsum",
    [Titan_Differentiable, Titan_Precision, Titan_BufferedPlaced]> {
  let summary = "the one contraction";
  let description = [{
    Multiplies two tensors and sums over the letters that the result lacks, in float32 or wider;
    with `acc`, the sum is added to that tensor.

    Every letter belongs to one of four groups: *batch* (in both operands and the result), *M*
    (left operand and result), *N* (right operand and result), *K* (both operands). In each tensor
    the letters of a group stand together, in the same order everywhere, and the batch letters
    first, so that the op is one (strided-batch) matrix product with at most a transpose flag per
    operand; the result is batch, M, N.

    ```mlir
    %y = titan.einsum "bsd,nd->bsn" %x, %w : tensor<8x32x64xf32>, tensor<96x64xf32> -> tensor<8x32x96xf32>
    %g = titan.einsum "bsn,bsd->nd" %dy, %x acc(%g0) : ... -> tensor<96x64xf32>
    ```
  }];
  let arguments = (ins StrAttr:$equation, Titan_FloatTensor:$lhs, Titan_FloatTensor:$rhs,
                       Optional<Titan_FloatTensor>:$acc);
  let results = (outs Titan_FloatTensor:$result);
  let assemblyFormat = [{
    $equation $lhs `,` $rhs (`acc` `(` $acc^ `:` type($acc) `)`)? attr-dict
    `:` type($lhs) `,` type($rhs) `->` type($result)
  }];
  let extraClassDeclaration = [{
    ::titan::RerunChoice getRerunChoice() { return ::titan::RerunChoice::keepEveryOther; }
  }];
  let hasVerifier = 1;
}

#endif
