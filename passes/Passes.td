// Every pass of Titan, described once; docs/generated/passes.md comes from here.
#ifndef TITAN_PASSES_TD
#define TITAN_PASSES_TD

include "mlir/Pass/PassBase.td"

//===----------------------------------------------------------------------===//
// kernels
//===----------------------------------------------------------------------===//

def FormKernels : Pass<"titan-form-kernels", "::mlir::func::FuncOp"> {
  let summary = "group fusible ops into kernel regions";
  let description = [{
    Replaces composite ops by their programs (DecomposableOpInterface), eliminates common
    subexpressions, and moves every fusible op (FusibleOpInterface) into a `titan.kernel`. A kernel
    is one pass over the rows of its tensors: several phases within a row, such as a residual sum,
    its norm and the normalized row; several results; sums over the rows, combined in a second
    stage together with what is pointwise in the sum. Values that only ops of one kernel read
    become no memory. Broadcasts, one-hot rows and constants are copied into every kernel that reads
    them. Kernels are listed in an order near that of their ops; the same ops give the same kernels.

    An op that is read outside kernels and can be computed by an instruction of its own, such as a
    constant tensor, stays outside.

    Input:
    ```mlir
    %h = titan.add %x, %f : tensor<8x64xf32>
    %y, %rstd = titan.rms_norm %h, %w epsilon 1.0e-5 : tensor<8x64xf32>, tensor<64xf32>
        -> tensor<8x64xf32>, tensor<8xf32>
    return %h, %y : tensor<8x64xf32>, tensor<8x64xf32>
    ```
    Output:
    ```mlir
    %k:2 = titan.kernel (%a = %x, %b = %f, %c = %w)
        : (tensor<8x64xf32>, tensor<8x64xf32>, tensor<64xf32>)
        -> (tensor<8x64xf32>, tensor<8x64xf32>) {
      %h = titan.add %a, %b : tensor<8x64xf32>
      %square = titan.mul %h, %h : tensor<8x64xf32>
      %sum = titan.reduce sum %square [1] : tensor<8x64xf32> -> tensor<8xf32>
      ...
      titan.yield %h, %y : tensor<8x64xf32>, tensor<8x64xf32>
    }
    return %k#0, %k#1 : tensor<8x64xf32>, tensor<8x64xf32>
    ```
  }];
  let dependentDialects = ["::titan::TitanDialect"];
}

#endif
