#ifndef TITAN_OPS_EMBEDDING_TD
#define TITAN_OPS_EMBEDDING_TD

include "dialects/titan/TitanBase.td"

def Titan_EmbeddingOp : Titan_ComputeOp<"embedding", [Titan_Differentiable, Titan_Buffered]> {
  let summary = "the table's rows at the tokens";
  let arguments = (ins Titan_I32Tensor:$tokens, Titan_FloatTensor:$table);
  let results = (outs Titan_FloatTensor:$result);
  let assemblyFormat = [{
    $tokens `,` $table attr-dict `:` type($tokens) `,` type($table) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Titan_EmbeddingGradOp : Titan_ComputeOp<"embedding_grad",
    [Titan_BufferedPlaced]> {
  let summary = "adds each row of dresult to the table gradient's row at its token";
  let description = "The rows start from `acc`, or from zero without it.";
  let arguments = (ins Titan_FloatTensor:$dresult, Titan_I32Tensor:$tokens,
                       Optional<Titan_F32Tensor>:$acc);
  let results = (outs Titan_F32Tensor:$dtable);
  let assemblyFormat = [{
    $dresult `,` $tokens (`acc` `(` $acc^ `:` type($acc) `)`)? attr-dict
    `:` type($dresult) `,` type($tokens) `->` type($dtable)
  }];
  let hasVerifier = 1;
}

#endif
