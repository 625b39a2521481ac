#ifndef TITAN_OPS_LOSS_TD
#define TITAN_OPS_LOSS_TD

include "dialects/titan/TitanBase.td"

def Titan_CrossEntropyOp : Titan_ComputeOp<"cross_entropy", [
    Titan_Decomposable, Titan_PrecisionRuled, Titan_Partitioned]> {
  let summary = "sum of the cross entropies of the rows of logits";
  let description = [{
    logits [rows, classes], labels [rows]. Rows with a negative label are ignored: they add nothing
    to the loss nor to the number of valid rows. With `num_classes`, columns from there on are padding:
    they are no classes, whatever they hold.
  }];
  let arguments = (ins Titan_FloatTensor:$logits, Titan_I32Tensor:$labels,
                       OptionalAttr<I64Attr>:$num_classes);
  let results = (outs Titan_Scalar:$loss, Titan_Scalar:$valid);
  let assemblyFormat = "$logits `,` $labels attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

def Titan_CrossEntropyGradOp : Titan_ComputeOp<"cross_entropy_grad",
    [Titan_Decomposable, Titan_Partitioned]> {
  let summary = "cross entropy together with its gradient with respect to the logits";
  let description = [{
    dlogits = (softmax(logits) - one_hot(label)) * dloss in valid rows, else 0; 0 in padding.
  }];
  let arguments = (ins Titan_FloatTensor:$logits, Titan_I32Tensor:$labels, Titan_Scalar:$dloss,
                       OptionalAttr<I64Attr>:$num_classes);
  let results = (outs Titan_Scalar:$loss, Titan_Scalar:$valid, Titan_FloatTensor:$dlogits);
  let assemblyFormat = "$logits `,` $labels `,` $dloss attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

def Titan_HeadLossOp : Titan_ComputeOp<"head_loss", [
    Titan_Differentiable, Titan_PrecisionRuled, Titan_Chunkable, Titan_Partitioned]> {
  let summary = "output projection and cross entropy in one op";
  let description = [{
    input [.., dim], weight [classes, dim], labels [..]: the logits are input times weight
    transposed; the results are those of cross_entropy. The op exists so that the logits of a whole
    microbatch never do: titan-chunk-loss unrolls it over chunks of tokens.

    On a rank that has a part of the classes, `classes from` names the first of them and the mesh
    axes that split them. Ranks exchange maxima and sums of each token's row, so that the results
    are whole. With `whole_logits` they exchange the logits instead, of one chunk of tokens at a
    time, and each computes the loss of all classes.

    With `num_classes`, rows of the whole weight from there on are padding, so that ranks have equally
    many: they take no part in the loss, and their gradients are 0. They have to be finite.
  }];
  let arguments = (ins Titan_FloatTensor:$input, Titan_FloatTensor:$weight,
                       Titan_I32Tensor:$labels, Optional<Titan_Index>:$first_class,
                       OptionalAttr<StrArrayAttr>:$class_axes, UnitAttr:$whole_logits,
                       OptionalAttr<I64Attr>:$num_classes);
  let results = (outs Titan_Scalar:$loss, Titan_Scalar:$valid);
  let assemblyFormat = [{
    $input `,` $weight `,` $labels
    (`classes` `from` $first_class^ `over` custom<AxisNames>($class_axes))?
    (`whole_logits` $whole_logits^)? attr-dict
    `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def Titan_HeadLossGradOp : Titan_ComputeOp<"head_loss_grad", [Titan_Chunkable, Titan_Partitioned]> {
  let summary = "head_loss together with the gradients of its input and weight";
  let description = [{
    On a rank that has a part of the classes (see head_loss) dinput is the rank's addend: the sum
    over the class axes is the gradient.
  }];
  let arguments = (ins Titan_FloatTensor:$input, Titan_FloatTensor:$weight,
                       Titan_I32Tensor:$labels, Titan_Scalar:$dloss,
                       Optional<Titan_Index>:$first_class, OptionalAttr<StrArrayAttr>:$class_axes,
                       UnitAttr:$whole_logits, OptionalAttr<I64Attr>:$num_classes);
  let results = (outs Titan_Scalar:$loss, Titan_Scalar:$valid, Titan_FloatTensor:$dinput,
                      Titan_F32Tensor:$dweight);
  let assemblyFormat = [{
    $input `,` $weight `,` $labels `,` $dloss
    (`classes` `from` $first_class^ `over` custom<AxisNames>($class_axes))?
    (`whole_logits` $whole_logits^)? attr-dict
    `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

#endif
