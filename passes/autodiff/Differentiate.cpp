#include "passes/Functions.h"
#include "passes/Passes.h"
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
  /// themselves.
  BackwardBuilder(func::FuncOp function, OpBuilder &builder, bool unreduced)
      : builder(builder), unreduced(unreduced) {
    markActive(function);
  }

  /// Whether some parameter reaches the value.
  bool isActive(Value value) const { return active.contains(value); }

  /// Appends the backward ops of the block, given the cotangent of the loss.
  LogicalResult run(Block &block, Value loss, Value seed) {
    cotangents[loss] = seed;
    SmallVector<Operation *> forward;
    for (Operation &op : block.without_terminator())
      forward.push_back(&op);
    for (Operation *op : llvm::reverse(forward))
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

  void add(Location loc, Value value, Value cotangent) {
    Value &sum = cotangents[value];
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
/// value is either a residual or computed again in the backward. Computed again is what costs no
/// memory traffic worth keeping: loads, constants, views, and pointwise functions of values that
/// cross anyway.
class FunctionSplitter {
public:
  FunctionSplitter(func::FuncOp forward, func::FuncOp backward, ArrayRef<Operation *> moved)
      : forward(forward), backward(backward), moved(moved) {}

  void run() {
    collectNeeded();
    for (Value value : needed)
      if (!isRecomputable(value))
        residuals.push_back(value);
    Block &block = backward.getBody().front();
    for (auto [argument, copy] : llvm::zip(forward.getArguments(), block.getArguments()))
      mapping.map(argument, copy);
    for (Value residual : residuals)
      mapping.map(residual, block.addArgument(residual.getType(), residual.getLoc()));
    OpBuilder builder(backward.getContext());
    Operation *end = block.getTerminator();
    for (Operation *op : moved) {
      builder.setInsertionPoint(end);
      for (OpOperand &operand : op->getOpOperands())
        if (!isMoved(operand.get()))
          operand.set(getInBackward(builder, operand.get()));
      op->moveBefore(end);
    }
    backward.setType(builder.getFunctionType(block.getArgumentTypes(), {}));
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
    // A view crosses as what it is a view of.
    SmallVector<Value> pending(used.begin(), used.end());
    while (!pending.empty()) {
      Operation *op = pending.pop_back_val().getDefiningOp();
      if (op && (isView(op) || isGather(op)))
        for (Value operand : op->getOperands())
          if (used.insert(operand).second)
            pending.push_back(operand);
    }
    for (Operation &op : forward.getBody().front())
      for (Value result : op.getResults())
        if (used.contains(result))
          needed.insert(result);
  }

  static bool isView(Operation *op) {
    return op->getNumResults() == 1 &&
           getPlacement(op->getResult(0)).kind == ResultPlacement::Kind::view;
  }

  /// A layout in which a rank holds more than it did: cheaper to make again than to keep.
  static bool isGather(Operation *op) {
    auto reshard = dyn_cast<ReshardOp>(op);
    return reshard && getSharding(reshard.getInput().getType()).getPartial().empty();
  }

  static bool isPointwise(Operation *op) {
    auto fusible = dyn_cast<FusibleOpInterface>(op);
    return fusible && fusible.getIterationSpace().combiner == Combiner::none;
  }

  /// Whether the value can be computed in the backward from residuals and inputs.
  bool isRecomputable(Value value) {
    Operation *op = value.getDefiningOp();
    if (!op)
      return true;
    if (auto known = recomputable.find(value); known != recomputable.end())
      return known->second;
    bool result = false;
    if (op->getNumOperands() == 0 || isView(op) || isGather(op))
      result = true;
    else if (isPointwise(op))
      result = llvm::all_of(op->getOperands(), [&](Value operand) {
        return needed.contains(operand) || isFree(operand);
      });
    recomputable[value] = result;
    return result;
  }

  static bool isFree(Value value) {
    Operation *op = value.getDefiningOp();
    return !op || op->getNumOperands() == 0;
  }

  Value getInBackward(OpBuilder &builder, Value value) {
    if (Value known = mapping.lookupOrNull(value))
      return known;
    Operation *op = value.getDefiningOp();
    for (Value operand : op->getOperands())
      getInBackward(builder, operand);
    Operation *copy = builder.clone(*op, mapping);
    mapping.map(op->getResults(), copy->getResults());
    return mapping.lookup(value);
  }

  func::FuncOp forward, backward;
  ArrayRef<Operation *> moved;
  llvm::DenseSet<Operation *> movedSet;
  llvm::SetVector<Value> needed;
  llvm::DenseMap<Value, bool> recomputable;
  SmallVector<Value> residuals;
  IRMapping mapping;
};

struct Differentiate : impl::DifferentiateBase<Differentiate> {
  using DifferentiateBase::DifferentiateBase;

  void runOnOperation() override {
    func::FuncOp function = lookupFunction(getOperation(), names::kLoss);
    if (!function || failed(verifyLoss(function)) || failed(run(function)))
      signalPassFailure();
  }

  LogicalResult verifyLoss(func::FuncOp function) {
    if (!function.getBody().hasOneBlock())
      return function.emitError("expects @loss to have one block");
    auto scalar = [](Type type) {
      auto tensor = dyn_cast<RankedTensorType>(type);
      return tensor && tensor.getRank() == 0 && tensor.getElementType().isF32();
    };
    for (auto store : function.getOps<StoreOp>())
      return store.emitOpError("stands in @loss, which may not change variables: the backward "
                               "loads them again");
    if (function.getNumResults() != 2 || !llvm::all_of(function.getResultTypes(), scalar))
      return function.emitError()
             << "expects @loss to return two f32 scalars, the summed loss and the "
                "number of valid tokens, found "
             << function.getFunctionType();
    return success();
  }

  LogicalResult run(func::FuncOp function) {
    Block &block = function.getBody().front();
    Operation *end = block.getTerminator();
    Operation *lastForward = end->getPrevNode();
    Location loc = function.getLoc();
    OpBuilder builder(end);

    Value loss = end->getOperand(0), valid = end->getOperand(1);
    BackwardBuilder backward(function, builder, reducePerStep);
    if (!backward.isActive(loss))
      return function.emitError("the loss depends on no parameter");
    Value seed = FullOp::create(builder, loc, loss.getType(), builder.getF64FloatAttr(1));
    const bool sharded = isSharded(function);
    if (failed(backward.run(block, loss, seed)) ||
        failed(addGradients(builder, function, lastForward, backward)) ||
        (sharded && failed(layOut(function, lastForward, backward))))
      return failure();
    addResult(builder, loc, names::kLossSum, backward.replacement(loss));
    addResult(builder, loc, names::kValidTokens, backward.replacement(valid));

    SmallVector<Operation *> moved;
    for (Operation *op = lastForward->getNextNode(); op != end; op = op->getNextNode())
      moved.push_back(op);
    split(function, moved);
    return success();
  }

  /// Lays out what has been added behind `lastForward`: a cotangent is split like its primal as far
  /// as the ops allow, and a partial sum until it has to be whole.
  LogicalResult layOut(func::FuncOp function, Operation *lastForward,
                       const BackwardBuilder &backward) {
    PropagationHints hints;
    hints.seeds = backward.getPrimals();
    Operation *end = lastForward->getBlock()->getTerminator();
    for (Operation *op = lastForward->getNextNode(); op != end; op = op->getNextNode())
      if (!isa<LoadOp, ReshardOp>(op))
        hints.open.insert(op->result_begin(), op->result_end());
    return propagateShardings(function, MeshShape::get(getOperation()), hints);
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

  /// Stores gradient.NAME = load + cotangent for each parameter.
  LogicalResult addGradients(OpBuilder &builder, func::FuncOp function, Operation *lastForward,
                             BackwardBuilder &backward) {
    Block &block = *lastForward->getBlock();
    llvm::MapVector<StringAttr, Value> gradients;
    llvm::DenseMap<StringAttr, Location> locations;
    for (Operation &op : block) {
      auto load = dyn_cast<LoadOp>(op);
      if (load && backward.isActive(load)) {
        StringAttr name = load.getVariableAttr().getAttr();
        locations.try_emplace(name, load.getLoc());
        Value &sum = gradients[name], part = backward.cotangent(load);
        sum = sum && part ? AddOp::create(builder, load.getLoc(), sum.getType(), sum, part)
                          : (part ? part : sum);
      }
      if (&op == lastForward)
        break;
    }
    for (VariableOp variable : getVariables(getOperation(), Role::parameter)) {
      Value gradient = gradients.lookup(variable.getSymNameAttr());
      if (!gradient)
        return variable.emitError()
               << "the loss does not depend on parameter @" << variable.getSymName();
      const std::string name = (names::kGradientPrefix + variable.getSymName()).str();
      auto type = withoutSharding(tensorType(gradient));
      if (ShardingAttr storage = getSharding(variable.getType()))
        type = withSharding(type, reducePerStep ? getUnreduced(storage, function) : storage);
      createVariable(getOperation(), variable.getLoc(), name, Role::gradient, type);
      Location at = locations.at(variable.getSymNameAttr());
      Value old = loadAtStart(lastForward, at, name, type);
      StoreOp::create(builder, at, AddOp::create(builder, at, type, old, gradient), name);
    }
    return success();
  }

  /// Loads stand before the backward ops, so that sums can be folded into the ops that they add.
  Value loadAtStart(Operation *lastForward, Location loc, StringRef name, Type type) {
    OpBuilder builder(&getContext());
    builder.setInsertionPointAfter(lastForward);
    return LoadOp::create(builder, loc, type, name);
  }

  /// Adds a result of the loss to a variable: the output, or if the value is a partial sum one that
  /// titan-build-optimizer sums up once a step.
  void addResult(OpBuilder &builder, Location loc, StringRef name, Value value) {
    ShardingAttr sharding = getSharding(value.getType());
    const bool isPartial = sharding && !sharding.getPartial().empty();
    const std::string variable = ((isPartial ? names::kAccumulatedPrefix : "") + name).str();
    createVariable(getOperation(), loc, variable, isPartial ? Role::counter : Role::output,
                   tensorType(value));
    addToVariable(builder, loc, variable, value);
  }

  void split(func::FuncOp function, ArrayRef<Operation *> moved) {
    OpBuilder builder(&getContext());
    builder.setInsertionPointAfter(function);
    auto backward = func::FuncOp::create(builder, function.getLoc(), names::kBackward,
                                         builder.getFunctionType(function.getArgumentTypes(), {}));
    builder.setInsertionPointToStart(backward.addEntryBlock());
    func::ReturnOp::create(builder, function.getLoc());

    FunctionSplitter splitter(function, backward, moved);
    splitter.run();
    for (unsigned i = 0; i < function.getNumArguments(); ++i)
      if (auto name = function.getArgAttr(i, names::kInputName))
        backward.setArgAttr(i, names::kInputName, name);

    function.setName(names::kForward);
    Block &block = function.getBody().front();
    block.getTerminator()->setOperands(splitter.getResiduals());
    eraseDeadOps(block);
    function.setType(builder.getFunctionType(function.getArgumentTypes(),
                                             block.getTerminator()->getOperandTypes()));
  }
};

} // namespace
} // namespace titan
