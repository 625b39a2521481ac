#ifndef TITAN_ATTRS_TD
#define TITAN_ATTRS_TD

include "dialects/titan/TitanBase.td"

def Titan_RoleAttr : I32EnumAttr<"Role", "what a variable is for", [
    I32EnumAttrCase<"parameter", 0>,
    I32EnumAttrCase<"optimizer_state", 1>,
    I32EnumAttrCase<"gradient", 2>,
    I32EnumAttrCase<"derived", 3>,
    I32EnumAttrCase<"counter", 4>,
    I32EnumAttrCase<"input", 5>,
    I32EnumAttrCase<"output", 6>]> {
  let cppNamespace = "::titan";
  let description = [{
    A *parameter* is trained, an *optimizer_state* is kept between steps beside it, a *gradient* is
    summed over a step's microbatches, a *derived* value is computed once from constants. The host
    writes an *input* before a step and reads an *output* after it; a *counter* lives as long as
    the parameters.
  }];
}

def Titan_ReductionAttr : I32EnumAttr<"Reduction", "how elements are combined", [
    I32EnumAttrCase<"sum", 0>,
    I32EnumAttrCase<"max", 1>]> {
  let cppNamespace = "::titan";
}

def Titan_RopeComponentAttr : I32EnumAttr<"RopeComponent", "cosine or sine", [
    I32EnumAttrCase<"cosine", 0>,
    I32EnumAttrCase<"sine", 1>]> {
  let cppNamespace = "::titan";
}

// A float64 value, printed so that it parses back to the same bits.
def Titan_Double : APFloatParameter<""> {
  let parser = [{
    [&]() -> ::mlir::FailureOr<::llvm::APFloat> {
      double value;
      if ($_parser.parseFloat(value))
        return ::mlir::failure();
      return ::llvm::APFloat(value);
    }()
  }];
  let printer = "$_printer.printFloat($_self)";
}

def Titan_ConstantInit : Titan_Attr<"ConstantInit", "constant"> {
  let summary = "every element has one value";
  let parameters = (ins Titan_Double:$value);
  let builders = [AttrBuilder<(ins "double":$value), [{
    return $_get($_ctxt, ::llvm::APFloat(value));
  }]>];
  let assemblyFormat = "`<` $value `>`";
}

def Titan_NormalInit : Titan_Attr<"NormalInit", "normal"> {
  let summary = "independent normal samples";
  let parameters = (ins Titan_Double:$mean, Titan_Double:$std);
  let builders = [AttrBuilder<(ins "double":$mean, "double":$std), [{
    return $_get($_ctxt, ::llvm::APFloat(mean), ::llvm::APFloat(std));
  }]>];
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

def Titan_TruncatedNormalInit : Titan_Attr<"TruncatedNormalInit", "truncated_normal"> {
  let summary = "normal samples conditioned on lying in [lower, upper]";
  let description = "The cuts are absolute values, as in PyTorch's trunc_normal_.";
  let parameters = (ins Titan_Double:$mean, Titan_Double:$std, Titan_Double:$lower, Titan_Double:$upper);
  let builders = [AttrBuilder<(ins "double":$mean, "double":$std, "double":$lower, "double":$upper), [{
    return $_get($_ctxt, ::llvm::APFloat(mean), ::llvm::APFloat(std), ::llvm::APFloat(lower), ::llvm::APFloat(upper));
  }]>];
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

def Titan_RopeTableInit : Titan_Attr<"RopeTableInit", "rope_table"> {
  let summary = "cosines or sines of rotary position angles";
  let description = [{
    Element (p, i) of a tensor [positions, pairs] is the cosine or sine of p times the frequency
    theta^(-i / pairs), scaled as in Llama 3.1: wavelengths above original_length /
    low_frequency are divided by `factor`, those below original_length / high_frequency kept, and
    the frequencies between interpolated. A factor of 1 scales nothing. (Su et al. 2021, RoFormer.)
  }];
  let parameters = (ins "::titan::RopeComponent":$component, Titan_Double:$theta, Titan_Double:$factor,
                        Titan_Double:$low_frequency, Titan_Double:$high_frequency,
                        Titan_Double:$original_length);
  let builders = [AttrBuilder<(ins "::titan::RopeComponent":$component, "double":$theta, "double":$factor, "double":$low_frequency, "double":$high_frequency, "double":$original_length), [{
    return $_get($_ctxt, component, ::llvm::APFloat(theta), ::llvm::APFloat(factor), ::llvm::APFloat(low_frequency), ::llvm::APFloat(high_frequency), ::llvm::APFloat(original_length));
  }]>];
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

#endif
