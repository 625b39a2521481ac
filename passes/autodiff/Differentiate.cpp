#include "passes/Functions.h"
#include "passes/Passes.h"
#include "passes/sharding/OpMotion.h"
#include "passes/sharding/PropagateFunction.h"

#include "mlir/IR/IRMapping.h"

using namespace mlir;

namespace titan {

#define GEN_PASS_DEF_DIFFERENTIATE
#include "passes/Passes.h.inc"

namespace {

/// Builds the backward of one function, first at the end of that function itself.
class BackwardBuilder {
public:
  /// With `unreduced` the gradients of stored parameters stay sums that the ranks have for
  /// themselves. `received` are the arguments that parameters of other functions reach.
  BackwardBuilder(func::FuncOp function, OpBuilder &builder, bool unreduced,
                  ArrayRef<Value> received)
      : builder(builder), unreduced(unreduced), active(received.begin(), received.end()) {
    markActive(function);
  }

  /// Whether some parameter reaches the value.
  bool isActive(Value value) const { return active.contains(value); }

  /// Says what the cotangent of a value is, before run().
  void seed(Value value, Value cotangent) { cotangents[value] = cotangent; }

  /// Appends the backward ops of the ops up to `lastForward`.
  LogicalResult run(Operation *lastForward) {
    SmallVector<Operation *> forward;
    for (Operation *op = lastForward; op; op = op->getPrevNode())
      forward.push_back(op);
    for (Operation *op : forward)
      if (failed(differentiate(op)))
        return failure();
    return success();
  }

  Value cotangent(Value value) const { return cotangents.lookup(value); }
  /// For each value that is a cotangent, or a part of one, its primal.
  const llvm::DenseMap<Value, Value> &getPrimals() const { return primals; }
  /// The value that a gradient op computes again, or the value itself.
  Value replacement(Value value) const {
    Value again = replacements.lookup(value);
    return again ? again : value;
  }

private:
  void markActive(func::FuncOp function) {
    function.walk([&](Operation *op) {
      bool depends = llvm::any_of(op->getOperands(), [&](Value v) { return isActive(v); });
      if (auto load = dyn_cast<LoadOp>(op))
        depends = isParameter(load);
      if (!depends)
        return;
      for (Value result : op->getResults())
        if (isa<FloatType>(tensorType(result).getElementType()))
          active.insert(result);
    });
  }

  bool isParameter(LoadOp load) {
    auto variable = symbols.lookupNearestSymbolFrom<VariableOp>(load, load.getVariableAttr());
    return variable && variable.getRole() == Role::parameter;
  }

  LogicalResult differentiate(Operation *op) {
    SmallVector<Value> results;
    for (Value result : op->getResults())
      results.push_back(cotangents.lookup(result));
    llvm::BitVector needed(op->getNumOperands());
    for (auto [i, operand] : llvm::enumerate(op->getOperands()))
      needed[i] = isActive(operand);
    if (needed.none() || llvm::none_of(results, [](Value v) { return static_cast<bool>(v); }))
      return success();

    if (auto reshard = dyn_cast<ReshardOp>(op); reshard && unreduced && isStorage(reshard)) {
      add(op->getLoc(), reshard.getInput(), results.front());
      return success();
    }
    auto differentiable = dyn_cast<DifferentiableOpInterface>(op);
    if (!differentiable)
      return op->emitOpError("lies between a parameter and the loss but is no "
                             "DifferentiableOpInterface");
    Vjp vjp;
    for (Value operand : op->getOperands())
      vjp.elementTypes.push_back(getCotangentElement(operand));
    if (failed(differentiable.buildVjp(builder, results, needed, vjp)))
      return failure();
    for (auto [i, operand] : llvm::enumerate(op->getOperands()))
      if (needed[i] && vjp.operands[i])
        add(op->getLoc(), operand, vjp.operands[i]);
    for (auto [result, again] : llvm::zip(op->getResults(), vjp.results))
      replacements[result] = again;
    return success();
  }

  static bool isStorage(ReshardOp reshard) {
    return getSharding(reshard.getInput().getType()).isFlat();
  }

  /// The element type in which a value's cotangent is summed: that of what it is a copy of, if that
  /// is wider.
  Type getCotangentElement(Value value) {
    Type own = tensorType(value).getElementType();
    auto op = value.getDefiningOp<DifferentiableOpInterface>();
    if (!isActive(value) || !op || !op.takesWiderCotangent())
      return own;
    Type source = getCotangentElement(op->getOperand(0));
    return source.getIntOrFloatBitWidth() > own.getIntOrFloatBitWidth() ? source : own;
  }

  void add(Location loc, Value value, Value cotangent) {
    Value &sum = cotangents[value];
    RankedTensorType type = tensorType(cotangent);
    if (Type element = getCotangentElement(value); element != type.getElementType())
      cotangent = CastOp::create(builder, loc, type.clone(element), cotangent);
    primals.try_emplace(cotangent, value);
    // Layouts may differ until they are propagated.
    sum = sum ? AddOp::create(builder, loc, sum.getType(), sum, cotangent) : cotangent;
    primals.try_emplace(sum, value);
  }

  OpBuilder &builder;
  bool unreduced;
  SymbolTableCollection symbols;
  llvm::DenseSet<Value> active;
  llvm::DenseMap<Value, Value> cotangents;
  llvm::DenseMap<Value, Value> primals;
  llvm::DenseMap<Value, Value> replacements;
};

/// Moves the backward ops into a function of their own and decides what crosses over: a forward
/// value is either a residual or computed again in the backward. Computed again are views, and what
/// depends on variables alone and is pointwise in them, or a layout of them: how long weights are
/// held is not a question of residuals. All others are choices of titan-rematerialize.
/// Arguments of the forward that only the backward takes, the cotangents of what it sends, come
/// last in the backward too; `results` are what the backward returns.
class FunctionSplitter {
public:
  FunctionSplitter(func::FuncOp forward, func::FuncOp backward, ArrayRef<Operation *> moved,
                   ArrayRef<Value> results)
      : forward(forward), backward(backward), moved(moved), results(results) {}

  void run() {
    collectNeeded();
    for (Value value : needed)
      if (!isRecomputable(value))
        residuals.push_back(value);
    Block &block = backward.getBody().front();
    const unsigned shared = block.getNumArguments();
    for (auto [argument, copy] :
         llvm::zip(forward.getArguments().take_front(shared), block.getArguments()))
      mapping.map(argument, copy);
    for (Value residual : residuals)
      mapping.map(residual, block.addArgument(residual.getType(), residual.getLoc()));
    for (BlockArgument argument : forward.getArguments().drop_front(shared))
      mapping.map(argument, block.addArgument(argument.getType(), argument.getLoc()));
    OpBuilder builder(backward.getContext());
    Operation *end = block.getTerminator();
    for (Operation *op : moved) {
      builder.setInsertionPoint(end);
      for (OpOperand &operand : op->getOpOperands())
        if (!isMoved(operand.get()))
          operand.set(cloneWithOperands(builder, operand.get(), mapping));
      op->moveBefore(end);
    }
    builder.setInsertionPoint(end);
    SmallVector<Value> returned;
    for (Value result : results)
      returned.push_back(isMoved(result) ? result : cloneWithOperands(builder, result, mapping));
    end->setOperands(returned);
    backward.setType(
        builder.getFunctionType(block.getArgumentTypes(), ValueRange(returned).getTypes()));
  }

  ArrayRef<Value> getResiduals() const { return residuals; }

private:
  bool isMoved(Value value) {
    Operation *op = value.getDefiningOp();
    return op && movedSet.contains(op);
  }

  /// Forward values that backward ops use, in the order of their definition.
  void collectNeeded() {
    movedSet.insert(moved.begin(), moved.end());
    llvm::DenseSet<Value> used;
    for (Operation *op : moved)
      for (Value operand : op->getOperands())
        if (!isMoved(operand))
          used.insert(operand);
    for (Value result : results)
      if (!isMoved(result))
        used.insert(result);
    // A view crosses as what it is a view of.
    SmallVector<Value> pending(used.begin(), used.end());
    while (!pending.empty()) {
      Operation *op = pending.pop_back_val().getDefiningOp();
      if (op && isView(op))
        for (Value operand : op->getOperands())
          if (used.insert(operand).second)
            pending.push_back(operand);
    }
    for (Operation &op : forward.getBody().front())
      for (Value result : op.getResults())
        if (used.contains(result))
          needed.insert(result);
  }

  /// A layout in which a rank holds more than it did: cheaper to make again than to keep, unless it
  /// is to be kept.
  static bool isGather(Operation *op) {
    auto reshard = dyn_cast<ReshardOp>(op);
    return reshard && reshard.getPlacement() != GatherPlacement::per_microbatch &&
           getSharding(reshard.getInput().getType()).getPartial().empty();
  }

  /// Whether the value can be computed in the backward from residuals and inputs.
  bool isRecomputable(Value value) {
    Operation *op = value.getDefiningOp();
    return !op || isView(op) || isFree(value);
  }

  /// Whether the value is a pointwise function or layout of variables and constants.
  bool isFree(Value value) {
    Operation *op = value.getDefiningOp();
    if (!op)
      return false;
    if (auto known = free.find(value); known != free.end())
      return known->second;
    const bool result =
        (op->getNumOperands() == 0 || isGather(op) || isView(op) || isPointwise(op)) &&
        llvm::all_of(op->getOperands(), [&](Value v) { return isFree(v); });
    free[value] = result;
    return result;
  }

  func::FuncOp forward, backward;
  ArrayRef<Operation *> moved;
  ArrayRef<Value> results;
  llvm::DenseSet<Operation *> movedSet;
  llvm::SetVector<Value> needed;
  llvm::DenseMap<Value, bool> free;
  SmallVector<Value> residuals;
  IRMapping mapping;
};

/// One function while its backward is built behind it.
struct Stage {
  Stage(func::FuncOp function, OpBuilder &builder, bool unreduced, ArrayRef<Value> received)
      : function(function), end(function.getBody().front().getTerminator()),
        lastForward(end->getPrevNode()), numResults(end->getNumOperands()), received(received),
        backward(function, builder, unreduced, received) {}

  func::FuncOp function;
  Operation *end;              ///< the return
  Operation *lastForward;      ///< behind it stands what has been added
  unsigned numResults;         ///< of the forward; behind them stand those of the backward
  SmallVector<Value> received; ///< arguments that have cotangents
  unsigned numCotangents = 0;  ///< arguments at the end that are cotangents of results
  BackwardBuilder backward;
  /// Gradients of parameters that the function loads, and where it loads them.
  llvm::DenseMap<StringAttr, std::pair<Value, Location>> gradients;
};

struct Differentiate : impl::DifferentiateBase<Differentiate> {
  using DifferentiateBase::DifferentiateBase;

  void runOnOperation() override {
    SmallVector<func::FuncOp> functions = getFamily(getOperation(), names::kLoss);
    if (functions.empty() && !lookupFunction(getOperation(), names::kLoss))
      return signalPassFailure();
    for (func::FuncOp function : functions)
      if (failed(verifyStage(function)))
        return signalPassFailure();
    if (failed(verifyLoss(functions.back())) || failed(run(functions)))
      signalPassFailure();
  }

  LogicalResult verifyStage(func::FuncOp function) {
    if (!function.getBody().hasOneBlock())
      return function.emitError("expects @") << function.getSymName() << " to have one block";
    for (auto store : function.getOps<StoreOp>())
      return store.emitOpError("stands in @")
             << function.getSymName()
             << ", which may not change variables: the backward loads them again";
    return success();
  }

  LogicalResult verifyLoss(func::FuncOp function) {
    auto scalar = [](Type type) {
      auto tensor = dyn_cast<RankedTensorType>(type);
      return tensor && tensor.getRank() == 0 && tensor.getElementType().isF32();
    };
    if (function.getNumResults() != 2 || !llvm::all_of(function.getResultTypes(), scalar))
      return function.emitError() << "expects @" << function.getSymName()
                                  << " to return two f32 scalars, the summed loss and the "
                                     "number of valid tokens, found "
                                  << function.getFunctionType();
    return success();
  }

  LogicalResult run(ArrayRef<func::FuncOp> functions) {
    std::vector<std::unique_ptr<Stage>> stages;
    std::vector<std::unique_ptr<OpBuilder>> builders;
    for (func::FuncOp function : functions) {
      OpBuilder &builder = *builders.emplace_back(
          std::make_unique<OpBuilder>(function.getBody().front().getTerminator()));
      stages.push_back(std::make_unique<Stage>(
          function, builder, reducePerStep,
          stages.empty() ? SmallVector<Value>() : getActive(*stages.back(), function)));
      if (failed(buildBackward(*stages.back(), builder, function == functions.back())))
        return failure();
    }
    if (failed(addGradients(stages)))
      return failure();
    for (auto [stage, builder] : llvm::zip_equal(stages, builders)) {
      if (isSharded(stage->function) && failed(layOut(*stage)))
        return failure();
      if (stage != stages.back())
        continue;
      addResult(*stage, *builder, names::kLossSum, 0);
      addResult(*stage, *builder, names::kValidTokens, 1);
    }
    for (std::unique_ptr<Stage> &stage : stages)
      split(*stage, stage == stages.back());
    return success();
  }

  /// The arguments of a stage that parameters of earlier stages reach.
  static SmallVector<Value> getActive(const Stage &before, func::FuncOp function) {
    SmallVector<Value> received, active;
    for (BlockArgument argument : function.getArguments())
      if (function.getArgAttr(argument.getArgNumber(), kReceived))
        received.push_back(argument);
    for (auto [result, argument] :
         llvm::zip_equal(before.end->getOperands().take_front(before.numResults), received))
      if (before.backward.isActive(result))
        active.push_back(argument);
    return active;
  }

  /// What the cotangent of a value looks like that one function hands to another: as the value, and
  /// whole where that is a sum.
  static RankedTensorType getDual(Value value) {
    RankedTensorType type = tensorType(value);
    ShardingAttr sharding = getSharding(type);
    return sharding ? withSharding(type, sharding.withPartial({})) : type;
  }

  /// Appends the backward of a stage, whose results become further operands of the return.
  LogicalResult buildBackward(Stage &stage, OpBuilder &builder, bool isLast) {
    const Location loc = stage.function.getLoc();
    SmallVector<Value> results(stage.end->getOperands());
    if (isLast) {
      if (!stage.backward.isActive(results[0]))
        return stage.function.emitError("the loss depends on no parameter");
      stage.backward.seed(results[0], FullOp::create(builder, loc, results[0].getType(),
                                                     builder.getF64FloatAttr(1)));
    }
    for (Value result : isLast ? SmallVector<Value>() : results) {
      if (!stage.backward.isActive(result))
        continue;
      const unsigned index = stage.function.getNumArguments();
      if (failed(stage.function.insertArgument(index, getDual(result), {}, result.getLoc())))
        return failure();
      stage.backward.seed(result, stage.function.getArgument(index));
      ++stage.numCotangents;
    }
    if (failed(stage.backward.run(stage.lastForward)))
      return failure();
    for (Value argument : stage.received) {
      RankedTensorType type = getDual(argument);
      Value cotangent = stage.backward.cotangent(argument);
      if (!cotangent)
        cotangent = FullOp::create(builder, loc, type, builder.getF64FloatAttr(0));
      if (ShardingAttr sharding = getSharding(type))
        cotangent = ShardingConstraintOp::create(builder, loc, cotangent, sharding);
      results.push_back(cotangent);
    }
    stage.end->setOperands(results);
    return success();
  }

  /// Lays out what has been added behind `lastForward`: a cotangent is split like its primal as far
  /// as the ops allow, and a partial sum until it has to be whole.
  LogicalResult layOut(Stage &stage) {
    PropagationHints hints;
    hints.seeds = stage.backward.getPrimals();
    for (Operation *op = stage.lastForward->getNextNode(); op != stage.end; op = op->getNextNode())
      if (!isa<LoadOp, ReshardOp>(op))
        hints.open.insert(op->result_begin(), op->result_end());
    return propagateShardings(stage.function, MeshShape::get(getOperation()), hints);
  }

  /// The layout of a gradient that is reduced once a step (otherwise gradients are kept like their
  /// parameters): each rank adds up what its part of the batch makes of what it has of the matrix.
  ShardingAttr getUnreduced(ShardingAttr storage, func::FuncOp function) {
    llvm::SetVector<StringAttr> partial;
    for (Type type : function.getArgumentTypes())
      for (unsigned i = 0; i < getSharding(type).getDimensions().size(); ++i)
        for (StringAttr axis : getSharding(type).getAxes(i))
          partial.insert(axis);
    for (unsigned i = 0; i < storage.getDimensions().size(); ++i)
      for (StringAttr axis : storage.getAxes(i))
        partial.remove(axis);
    return storage.withoutFlat().withPartial(partial.getArrayRef());
  }

  /// Finds the gradients of the parameters that a stage loads.
  static void collectGradients(Stage &stage) {
    for (Operation &op : stage.function.getBody().front()) {
      auto load = dyn_cast<LoadOp>(op);
      if (Value part = load ? stage.backward.cotangent(load) : Value()) {
        auto [known, isNew] =
            stage.gradients.try_emplace(load.getVariableAttr().getAttr(), part, load.getLoc());
        if (!isNew) {
          OpBuilder builder(stage.end);
          Value &sum = known->second.first;
          sum = AddOp::create(builder, load.getLoc(), sum.getType(), sum, part);
        }
      }
      if (&op == stage.lastForward)
        break;
    }
  }

  /// Stores gradient.NAME = load + cotangent for each parameter, in each stage that uses it.
  LogicalResult addGradients(ArrayRef<std::unique_ptr<Stage>> stages) {
    for (const std::unique_ptr<Stage> &stage : stages)
      collectGradients(*stage);
    for (VariableOp variable : getVariables(getOperation(), Role::parameter)) {
      const std::string name = (names::kGradientPrefix + variable.getSymName()).str();
      RankedTensorType type;
      for (const std::unique_ptr<Stage> &stage : stages) {
        auto gradient = stage->gradients.find(variable.getSymNameAttr());
        if (gradient == stage->gradients.end())
          continue;
        auto [value, at] = gradient->second;
        if (!type) {
          type = withoutSharding(tensorType(value));
          if (ShardingAttr storage = getSharding(variable.getType()))
            type = withSharding(type,
                                reducePerStep ? getUnreduced(storage, stage->function) : storage);
          createVariable(getOperation(), variable.getLoc(), name, Role::gradient, type,
                         variable.getPadding());
        }
        OpBuilder builder(stage->end);
        Value old = loadAtStart(stage->lastForward, at, name, type);
        StoreOp::create(builder, at, AddOp::create(builder, at, type, old, value), name);
      }
      if (!type)
        return variable.emitError()
               << "the loss does not depend on parameter @" << variable.getSymName();
    }
    return success();
  }

  /// Loads stand before the backward ops, so that sums can be folded into the ops that they add.
  Value loadAtStart(Operation *lastForward, Location loc, StringRef name, Type type) {
    OpBuilder builder(&getContext());
    builder.setInsertionPointAfter(lastForward);
    return LoadOp::create(builder, loc, type, name);
  }

  /// Adds a result of the loss to a variable: the output, or if ranks have parts of it one that
  /// titan-build-optimizer sums up once a step.
  void addResult(Stage &stage, OpBuilder &builder, StringRef name, unsigned index) {
    Location loc = stage.function.getLoc();
    Value value = stage.backward.replacement(stage.end->getOperand(index));
    ShardingAttr sharding = getSharding(value.getType());
    SmallVector<StringAttr> partial;
    if (getPipelineRank(stage.function))
      partial.push_back(builder.getStringAttr(kPipelineAxis));
    if (sharding)
      llvm::append_range(partial, sharding.getPartial());
    RankedTensorType type = tensorType(value);
    if (sharding)
      type = withSharding(type, sharding.withPartial(partial));
    const std::string variable = ((partial.empty() ? "" : names::kAccumulatedPrefix) + name).str();
    createVariable(getOperation(), loc, variable, partial.empty() ? Role::output : Role::counter,
                   type);
    addToVariable(builder, loc, variable, value);
  }

  /// Moves what has been added to a stage into its backward.
  void split(Stage &stage, bool isLast) {
    func::FuncOp function = stage.function;
    SmallVector<Operation *> moved;
    for (Operation *op = stage.lastForward->getNextNode(); op != stage.end; op = op->getNextNode())
      moved.push_back(op);
    const unsigned numShared = function.getNumArguments() - stage.numCotangents;
    StringRef suffix = function.getSymName().drop_front(names::kLoss.size());
    OpBuilder builder(&getContext());
    builder.setInsertionPointAfter(function);
    auto backward = func::FuncOp::create(
        builder, function.getLoc(), (names::kBackward + suffix).str(),
        builder.getFunctionType(function.getArgumentTypes().take_front(numShared), {}));
    builder.setInsertionPointToStart(backward.addEntryBlock());
    func::ReturnOp::create(builder, function.getLoc());
    if (Attribute rank = function->getAttr(kPipelineRank))
      backward->setAttr(kPipelineRank, rank);

    SmallVector<Value> forwardResults(stage.end->getOperands().take_front(stage.numResults));
    if (isLast)
      forwardResults.clear();
    SmallVector<Value> returned(stage.end->getOperands().drop_front(stage.numResults));
    FunctionSplitter splitter(function, backward, moved, returned);
    splitter.run();
    for (unsigned i = 0; i < numShared; ++i)
      if (auto name = function.getArgAttr(i, names::kInputName))
        backward.setArgAttr(i, names::kInputName, name);
    for (unsigned i = 0; i < stage.numCotangents; ++i)
      backward.setArgAttr(backward.getNumArguments() - 1 - i, kReceived, builder.getUnitAttr());

    llvm::append_range(forwardResults, splitter.getResiduals());
    function.setName((names::kForward + suffix).str());
    stage.end->setOperands(forwardResults);
    Block &block = function.getBody().front();
    eraseDeadOps(block);
    block.eraseArguments(numShared, stage.numCotangents);
    SmallVector<DictionaryAttr> attributes;
    for (unsigned i = 0; i < numShared; ++i) {
      DictionaryAttr given = function.getArgAttrDict(i);
      attributes.push_back(given ? given : builder.getDictionaryAttr({}));
    }
    function.setType(
        builder.getFunctionType(block.getArgumentTypes(), stage.end->getOperandTypes()));
    function.setAllArgAttrs(attributes);
  }
};

} // namespace
} // namespace titan
