#ifndef TITAN_OPS_MAP_TD
#define TITAN_OPS_MAP_TD

include "dialects/titan/TitanBase.td"

def Titan_MapOp : Titan_ComputeOp<"map", [
    IsolatedFromAbove, SingleBlockImplicitTerminator<"YieldOp">,
    Titan_Fusible, Titan_Differentiable, Titan_Precision]> {
  let summary = "a scalar function of one's own, applied to every element";
  let description = [{
    Operands have the results' shape, or rank 0: then every element sees their one value. The region
    has a scalar argument per operand and yields a scalar per result, in the type that kernels
    compute in: f32 for every float up to 32 bits, else f64.

    ```mlir
    // Squared ReLU of a times b.
    %y = titan.map (%x = %a, %s = %b) : (tensor<8x64xf32>, tensor<f32>) -> tensor<8x64xf32> {
      %zero = arith.constant 0.0 : f32
      %r = arith.maximumf %x, %zero : f32
      %q = arith.mulf %r, %r : f32
      %p = arith.mulf %q, %s : f32
      titan.yield %p : f32
    }
    ```

    The region may hold arith.constant, addf, subf, mulf, divf, negf, minimumf, maximumf, cmpf and
    select, and math.absf, exp, log, sqrt, tanh and erf. What it computes is differentiated, fused,
    sharded, cast and interpreted like a built-in op. Where a function has a corner, its derivative
    is that of one side: of minimumf and maximumf the first operand's if both are equal, of absf 0;
    a comparison has none.
  }];
  let arguments = (ins Variadic<Titan_FloatTensor>:$inputs);
  let results = (outs Variadic<Titan_FloatTensor>:$results);
  let regions = (region SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let hasRegionVerifier = 1;
}

#endif
