#ifndef TITAN_OPS_OPTIMIZER_TD
#define TITAN_OPS_OPTIMIZER_TD

include "dialects/titan/TitanBase.td"

def Titan_AdamUpdateOp : Titan_ComputeOp<"adam_update", [
    Titan_Fusible,
    AllShapesMatch<["parameter", "gradient", "exp_avg", "exp_avg_sq"]>,
    AllTypesMatch<["parameter", "new_parameter"]>,
    AllTypesMatch<["exp_avg", "new_exp_avg"]>,
    AllTypesMatch<["exp_avg_sq", "new_exp_avg_sq"]>]> {
  let summary = "one step of Adam or AdamW";
  let description = [{
    With g = gradient * gradient_scale (plus weight_decay * parameter unless `decoupled`):
    m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g g;
    p = p (1 - lr weight_decay if `decoupled`) - lr (m / bias_correction1) /
    (sqrt(v / bias_correction2) + epsilon), where bias_correction_i = 1 - beta_i^t.
    Where `finite` is 0 the results are the old values. (Kingma and Ba 2015; Loshchilov and Hutter
    2019.)

    The moments' rates are operands as 1 - beta: for a beta near 1 that has the digits which float32
    loses in the difference.
  }];
  let arguments = (ins Titan_F32Tensor:$parameter, Titan_F32Tensor:$gradient,
                       Titan_F32Tensor:$exp_avg, Titan_F32Tensor:$exp_avg_sq,
                       Titan_Scalar:$lr, Titan_Scalar:$gradient_scale,
                       Titan_Scalar:$bias_correction1, Titan_Scalar:$bias_correction2,
                       Titan_Scalar:$finite,
                       Titan_Scalar:$one_minus_beta1, Titan_Scalar:$one_minus_beta2,
                       Titan_Scalar:$epsilon, Titan_Scalar:$weight_decay,
                       UnitAttr:$decoupled);
  let results = (outs Titan_F32Tensor:$new_parameter, Titan_F32Tensor:$new_exp_avg,
                      Titan_F32Tensor:$new_exp_avg_sq);
  let assemblyFormat = [{
    $parameter `,` $gradient `,` $exp_avg `,` $exp_avg_sq `lr` $lr `scale` $gradient_scale
    `bias_corrections` $bias_correction1 `,` $bias_correction2 `finite` $finite
    `one_minus_betas` $one_minus_beta1 `,` $one_minus_beta2 `epsilon` $epsilon
    `weight_decay` $weight_decay attr-dict `:` type($parameter) `,` type($gradient) `,` type($exp_avg) `,` type($exp_avg_sq)
    `,` type($lr) `,` type($gradient_scale) `,` type($bias_correction1) `,`
    type($bias_correction2) `,` type($finite) `,` type($one_minus_beta1) `,`
    type($one_minus_beta2) `,` type($epsilon) `,` type($weight_decay)
  }];
}

#endif
