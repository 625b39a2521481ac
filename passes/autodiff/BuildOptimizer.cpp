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
    owners = getVariableRanks(module);
    if (std::optional<int64_t> size = getNumPipelineRanks(module)) {
      pipelineRanks.clear();
      for (int64_t rank = 0; rank < *size; ++rank)
        pipelineRanks.push_back(rank);
    }
    addStateAndScalars(module);
    for (std::optional<int64_t> rank : pipelineRanks)
      buildPrologue(module, rank);
    if (isPipeline())
      buildPipelineUpdate(module);
    else
      buildUpdate(module);
    SmallVector<func::FuncOp> evaluation = getFamily(module, names::kEval);
    if (!evaluation.empty() && failed(buildEvaluation(module, evaluation.back())))
      return signalPassFailure();
  }

private:
  bool isPipeline() const { return pipelineRanks.front().has_value(); }

  /// Whether a pipeline rank has the variable; those without a pipeline have all.
  bool isOn(VariableOp variable, std::optional<int64_t> rank) const {
    auto owner = owners.find(variable.getSymName());
    return !rank || (owner != owners.end() && owner->second == *rank);
  }

  /// A sum of what the pipeline ranks have.
  void createAccumulator(ModuleOp module, const Twine &name) {
    RankedTensorType type = scalarVariable;
    if (ShardingAttr sharding = getSharding(type))
      type = withSharding(
          type, sharding.withPartial({StringAttr::get(module.getContext(), kPipelineAxis)}));
    createVariable(module, module.getLoc(), name, Role::counter, type);
  }

  void addStateAndScalars(ModuleOp module) {
    scalar = RankedTensorType::get({}, Float32Type::get(module.getContext()));
    scalarVariable = scalar;
    // On a mesh variables have layouts, and the functions' values get theirs from them.
    if (getSharding(parameters.front().getType()))
      scalarVariable = withSharding(scalar, ShardingAttr::getReplicated(module.getContext(), 0));
    for (StringRef prefix : {StringRef(names::kExpAvgPrefix), StringRef(names::kExpAvgSqPrefix)})
      for (VariableOp parameter : parameters)
        createVariable(module, parameter.getLoc(), prefix + parameter.getSymName(),
                       Role::optimizer_state, cast<RankedTensorType>(parameter.getType()),
                       parameter.getPadding());
    for (StringRef name : names::kHostScalars)
      createVariable(module, module.getLoc(), name, Role::input, scalarVariable);
    for (StringRef name : {StringRef(names::kGradientNorm), StringRef(names::kFinite)})
      createVariable(module, module.getLoc(), name, Role::output, scalarVariable);
    for (StringRef name : {StringRef(names::kLossSum), StringRef(names::kValidTokens)})
      if (module.lookupSymbol((names::kAccumulatedPrefix + name).str()))
        createVariable(module, module.getLoc(), name, Role::output, scalarVariable);
    if (isPipeline())
      createAccumulator(module, names::kSquaresSum);
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

  void buildPrologue(ModuleOp module, std::optional<int64_t> rank) {
    OpBuilder builder(module.getContext());
    createFunction(builder, module, module.getLoc(), names::kPrologue, rank);
    for (VariableOp gradient : gradients)
      if (isOn(gradient, rank))
        storeZero(builder, gradient.getLoc(), gradient.getSymName(), gradient.getType());
    for (StringRef name : {StringRef(names::kLossSum), StringRef(names::kValidTokens)})
      storeZero(builder, module.getLoc(), getAccumulator(module, name), scalar);
    if (rank)
      storeZero(builder, module.getLoc(), names::kSquaresSum, scalar);
  }

  /// What a step says about itself, and how much of a gradient is added to its parameter.
  struct Totals {
    Value norm, valid, finite;
  };

  /// Stores the totals of a step whose gradients have this sum of squares.
  Totals storeTotals(OpBuilder &builder, ModuleOp module, Value squares) {
    Location loc = module.getLoc();
    Value valid = loadTotal(builder, module, names::kValidTokens);
    Value norm = DivOp::create(builder, loc, SqrtOp::create(builder, loc, squares), valid);
    Value lossSum = loadTotal(builder, module, names::kLossSum);
    Value finite = MulOp::create(builder, loc, IsFiniteOp::create(builder, loc, norm),
                                 IsFiniteOp::create(builder, loc, lossSum));
    StoreOp::create(builder, loc, norm, names::kGradientNorm);
    StoreOp::create(builder, loc, finite, names::kFinite);
    return {norm, valid, finite};
  }

  /// min(1, max_norm / (norm + epsilon)) / valid
  Value buildScale(OpBuilder &builder, Location loc, const Totals &totals) {
    auto constant = [&](double value) -> Value {
      return FullOp::create(builder, loc, scalar, builder.getF64FloatAttr(value));
    };
    Value scale = DivOp::create(builder, loc, constant(1), totals.valid);
    Value bounded = AddOp::create(builder, loc, totals.norm, constant(kClipEpsilon));
    Value maxNorm = load(builder, loc, names::kMaxNorm, scalar);
    Value clip = DivOp::create(builder, loc, maxNorm, bounded);
    clip = MinimumOp::create(builder, loc, clip, constant(1));
    return MulOp::create(builder, loc, clip, scale);
  }

  void buildUpdate(ModuleOp module) {
    OpBuilder builder(module.getContext());
    createFunction(builder, module, module.getLoc(), names::kUpdate);
    const SmallVector<Value> values = loadGradients(builder, std::nullopt);
    Value squares = SumOfSquaresOp::create(builder, module.getLoc(), scalar, values);
    const Totals totals = storeTotals(builder, module, squares);
    updateParameters(builder, std::nullopt, values, totals);
  }

  /// The update of a pipeline: each rank's sum of squares, the totals on all ranks, and each rank's
  /// parameters.
  void buildPipelineUpdate(ModuleOp module) {
    OpBuilder builder(module.getContext());
    Location loc = module.getLoc();
    for (std::optional<int64_t> rank : pipelineRanks) {
      createFunction(builder, module, loc, names::kGradientSquares, rank);
      const SmallVector<Value> values = loadGradients(builder, rank);
      keepReduced(builder, module, rank, values);
      addToVariable(builder, loc, names::kSquaresSum,
                    SumOfSquaresOp::create(builder, loc, scalar, values));
    }
    createFunction(builder, module, loc, names::kTotals);
    storeTotals(builder, module, load(builder, loc, names::kSquaresSum, scalar));
    for (std::optional<int64_t> rank : pipelineRanks) {
      createFunction(builder, module, loc, names::kUpdate, rank);
      const Totals totals = {load(builder, loc, names::kGradientNorm, scalar),
                             load(builder, loc, names::kValidTokens, scalar),
                             load(builder, loc, names::kFinite, scalar)};
      updateParameters(builder, rank, loadGradients(builder, rank), totals);
    }
  }

  /// Whether ranks have added up a gradient for themselves, and it is reduced once a step.
  static bool isUnreduced(VariableOp parameter, VariableOp gradient) {
    return getSharding(gradient.getType()) != getSharding(parameter.getType());
  }

  /// A pipeline reads gradients twice, for the norm and by the optimizer, and reduces them before
  /// the first: the second finds the sums in variables, which are the gradients from here on.
  void keepReduced(OpBuilder &builder, ModuleOp module, std::optional<int64_t> rank,
                   ArrayRef<Value> values) {
    for (auto [parameter, gradient] : llvm::zip(parameters, gradients)) {
      if (!isOn(gradient, rank))
        continue;
      Value sum = values.front();
      values = values.drop_front();
      if (!isUnreduced(parameter, gradient))
        continue;
      const std::string name = (names::kReducedPrefix + parameter.getSymName()).str();
      gradient = createVariable(module, parameter.getLoc(), name, Role::derived,
                                cast<RankedTensorType>(parameter.getType()));
      owners[name] = *rank;
      StoreOp::create(builder, parameter.getLoc(), sum, name);
    }
  }

  SmallVector<Value> loadGradients(OpBuilder &builder, std::optional<int64_t> rank) {
    SmallVector<Value> values;
    for (auto [parameter, gradient] : llvm::zip(parameters, gradients))
      if (isOn(gradient, rank))
        values.push_back(loadGradient(builder, parameter, gradient));
    return values;
  }

  /// With the gradients of all parameters of the rank.
  void updateParameters(OpBuilder &builder, std::optional<int64_t> rank, ArrayRef<Value> values,
                        const Totals &totals) {
    Value scale =
        buildScale(builder, builder.getInsertionBlock()->getTerminator()->getLoc(), totals);
    for (auto [parameter, gradient] : llvm::zip(parameters, gradients)) {
      if (!isOn(gradient, rank))
        continue;
      updateParameter(builder, parameter, values.front(), scale, totals.finite);
      values = values.drop_front();
    }
  }

  /// The step's gradient, laid out like its parameter: what ranks have added up for themselves is
  /// reduced here.
  Value loadGradient(OpBuilder &builder, VariableOp parameter, VariableOp gradient) {
    Location loc = gradient.getLoc();
    Value value = load(builder, loc, gradient.getSymName(), gradient.getType());
    return isUnreduced(parameter, gradient)
               ? ShardingConstraintOp::create(builder, loc, value, getSharding(parameter.getType()))
               : value;
  }

  void updateParameter(OpBuilder &builder, VariableOp parameter, Value gradient, Value scale,
                       Value finite) {
    Location loc = parameter.getLoc();
    StringRef name = parameter.getSymName();
    Type type = withoutSharding(cast<RankedTensorType>(parameter.getType()));
    const std::string expAvg = (names::kExpAvgPrefix + name).str();
    const std::string expAvgSq = (names::kExpAvgSqPrefix + name).str();
    auto hostScalar = [&](StringRef name) { return load(builder, loc, name, scalar); };
    auto update = AdamUpdateOp::create(
        builder, loc, type, type, type, load(builder, loc, name, type), gradient,
        load(builder, loc, expAvg, type), load(builder, loc, expAvgSq, type),
        hostScalar(names::kLearningRate), scale, hostScalar(names::kBiasCorrection1),
        hostScalar(names::kBiasCorrection2), finite, hostScalar(names::kOneMinusBeta1),
        hostScalar(names::kOneMinusBeta2), hostScalar(names::kEpsilon),
        hostScalar(names::kWeightDecay), optimizer == "AdamW" ? builder.getUnitAttr() : UnitAttr());
    StoreOp::create(builder, loc, update.getNewParameter(), name);
    StoreOp::create(builder, loc, update.getNewExpAvg(), expAvg);
    StoreOp::create(builder, loc, update.getNewExpAvgSq(), expAvgSq);
  }

  /// The results of the function that ends with them become additions to variables.
  LogicalResult buildEvaluation(ModuleOp module, func::FuncOp eval) {
    if (eval.getNumResults() != 2)
      return eval.emitError() << "expects @" << eval.getSymName()
                              << " to return the summed loss and the number of valid "
                                 "tokens, found "
                              << eval.getFunctionType();
    Operation *end = eval.getBody().front().getTerminator();
    OpBuilder builder(end);
    const StringRef variables[] = {names::kEvalLossSum, names::kEvalValidTokens};
    SmallVector<std::string> accumulators;
    for (auto [name, value] : llvm::zip(variables, end->getOperands())) {
      // The host reads the sum after each batch.
      ShardingAttr sharding = getSharding(value.getType());
      if (sharding && !sharding.getPartial().empty()) {
        Type whole = withSharding(tensorType(value), sharding.withPartial({}));
        value = ReshardOp::create(builder, eval.getLoc(), whole, value,
                                  GatherPlacement::per_function, StringAttr());
      }
      createVariable(module, eval.getLoc(), name, Role::output, tensorType(value));
      accumulators.push_back((isPipeline() ? names::kAccumulatedPrefix + name : name).str());
      if (isPipeline())
        createAccumulator(module, accumulators.back());
      addToVariable(builder, eval.getLoc(), accumulators.back(), value);
    }
    end->setOperands(ValueRange());
    eval.setType(builder.getFunctionType(eval.getArgumentTypes(), {}));
    for (std::optional<int64_t> rank : pipelineRanks) {
      createFunction(builder, module, eval.getLoc(), names::kEvalPrologue, rank);
      for (StringRef name : accumulators)
        storeZero(builder, eval.getLoc(), name, scalar);
    }
    if (!isPipeline())
      return success();
    createFunction(builder, module, eval.getLoc(), names::kEvalTotals);
    for (auto [name, accumulator] : llvm::zip(variables, accumulators))
      StoreOp::create(builder, eval.getLoc(), load(builder, eval.getLoc(), accumulator, scalar),
                      name);
    return success();
  }

  SmallVector<VariableOp> parameters, gradients;
  llvm::StringMap<int64_t> owners; ///< pipeline ranks of variables that one rank has
  /// Those that have functions of their own; one entry without a number where there is no pipeline.
  SmallVector<std::optional<int64_t>> pipelineRanks = {std::nullopt};
  RankedTensorType scalar, scalarVariable;
};

} // namespace
} // namespace titan
