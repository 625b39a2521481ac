#ifndef TITAN_OPS_NORM_TD
#define TITAN_OPS_NORM_TD

include "dialects/titan/TitanBase.td"

def Titan_RmsNormOp : Titan_ComputeOp<"rms_norm", [
    Titan_Decomposable, Titan_Differentiable, Titan_PrecisionRuled]> {
  let summary = "root mean square normalization of the last dimension";
  let description = [{
    y = x * rstd * weight with rstd = 1 / sqrt(mean(x * x) + epsilon), computed in float32; also
    returns rstd, one value per row. (Zhang and Sennrich 2019.)
  }];
  let arguments = (ins Titan_FloatTensor:$input, Titan_FloatTensor:$weight, F64Attr:$epsilon);
  let results = (outs Titan_FloatTensor:$result, Titan_F32Tensor:$rstd);
  let assemblyFormat = [{
    $input `,` $weight `epsilon` $epsilon attr-dict
    `:` type($input) `,` type($weight) `->` type($result) `,` type($rstd)
  }];
  let hasVerifier = 1;
}

def Titan_RmsNormGradOp : Titan_ComputeOp<"rms_norm_grad", [Titan_Decomposable]> {
  let summary = "gradients of rms_norm with respect to its input and weight";
  let arguments = (ins Titan_FloatTensor:$dresult, Titan_FloatTensor:$input,
                       Titan_FloatTensor:$weight, Titan_F32Tensor:$rstd);
  let results = (outs Titan_FloatTensor:$dinput, Titan_F32Tensor:$dweight);
  let assemblyFormat = [{
    $dresult `,` $input `,` $weight `,` $rstd attr-dict
    `:` type($dresult) `,` type($input) `,` type($weight) `,` type($rstd)
    `->` type($dinput) `,` type($dweight)
  }];
  let hasVerifier = 1;
}

#endif
