#ifndef TITAN_OPS_ELEMENTWISE_TD
#define TITAN_OPS_ELEMENTWISE_TD

include "dialects/titan/TitanBase.td"

defvar Titan_PointwiseTraits = [SameOperandsAndResultType, Titan_Fusible, Titan_Precision];

class Titan_UnaryOp<string mnemonic, list<Trait> traits = []>
    : Titan_ComputeOp<mnemonic, !listconcat(Titan_PointwiseTraits, traits)> {
  let arguments = (ins Titan_FloatTensor:$input);
  let results = (outs Titan_FloatTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($result)";
}

class Titan_BinaryOp<string mnemonic, list<Trait> traits = []>
    : Titan_ComputeOp<mnemonic, !listconcat(Titan_PointwiseTraits, traits)> {
  let arguments = (ins Titan_FloatTensor:$lhs, Titan_FloatTensor:$rhs);
  let results = (outs Titan_FloatTensor:$result);
  let assemblyFormat = "$lhs `,` $rhs attr-dict `:` type($result)";
}

def Titan_AddOp : Titan_BinaryOp<"add", [Commutative, Titan_Differentiable]> {
  let summary = "elementwise sum";
  let hasCanonicalizer = 1;
}
def Titan_SubOp : Titan_BinaryOp<"sub", [Titan_Differentiable]> {
  let summary = "elementwise difference";
}
def Titan_MulOp : Titan_BinaryOp<"mul", [Commutative, Titan_Differentiable]> {
  let summary = "elementwise product";
}
def Titan_DivOp : Titan_BinaryOp<"div", [Titan_Differentiable]> {
  let summary = "elementwise quotient";
}
def Titan_MinimumOp : Titan_BinaryOp<"minimum", [Commutative]> {
  let summary = "elementwise minimum";
}
def Titan_NegOp : Titan_UnaryOp<"neg", [Titan_Differentiable]> {
  let summary = "elementwise negation";
}
def Titan_ExpOp : Titan_UnaryOp<"exp", [Titan_Differentiable]> {
  let summary = "elementwise exponential";
}
def Titan_LogOp : Titan_UnaryOp<"log", [Titan_Differentiable]> {
  let summary = "elementwise natural logarithm";
}
def Titan_SqrtOp : Titan_UnaryOp<"sqrt", [Titan_Differentiable]> {
  let summary = "elementwise square root";
}
def Titan_RsqrtOp : Titan_UnaryOp<"rsqrt", [Titan_Differentiable]> {
  let summary = "elementwise reciprocal square root";
}
def Titan_SiluOp : Titan_UnaryOp<"silu", [Titan_Differentiable]> {
  let summary = "x * sigmoid(x), elementwise";
}
def Titan_SiluGradOp : Titan_BinaryOp<"silu_grad"> {
  let summary = "the derivative of silu at lhs, times rhs";
  let description = "With s = sigmoid(lhs): rhs * s * (1 + lhs * (1 - s)).";
}
def Titan_IsFiniteOp : Titan_UnaryOp<"is_finite"> {
  let summary = "1 where the element is finite, 0 where it is infinite or no number";
}

def Titan_CastOp : Titan_ComputeOp<"cast", [
    SameOperandsAndResultShape, Titan_Fusible, Titan_DifferentiableWide, Titan_PrecisionRuled]> {
  let summary = "conversion to another float type, rounding to nearest even";
  let arguments = (ins Titan_FloatTensor:$input);
  let results = (outs Titan_FloatTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
  let hasFolder = 1;
}

def Titan_FullOp : Titan_ComputeOp<"full", [Titan_Fusible, Titan_Buffered]> {
  let summary = "a tensor whose elements all have one value";
  let arguments = (ins F64Attr:$value);
  let results = (outs Titan_FloatTensor:$result);
  let assemblyFormat = "$value attr-dict `:` type($result)";
}

#endif
