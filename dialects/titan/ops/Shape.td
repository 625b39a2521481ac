#ifndef TITAN_OPS_SHAPE_TD
#define TITAN_OPS_SHAPE_TD

include "dialects/titan/TitanBase.td"

def Titan_ReshapeOp : Titan_ComputeOp<"reshape", [
    Titan_DifferentiableWide, Titan_Precision, Titan_BufferedPlaced]> {
  let summary = "the same elements in the same order under another shape";
  let arguments = (ins Titan_Tensor:$input);
  let results = (outs Titan_Tensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
  let hasFolder = 1;
}

def Titan_SliceOp : Titan_ComputeOp<"slice", [Titan_Precision, Titan_BufferedPlaced]> {
  let summary = "rows [offset, offset + n) of the first dimension";
  let arguments = (ins Titan_Tensor:$input, I64Attr:$offset);
  let results = (outs Titan_Tensor:$result);
  let assemblyFormat = "$input `at` $offset attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

def Titan_ConcatOp : Titan_ComputeOp<"concat", [
    Titan_Differentiable, Titan_Precision, Titan_BufferedPlaced]> {
  let summary = "tensors one after another along the first dimension";
  let arguments = (ins Variadic<Titan_Tensor>:$inputs);
  let results = (outs Titan_Tensor:$result);
  let assemblyFormat = "$inputs attr-dict `:` type($inputs) `->` type($result)";
  let hasVerifier = 1;
}

def Titan_BroadcastOp : Titan_ComputeOp<"broadcast", [
    Titan_Fusible, Titan_Differentiable, Titan_Precision]> {
  let summary = "repeats a tensor along new dimensions";
  let description = [{
    Dimension i of the input is dimension dimensions[i] of the result; the list ascends.

    ```mlir
    %b = titan.broadcast %w [2] : tensor<64xf32> -> tensor<8x32x64xf32>
    ```
  }];
  let arguments = (ins Titan_Tensor:$input, DenseI64ArrayAttr:$dimensions);
  let results = (outs Titan_Tensor:$result);
  let assemblyFormat = "$input $dimensions attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

def Titan_TransposeOp : Titan_ComputeOp<"transpose", [
    Titan_Fusible, Titan_Differentiable, Titan_Precision]> {
  let summary = "dimensions in another order";
  let description = "Dimension i of the result is dimension permutation[i] of the input.";
  let arguments = (ins Titan_FloatTensor:$input, DenseI64ArrayAttr:$permutation);
  let results = (outs Titan_FloatTensor:$result);
  let assemblyFormat = "$input $permutation attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

def Titan_OneHotOp : Titan_ComputeOp<"one_hot", [Titan_FusibleByPlace]> {
  let summary = "1 where the index along the new last dimension equals the label, else 0";
  let description = "With `from`, indices count from there: the dimension is a part of a longer one.";
  let arguments = (ins Titan_I32Tensor:$labels, Optional<Titan_Index>:$first);
  let results = (outs Titan_FloatTensor:$result);
  let assemblyFormat = [{
    $labels (`from` $first^)? attr-dict `:` type($labels) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Titan_MaskColumnsOp : Titan_ComputeOp<"mask_columns", [
    AllTypesMatch<["input", "result"]>, Titan_FusibleByPlace]> {
  let summary = "the input with `value` in the columns of its last dimension from `end` on";
  let description = [{
    With `from`, columns count from there: the dimension is a part of a longer one.

    ```mlir
    %m = titan.mask_columns %x from %first end 2047 value -1.0e+30 : tensor<64x1024xf32>
    ```
  }];
  let arguments = (ins Titan_FloatTensor:$input, Optional<Titan_Index>:$first, I64Attr:$end,
                       F64Attr:$value);
  let results = (outs Titan_FloatTensor:$result);
  let assemblyFormat = [{
    $input (`from` $first^)? `end` $end `value` $value attr-dict `:` type($input)
  }];
  let hasVerifier = 1;
}

def Titan_IsValidOp : Titan_ComputeOp<"is_valid", [SameOperandsAndResultShape, Titan_Fusible]> {
  let summary = "1 where the label is not negative, 0 where it is to be ignored";
  let arguments = (ins Titan_I32Tensor:$labels);
  let results = (outs Titan_FloatTensor:$result);
  let assemblyFormat = "$labels attr-dict `:` type($labels) `->` type($result)";
}

#endif
