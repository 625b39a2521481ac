#ifndef TITAN_OPS_ATTENTION_TD
#define TITAN_OPS_ATTENTION_TD

include "dialects/titan/TitanBase.td"

def Titan_RopeOp : Titan_ComputeOp<"rope", [
    Titan_Fusible, Titan_Differentiable, Titan_PrecisionRuled]> {
  let summary = "rotary position embedding over adjacent pairs";
  let description = [{
    Turns each pair (x[2i], x[2i + 1]) of the last dimension of [batch, sequence, heads, dim] by the
    angle whose cosine and sine stand at [sequence, i] of the tables, or at [batch, sequence, i]
    when positions differ between rows; `inverse` turns back. (Su et al. 2021.)
  }];
  let arguments = (ins Titan_FloatTensor:$input, Titan_F32Tensor:$cosine, Titan_F32Tensor:$sine,
                       UnitAttr:$inverse);
  let results = (outs Titan_FloatTensor:$result);
  let assemblyFormat = [{
    (`inverse` $inverse^)? $input `,` $cosine `,` $sine attr-dict
    `:` type($input) `,` type($cosine) `,` type($sine) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Titan_AttentionOp : Titan_ComputeOp<"attention",
    [AttrSizedOperandSegments, Titan_Differentiable, Titan_PrecisionRuled, Titan_Buffered]> {
  let summary = "scaled dot-product attention with grouped queries";
  let description = [{
    query [batch, queries, heads, dim], key and value [batch, keys, kv_heads, dim]; heads is a
    multiple of kv_heads, and head h reads kv head h / (heads / kv_heads). With `causal` a query
    sees the keys whose position is not above its own; positions are 0, 1, ... unless the two
    position tensors [batch, queries] and [batch, keys] say otherwise. Also returns the natural
    logarithm of the sum of exponentials of each query's scores, [batch, heads, queries].
    (Vaswani et al. 2017; Ainslie et al. 2023, grouped queries; Dao et al. 2022, log-sum-exp.)
  }];
  let arguments = (ins Titan_FloatTensor:$query, Titan_FloatTensor:$key, Titan_FloatTensor:$value,
                       Optional<Titan_I32Tensor>:$query_positions,
                       Optional<Titan_I32Tensor>:$key_positions,
                       F64Attr:$scale, UnitAttr:$causal);
  let results = (outs Titan_FloatTensor:$result, Titan_F32Tensor:$lse);
  let assemblyFormat = [{
    (`causal` $causal^)? $query `,` $key `,` $value
    (`positions` `(` $query_positions^ `,` $key_positions `:` type($query_positions) `,`
    type($key_positions) `)`)? `scale` $scale attr-dict
    `:` type($query) `,` type($key) `,` type($value) `->` type($result) `,` type($lse)
  }];
  let extraClassDeclaration = [{
    ::titan::RerunChoice getRerunChoice() { return ::titan::RerunChoice::keep; }
  }];
  let hasVerifier = 1;
}

def Titan_AttentionGradOp : Titan_ComputeOp<"attention_grad",
    [AttrSizedOperandSegments, Titan_BufferedScratch]> {
  let summary = "gradients of attention with respect to query, key and value";
  let arguments = (ins Titan_FloatTensor:$query, Titan_FloatTensor:$key, Titan_FloatTensor:$value,
                       Optional<Titan_I32Tensor>:$query_positions,
                       Optional<Titan_I32Tensor>:$key_positions,
                       Titan_FloatTensor:$result, Titan_F32Tensor:$lse,
                       Titan_FloatTensor:$dresult, F64Attr:$scale, UnitAttr:$causal);
  let results = (outs Titan_FloatTensor:$dquery, Titan_FloatTensor:$dkey,
                      Titan_FloatTensor:$dvalue);
  let assemblyFormat = [{
    (`causal` $causal^)? $query `,` $key `,` $value
    (`positions` `(` $query_positions^ `,` $key_positions `:` type($query_positions) `,`
    type($key_positions) `)`)?
    `result` $result `,` $lse `dresult` $dresult `scale` $scale attr-dict
    `:` type($query) `,` type($key) `,` type($value) `,` type($result) `,` type($lse) `,`
    type($dresult) `->` type($dquery) `,` type($dkey) `,` type($dvalue)
  }];
  let hasVerifier = 1;
}

#endif
