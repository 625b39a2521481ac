#ifndef TITAN_OPS_EMBEDDING_TD
#define TITAN_OPS_EMBEDDING_TD

include "dialects/titan/TitanBase.td"

def Titan_EmbeddingOp : Titan_ComputeOp<"embedding", [
    Titan_Differentiable, Titan_Precision, Titan_Buffered, Titan_Partitioned]> {
  let summary = "the table's rows at the tokens";
  let description = [{
    With `from`, the table is a part of the whole one that begins at this row; tokens of other parts
    get zeros.
  }];
  let arguments = (ins Titan_I32Tensor:$tokens, Titan_FloatTensor:$table,
                       Optional<Titan_Index>:$first_row);
  let results = (outs Titan_FloatTensor:$result);
  let assemblyFormat = [{
    $tokens `,` $table (`from` $first_row^)? attr-dict `:` type($tokens) `,` type($table) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Titan_EmbeddingGradOp : Titan_ComputeOp<"embedding_grad",
    [AttrSizedOperandSegments, Titan_BufferedPlaced, Titan_Partitioned]> {
  let summary = "adds each row of dresult to the table gradient's row at its token";
  let description = [{
    The rows start from `acc`, or from zero without it. With `from`, the table is a part of the whole
    one that begins at this row; tokens of other parts are skipped.
  }];
  let arguments = (ins Titan_FloatTensor:$dresult, Titan_I32Tensor:$tokens,
                       Optional<Titan_F32Tensor>:$acc, Optional<Titan_Index>:$first_row);
  let results = (outs Titan_F32Tensor:$dtable);
  let assemblyFormat = [{
    $dresult `,` $tokens (`from` $first_row^)? (`acc` `(` $acc^ `:` type($acc) `)`)? attr-dict
    `:` type($dresult) `,` type($tokens) `->` type($dtable)
  }];
  let hasVerifier = 1;
}

#endif
