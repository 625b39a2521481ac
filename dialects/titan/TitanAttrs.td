#ifndef TITAN_ATTRS_TD
#define TITAN_ATTRS_TD

include "dialects/titan/TitanBase.td"
include "mlir/IR/TensorEncoding.td"

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
    summed over a step's microbatches, a *derived* value is computed from others. The host
    writes an *input* before a step and reads an *output* after it; a *counter* lives as long as
    the parameters.
  }];
}

def Titan_ReductionAttr : I32EnumAttr<"Reduction", "how elements are combined", [
    I32EnumAttrCase<"sum", 0>,
    I32EnumAttrCase<"max", 1>]> {
  let cppNamespace = "::titan";
}

def Titan_CollectiveAttr : I32EnumAttr<"Collective", "what ranks exchange", [
    I32EnumAttrCase<"all_gather", 0>,
    I32EnumAttrCase<"reduce_scatter", 1>,
    I32EnumAttrCase<"all_reduce", 2>]> {
  let cppNamespace = "::titan";
  let description = "The values are those of CollectiveKind, by which passes know collectives.";
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

def Titan_AxisIndexInit : Titan_Attr<"AxisIndexInit", "axis_index"> {
  let summary = "the rank's coordinate, times a factor";
  let description = [{
    The rank's linear coordinate in the named mesh axes, the first one outermost, times `scale`.
    Programs are the same on all ranks; what depends on the rank is a variable that starts like
    this: `#titan.axis_index<{tp} times 512>` is 0, 512, ... along the axis tp.
  }];
  let parameters = (ins ArrayRefParameter<"::mlir::StringAttr">:$axes, "int64_t":$scale);
  let hasCustomAssemblyFormat = 1;
}

def Titan_ShardingAttr : Titan_Attr<"Sharding", "sharding",
    [DeclareAttrInterfaceMethods<VerifiableTensorEncoding>]> {
  let summary = "how a tensor is laid out over a mesh";
  let description = [{
    The encoding of a tensor's type, whose shape stays the global one. Per dimension the mesh axes
    that split it, outermost first; an axis splits one dimension at most. The value is the sum over
    the coordinates of the `partial` axes of what the ranks hold. Along all other axes ranks hold
    the same.

    A `flat` tensor is storage: what the dimensions' axes leave to a rank is laid out row by row,
    padded and cut into equal slices, one for each coordinate of the flat axes; slices are multiples
    of `granule` elements.

    ```mlir
    tensor<8x512x256xf32, #titan.sharding<[{dp_shard}, {tp}, {} ]>>
    tensor<8x512x256xf32, #titan.sharding<[{dp_shard}, {}, {} ], partial {tp}>>
    tensor<768x256xf32, #titan.sharding<[{tp}, {} ], flat {dp_shard} granule 4>>
    ```
  }];
  let parameters = (ins ArrayRefParameter<"::mlir::ArrayAttr">:$dimensions,
                        ArrayRefParameter<"::mlir::StringAttr">:$partial,
                        ArrayRefParameter<"::mlir::StringAttr">:$flat, "int64_t":$granule);
  let builders = [
    AttrBuilder<(ins "::llvm::ArrayRef<::mlir::ArrayAttr>":$dimensions,
                     CArg<"::llvm::ArrayRef<::mlir::StringAttr>", "{}">:$partial), [{
      return $_get($_ctxt, dimensions, partial, ::llvm::ArrayRef<::mlir::StringAttr>(), 1);
    }]>];
  let extraClassDeclaration = [{
    /// Nothing split, nothing partial.
    static ShardingAttr getReplicated(::mlir::MLIRContext *context, int64_t rank);
    bool isReplicated() const;
    bool isFlat() const { return !getFlat().empty(); }
    /// The axes that split a dimension.
    ::llvm::SmallVector<::mlir::StringAttr> getAxes(unsigned dimension) const;
    ShardingAttr withPartial(::llvm::ArrayRef<::mlir::StringAttr> partial) const;
    /// The same dimensions, not flat.
    ShardingAttr withoutFlat() const;
  }];
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

def Titan_GatherPlacementAttr : I32EnumAttr<"GatherPlacement", "how long a gathered value is kept", [
    I32EnumAttrCase<"per_function", 0>,
    I32EnumAttrCase<"per_microbatch", 1>,
    I32EnumAttrCase<"per_step", 2>]> {
  let cppNamespace = "::titan";
  let description = [{
    Gathered anew in each function, once in a microbatch (its backward has what its forward
    gathered), or once a step (and kept until its end).
  }];
}

#endif
