#include "dialects/titan/Sharding.h"
#include "passes/Functions.h"
#include "passes/Passes.h"

using namespace mlir;

namespace titan {

#define GEN_PASS_DEF_BUILDOPTIMIZER
#include "passes/Passes.h.inc"

namespace {

/// Added to the gradient norm before max_norm is divided by it, as PyTorch does.
constexpr double kClipEpsilon = 1e-6;

struct BuildOptimizer : impl::BuildOptimizerBase<BuildOptimizer> {
  using BuildOptimizerBase::BuildOptimizerBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    if (optimizer != "AdamW" && optimizer != "Adam") {
      module.emitError() << "expects the optimizer AdamW or Adam, found " << optimizer.getValue();
      return signalPassFailure();
    }
    parameters = getVariables(module, Role::parameter);
    gradients = getVariables(module, Role::gradient);
    if (gradients.size() != parameters.size()) {
      module.emitError() << "expects one gradient per parameter, found " << gradients.size()
                         << " for " << parameters.size() << "; run titan-differentiate first";
      return signalPassFailure();
    }
    addStateAndScalars(module);
    buildPrologue(module);
    buildUpdate(module);
    if (auto eval = module.lookupSymbol<func::FuncOp>(names::kEval))
      if (failed(buildEvaluation(module, eval)))
        return signalPassFailure();
  }

private:
  void addStateAndScalars(ModuleOp module) {
    scalar = RankedTensorType::get({}, Float32Type::get(module.getContext()));
    scalarVariable = scalar;
    // On a mesh variables have layouts, and the functions' values get theirs from them.
    if (getSharding(parameters.front().getType()))
      scalarVariable = withSharding(scalar, ShardingAttr::getReplicated(module.getContext(), 0));
    for (StringRef prefix : {StringRef(names::kExpAvgPrefix), StringRef(names::kExpAvgSqPrefix)})
      for (VariableOp parameter : parameters)
        createVariable(module, parameter.getLoc(), prefix + parameter.getSymName(),
                       Role::optimizer_state, cast<RankedTensorType>(parameter.getType()));
    for (StringRef name : {StringRef(names::kLearningRate), StringRef(names::kBiasCorrection1),
                           StringRef(names::kBiasCorrection2)})
      createVariable(module, module.getLoc(), name, Role::input, scalarVariable);
    for (StringRef name : {StringRef(names::kGradientNorm), StringRef(names::kFinite)})
      createVariable(module, module.getLoc(), name, Role::output, scalarVariable);
    for (StringRef name : {StringRef(names::kLossSum), StringRef(names::kValidTokens)})
      if (module.lookupSymbol((names::kAccumulatedPrefix + name).str()))
        createVariable(module, module.getLoc(), name, Role::output, scalarVariable);
  }

  /// Where @bwd adds up a result of the loss.
  std::string getAccumulator(ModuleOp module, StringRef name) {
    const std::string accumulated = (names::kAccumulatedPrefix + name).str();
    return module.lookupSymbol(accumulated) ? accumulated : name.str();
  }

  /// The step's total of it; what ranks have added up for themselves becomes the output.
  Value loadTotal(OpBuilder &builder, ModuleOp module, StringRef name) {
    const std::string accumulator = getAccumulator(module, name);
    Value total = load(builder, module.getLoc(), accumulator, scalar);
    if (accumulator != name)
      StoreOp::create(builder, module.getLoc(), total, name);
    return total;
  }

  Value load(OpBuilder &builder, Location loc, const Twine &name, Type type) {
    return LoadOp::create(builder, loc, withoutSharding(cast<RankedTensorType>(type)),
                          builder.getStringAttr(name).getValue());
  }

  void storeZero(OpBuilder &builder, Location loc, StringRef name, Type type) {
    Value zero = FullOp::create(builder, loc, withoutSharding(cast<RankedTensorType>(type)),
                                builder.getF64FloatAttr(0));
    StoreOp::create(builder, loc, zero, name);
  }

  void buildPrologue(ModuleOp module) {
    OpBuilder builder(module.getContext());
    createFunction(builder, module, module.getLoc(), names::kPrologue);
    for (VariableOp gradient : gradients)
      storeZero(builder, gradient.getLoc(), gradient.getSymName(), gradient.getType());
    for (StringRef name : {StringRef(names::kLossSum), StringRef(names::kValidTokens)})
      storeZero(builder, module.getLoc(), getAccumulator(module, name), scalar);
  }

  void buildUpdate(ModuleOp module) {
    OpBuilder builder(module.getContext());
    Location loc = module.getLoc();
    createFunction(builder, module, loc, names::kUpdate);
    SmallVector<Value> values;
    for (auto [parameter, gradient] : llvm::zip(parameters, gradients))
      values.push_back(loadGradient(builder, parameter, gradient));
    auto constant = [&](double value) -> Value {
      return FullOp::create(builder, loc, scalar, builder.getF64FloatAttr(value));
    };

    Value squares = SumOfSquaresOp::create(builder, loc, scalar, values);
    Value valid = loadTotal(builder, module, names::kValidTokens);
    Value norm = DivOp::create(builder, loc, SqrtOp::create(builder, loc, squares), valid);
    Value lossSum = loadTotal(builder, module, names::kLossSum);
    Value finite = MulOp::create(builder, loc, IsFiniteOp::create(builder, loc, norm),
                                 IsFiniteOp::create(builder, loc, lossSum));
    Value scale = DivOp::create(builder, loc, constant(1), valid);
    if (maxNorm > 0) {
      Value bounded = AddOp::create(builder, loc, norm, constant(kClipEpsilon));
      Value clip = DivOp::create(builder, loc, constant(maxNorm), bounded);
      clip = MinimumOp::create(builder, loc, clip, constant(1));
      scale = MulOp::create(builder, loc, clip, scale);
    }
    StoreOp::create(builder, loc, norm, names::kGradientNorm);
    StoreOp::create(builder, loc, finite, names::kFinite);
    for (auto [parameter, gradient] : llvm::zip(parameters, values))
      updateParameter(builder, parameter, gradient, scale, finite);
  }

  /// The step's gradient, laid out like its parameter: what ranks have added up for themselves is
  /// reduced here.
  Value loadGradient(OpBuilder &builder, VariableOp parameter, VariableOp gradient) {
    Location loc = gradient.getLoc();
    Value value = load(builder, loc, gradient.getSymName(), gradient.getType());
    ShardingAttr kept = getSharding(gradient.getType()), storage = getSharding(parameter.getType());
    return kept == storage ? value : ShardingConstraintOp::create(builder, loc, value, storage);
  }

  void updateParameter(OpBuilder &builder, VariableOp parameter, Value gradient, Value scale,
                       Value finite) {
    Location loc = parameter.getLoc();
    StringRef name = parameter.getSymName();
    Type type = withoutSharding(cast<RankedTensorType>(parameter.getType()));
    const std::string expAvg = (names::kExpAvgPrefix + name).str();
    const std::string expAvgSq = (names::kExpAvgSqPrefix + name).str();
    auto number = [&](double value) { return builder.getF64FloatAttr(value); };
    auto update = AdamUpdateOp::create(
        builder, loc, type, type, type, load(builder, loc, name, type), gradient,
        load(builder, loc, expAvg, type), load(builder, loc, expAvgSq, type),
        load(builder, loc, names::kLearningRate, scalar), scale,
        load(builder, loc, names::kBiasCorrection1, scalar),
        load(builder, loc, names::kBiasCorrection2, scalar), finite, number(beta1), number(beta2),
        number(epsilon), number(weightDecay),
        optimizer == "AdamW" ? builder.getUnitAttr() : UnitAttr());
    StoreOp::create(builder, loc, update.getNewParameter(), name);
    StoreOp::create(builder, loc, update.getNewExpAvg(), expAvg);
    StoreOp::create(builder, loc, update.getNewExpAvgSq(), expAvgSq);
  }

  /// @eval's results become additions to variables.
  LogicalResult buildEvaluation(ModuleOp module, func::FuncOp eval) {
    if (eval.getNumResults() != 2)
      return eval.emitError() << "expects @eval to return the summed loss and the number of valid "
                                 "tokens, found "
                              << eval.getFunctionType();
    Operation *end = eval.getBody().front().getTerminator();
    OpBuilder builder(end);
    const StringRef variables[] = {names::kEvalLossSum, names::kEvalValidTokens};
    for (auto [name, value] : llvm::zip(variables, end->getOperands())) {
      // The host reads the sum after each batch.
      ShardingAttr sharding = getSharding(value.getType());
      if (sharding && !sharding.getPartial().empty()) {
        Type whole = withSharding(tensorType(value), sharding.withPartial({}));
        value = ReshardOp::create(builder, eval.getLoc(), whole, value,
                                  GatherPlacement::per_function, StringAttr());
      }
      createVariable(module, eval.getLoc(), name, Role::output, tensorType(value));
      addToVariable(builder, eval.getLoc(), name, value);
    }
    end->setOperands(ValueRange());
    eval.setType(builder.getFunctionType(eval.getArgumentTypes(), {}));
    createFunction(builder, module, eval.getLoc(), names::kEvalPrologue);
    for (StringRef name : variables)
      storeZero(builder, eval.getLoc(), name, scalar);
    return success();
  }

  SmallVector<VariableOp> parameters, gradients;
  RankedTensorType scalar, scalarVariable;
};

} // namespace
} // namespace titan
